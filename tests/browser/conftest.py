"""A console served by its own process over a small real store, and Chromium to look at it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests import console_world
from tests.conftest import find_free_port
from tests.console_world import PASSWORD, World

ROOT = Path(__file__).resolve().parents[2]
DRAWN = "[data-testid='stApp'][data-test-script-state='notRunning']"


@dataclass
class Served:
    """A console that answers at `url`."""

    url: str
    world: World


@dataclass
class Visitor:
    """A browser window of one person, with everything that it asked for and that went wrong in it."""

    page: Any
    url: str
    foreign: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def sign_in(self, name: str, password: str = PASSWORD) -> None:
        """Fill the form and wait for the first page."""
        self.page.goto(f"{self.url}/auth/login")
        self.page.fill("#name", name)
        self.page.fill("#password", password)
        self.page.click("button")
        self.settle()

    def open(self, path: str) -> None:
        """Open a page and wait until it stands still."""
        self.page.goto(f"{self.url}/{path}")
        self.settle()

    def settle(self) -> None:
        """Wait until the script has run."""
        self.page.wait_for_selector("[data-testid='stMainBlockContainer'] h2", timeout=30_000)
        self.page.wait_for_selector(DRAWN, timeout=30_000)

    def text(self) -> str:
        """What the page says."""
        return str(self.page.inner_text("[data-testid='stMain']"))


@contextmanager
def serve(world: World, port: int) -> Iterator[Served]:
    """Run `python -m dashboard` over the world's folder until the end of the block."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")},
        "TRIMTAB_HOME": str(world.settings.home),
        "TRIMTAB_DASHBOARD__PORT": str(port),
    }
    log = world.settings.home / "dashboard.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dashboard"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not answers(f"{url}/_stcore/health"):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the console did not start:\n{log.read_text()[-2000:]}", pytrace=False)
            time.sleep(0.1)
        yield Served(url, world)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            pytest.fail("the console did not stop within 10 s of SIGTERM", pytrace=False)


def answers(url: str) -> bool:
    """Whether something answers 200 at `url`."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Served]:
    """A filled console of this test's own."""
    port = find_free_port()
    world = console_world.build_filled(tmp_path, now=datetime.now(UTC), port=port)
    with serve(world, port) as served:
        yield served
    world.store.close()


@pytest.fixture(scope="session")
def browser(chromium: Path) -> Iterator[Any]:
    """Chromium, headless."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Visitor]]:
    """A function that opens a window of its own on a console."""
    contexts = []

    def window(url: str, **options: Any) -> Visitor:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        visitor = Visitor(context.new_page(), url)
        home = urlsplit(url).netloc

        def note(request: Any) -> None:
            parts = urlsplit(request.url)
            if parts.scheme not in ("data", "blob") and parts.netloc != home:
                visitor.foreign.append(request.url)

        def dismiss(dialog: Any) -> None:
            visitor.dialogs.append(dialog.message)
            dialog.dismiss()

        visitor.page.on("request", note)
        visitor.page.on("dialog", dismiss)
        visitor.page.on("pageerror", lambda error: visitor.errors.append(str(error)))
        return visitor

    yield window
    for context in contexts:
        context.close()
