"""The evidence page of a drift alert: written by a child process, named in the alert, without captured text."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import InvalidInput, Unavailable
from monitors.metrics import evidently_report
from tests.monitors_world import OTHER, build_world


@pytest.mark.slow
def test_the_page_is_written_named_and_holds_no_captured_text(tmp_path: Path) -> None:
    world = build_world(tmp_path)
    world.add("prompt_drift", params={"reference": 200})
    world.report = lambda alert, then, now: evidently_report.write_report(tmp_path / "evidence", alert, then, now)
    world.send(260)
    world.run("prompt_drift")
    world.send(40, words=OTHER)
    world.run("prompt_drift")
    (alert,) = world.alerts("rule")
    page = tmp_path / "evidence" / alert["evidence"]["report"]
    assert alert["why"]["evidence"] == alert["evidence"]
    assert [path.name for path in page.parent.iterdir()] == [page.name]
    text = page.read_text("utf-8")
    assert "characters" in text and not any(word in text for word in ("vegan", "knead", "simmer"))
    world.store.close()


def test_a_page_that_fails_leaves_the_alert_and_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidently_report.sys, "executable", "/bin/false")
    with pytest.raises(Unavailable):
        evidently_report.write_report(tmp_path, "a" * 32, ["text"] * 9, ["text"] * 9)
    assert list(tmp_path.iterdir()) == []
    assert evidently_report.write_report(tmp_path, "a" * 32, ["text"] * 9, ["text"] * 2) == ""
    with pytest.raises(InvalidInput):
        evidently_report.write_report(tmp_path, "../../etc/x", ["text"] * 9, ["text"] * 9)

    def broken(*args: object) -> str:
        raise Unavailable("Evidently could not write the evidence page.")

    world = build_world(tmp_path)
    world.add("prompt_drift", params={"reference": 200})
    world.report = broken
    world.send(260)
    world.send(40, words=OTHER)
    outcome = world.run("prompt_drift")
    assert outcome is not None and outcome.state == "done" and len(outcome.fired) == 1
    world.store.close()
