"""How long a page of the console takes to draw, cold (a fresh browser) and warm (the next page), beside a hello app.

python bench/console_draw.py --rounds 5
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PAGES = ("", "monitors", "alerts", "traffic", "probes", "fairness", "runs", "models", "audit")
HELLO = "import streamlit as st\nst.header('Hello')\nst.line_chart([1, 3, 2])\n"
DRAWN = "[data-testid='stApp'][data-test-script-state='notRunning']"
HEAD = "[data-testid='stMainBlockContainer'] h2"
CHARTS = "[data-testid='stSkeleton']"


def main() -> int:
    """Measure and print medians in seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--port", type=int, default=8794)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    from tests import console_world

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        home = Path(folder)
        console_world.build_filled(home, now=datetime.now(UTC), port=given.port).store.close()
        (home / "hello.py").write_text(HELLO)
        console = {"TRIMTAB_HOME": folder, "TRIMTAB_DASHBOARD__PORT": str(given.port)}
        hello = ["streamlit", "run", str(home / "hello.py"), "--server.port", str(given.port + 1)]
        hello += ["--server.headless", "true", "--browser.gatherUsageStats", "false"]
        served = [start(["dashboard"], console), start(hello, {})]
        try:
            browser = playwright.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
            for name, port, paths in (("hello app", given.port + 1, ("",)), ("console", given.port, PAGES)):
                report(browser, name, f"http://127.0.0.1:{port}", paths, given.rounds)
            browser.close()
        finally:
            for process in served:
                process.send_signal(signal.SIGTERM)
                process.wait(20)
    return 0


def start(module: list[str], settings: dict[str, str]) -> subprocess.Popen[bytes]:
    """A server in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
    return subprocess.Popen([sys.executable, "-m", *module], cwd=ROOT, env={**kept, **settings}, stdout=-3, stderr=-3)


def report(browser: Any, name: str, url: str, paths: tuple[str, ...], rounds: int) -> None:
    """Cold and warm medians of each page."""
    wait_until_up(browser, url)
    for path in paths:
        cold, warm = [], []
        for _ in range(rounds):
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            page = context.new_page()
            if name == "console":
                cookie(context, url)
            cold.append(draw(page, f"{url}/{path}"))
            warm.append(draw(page, f"{url}/{path}"))
            context.close()
        title = f"{name} /{path}"
        print(f"{title:<20} cold {statistics.median(cold):.2f} s   warm {statistics.median(warm):.2f} s", flush=True)


def cookie(context: Any, url: str) -> None:
    """Sign in without opening a page, so that nothing of it is loaded yet."""
    from tests.console_world import PASSWORD

    form = {"name": "ann", "password": PASSWORD, "next": "/"}
    context.request.post(f"{url}/auth/login", form=form, max_redirects=0)


def draw(page: Any, url: str) -> float:
    """Seconds until the page's script has run and every chart is there."""
    began = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector(HEAD, timeout=60_000)
    page.wait_for_selector(DRAWN, timeout=60_000)
    page.wait_for_selector(CHARTS, state="detached", timeout=60_000)
    return time.perf_counter() - began


def wait_until_up(browser: Any, url: str) -> None:
    """Return once the server answers."""
    context = browser.new_context()
    for _ in range(300):
        try:
            if context.request.get(f"{url}/_stcore/health").ok:
                break
        except Exception:  # not there yet
            time.sleep(0.2)
    context.close()


if __name__ == "__main__":
    sys.exit(main())
