"""`trimtab evidence` as a script would use it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from core.controls import all_frameworks
from tests.contracts.test_cli import Run, last, ready, run

__all__ = ["ready", "run"]


def test_an_export_is_written_and_checked_with_and_without_the_installation(ready: Run, tmp_path: Path) -> None:
    file = tmp_path / "e.zip"
    made = ready("evidence", "export", "--since", "2020-01-01", "--output", str(file), "--json")
    assert made.exit_code == 0, made.output
    assert last(made)["events"] > 0 and last(made)["path"] == str(file)
    assert ready("evidence", "verify", str(file)).exit_code == 0
    assert ready("evidence", "verify", str(file), "--offline").exit_code == 0
    again = ready("evidence", "export", "--output", str(file))
    assert again.exit_code != 0 and "there already" in again.output


def test_an_export_of_elsewhere_or_a_changed_one_is_said(ready: Run, run: Run, tmp_path: Path) -> None:
    file, other = tmp_path / "e.zip", tmp_path / "other.zip"
    assert ready("evidence", "export", "--since", "2020-01-01", "--output", str(file)).exit_code == 0
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data.replace(b"2020-01-01", b"2020-01-02") if name == "manifest.json" else data)
    assert ready("evidence", "verify", str(other), "--offline").exit_code == 0
    found = ready("evidence", "verify", str(other), "--json")
    assert found.exit_code == 1 and last(found)["problems"] == [
        "this installation's chain knows no export of this digest"
    ]
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("more.txt", "x")
    found = ready("evidence", "verify", str(file), "--offline")
    assert found.exit_code == 1 and "WRONG: more.txt is not named by manifest.json" in found.output


def test_what_is_no_time_or_no_export_is_a_sentence(ready: Run, tmp_path: Path) -> None:
    found = ready("evidence", "export", "--since", "last week")
    assert found.exit_code == 2 and "--since last week is no time." in found.output
    found = ready("evidence", "export", "--since", "2026-02-01", "--until", "2026-01-01")
    assert found.exit_code == 2 and "ends before it begins" in found.output
    (tmp_path / "x").write_text("x")
    found = ready("evidence", "verify", str(tmp_path / "x"))
    assert found.exit_code == 2 and "is no export of evidence" in found.output


def test_the_controls_are_listed(run: Run) -> None:
    found = [json.loads(line) for line in run("evidence", "controls", "--json").stdout.splitlines()]
    assert len(found) == sum(len(framework.controls) for framework in all_frameworks())
    assert "EU AI Act, Art. 12(1)" in run("evidence", "controls").stdout
