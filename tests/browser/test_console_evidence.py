"""The evidence of a period is exported, saved in a browser, and checked by the script in it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from store import audit
from tests.browser.conftest import Served, Visitor
from tests.browser.test_console_changes import obey_monitors

pytestmark = pytest.mark.browser
Visit = Callable[..., Visitor]


def test_the_evidence_is_exported_saved_and_checked_elsewhere(console: Served, visit: Visit, tmp_path: Path) -> None:
    me = visit(console.url)
    me.sign_in("otto")
    me.open("audit")
    me.page.get_by_role("button", name="Check the chain").click()
    me.page.get_by_text("Unbroken").wait_for()
    me.page.get_by_text("Export the evidence").click()
    me.page.get_by_text("Nothing was exported yet.").wait_for()
    me.page.get_by_role("button", name="Export", exact=True).click()
    me.page.get_by_text("Waiting for the monitor scheduler.").wait_for()
    obey_monitors(console)
    with me.page.expect_download() as saved:
        me.page.get_by_role("button", name="Save the archive").click()
    file = tmp_path / "e.zip"
    saved.value.save_as(file)
    with zipfile.ZipFile(file) as archive:
        archive.extract("verify.py", tmp_path)
        report = archive.read("report.html").decode()
    with console.world.store.read() as tx:
        event = next(event for event in audit.events(tx) if event.kind == "evidence.exported")
    assert event.actor == "otto" and "MEASURE 2.11" in report
    checked = subprocess.run(
        [sys.executable, "-I", tmp_path / "verify.py", file, "--digest", event.subject],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    # The page that an auditor opens draws without loading anything.
    page = tmp_path / "report.html"
    page.write_text(report, encoding="utf-8")
    me.page.goto(page.as_uri())
    me.page.get_by_role("heading", name="From alarm to release").wait_for()
    assert not me.errors and me.foreign == [page.as_uri()]
