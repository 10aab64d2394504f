"""Takes pictures of every page of a running console, wide and narrow, light and dark; says what went wrong in each.

python bench/screens.py --url http://127.0.0.1:8702 --name ann --password … --out docs/images
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PAGES = ("", "monitors", "alerts", "traffic", "probes", "fairness", "pairs", "runs", "models", "audit")
SIZES = {"wide": (1440, 900), "narrow": (390, 844)}


def main() -> int:
    """Sign in, visit each page and keep its picture. Returns 1 when a page asked for something elsewhere."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8702")
    parser.add_argument("--name", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--page", action="append", help="a path with its query instead of all pages; may be repeated")
    parser.add_argument("--size", choices=[*SIZES, "both"], default="wide")
    parser.add_argument("--scheme", choices=["light", "dark", "both"], default="light")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--first-screen", action="store_true", help="only what shows without scrolling")
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    given.out.mkdir(parents=True, exist_ok=True)
    foreign: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
        for size in SIZES if given.size == "both" else (given.size,):
            for scheme in ("light", "dark") if given.scheme == "both" else (given.scheme,):
                width, height = SIZES[size]
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
                page = context.new_page()
                page.on("request", lambda request: note(request.url, given.url, foreign))
                page.on("console", lambda message: message.type == "error" and print("console:", message.text))
                enter(page, given.url, given.name, given.password)
                for path in given.page or PAGES:
                    began = time.monotonic()
                    visit(page, f"{given.url}/{path}")
                    took = time.monotonic() - began
                    name = "-".join(part for part in (file_name(path), size, scheme) if part not in ("wide", "light"))
                    target = given.out / f"{name}.png"
                    if not given.first_screen:
                        grow(page, width, height)
                    page.screenshot(path=target)
                    print(f"{target}  {took:.2f} s")
                    page.set_viewport_size({"width": width, "height": height})
                context.close()
        browser.close()
    for url in foreign:
        print("asked elsewhere:", url)
    return 1 if foreign else 0


def enter(page: Any, url: str, name: str, password: str) -> None:
    """Sign in."""
    page.goto(f"{url}/auth/login")
    page.fill("#name", name)
    page.fill("#password", password)
    page.click("button")
    settle(page)


def visit(page: Any, url: str) -> None:
    """Open a page and wait until it stands still."""
    page.goto(url)
    settle(page)


def settle(page: Any) -> None:
    """Wait until the script has run and the charts are drawn."""
    page.wait_for_selector("[data-testid='stApp'][data-test-script-state='notRunning']", timeout=30_000)
    page.wait_for_selector("[data-testid='stMainBlockContainer'] h2", timeout=30_000)
    page.wait_for_timeout(400)


def grow(page: Any, width: int, height: int) -> None:
    """Make the window as high as the page, which scrolls inside itself."""
    needed = page.evaluate("document.querySelector(\"[data-testid='stMain']\").scrollHeight")
    page.set_viewport_size({"width": width, "height": max(int(needed) + 10, height)})
    page.wait_for_timeout(500)


def note(url: str, home: str, foreign: list[str]) -> None:
    """Remember a request that leaves the console."""
    if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).netloc != urlsplit(home).netloc:
        foreign.append(url)


def file_name(path: str) -> str:
    """A path as the name of a picture."""
    return "".join(sign if sign.isalnum() else "-" for sign in path)[:24].strip("-") or "overview"


if __name__ == "__main__":
    sys.exit(main())
