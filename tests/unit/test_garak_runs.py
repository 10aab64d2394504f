"""A garak report: counts as garak wrote them, wrong lines named, a run that did not end refused, z-scores by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import InvalidInput, NotFound
from gateway.jsonl import BadRows
from monitors import garak
from store import audit
from store import monitors as rows
from store.tables import imports, measurements
from tests.monitors_world import World, build_world

SETUP = {"entry_type": "start_run setup", "plugins.target_name": "assistant", "run.generations": 5}
INIT = {"entry_type": "init", "garak_version": "0.15.0", "start_time": "2026-11-20T10:00:00"}
END = {"entry_type": "completion", "end_time": "2026-11-20T11:00:00"}
ATTEMPT = {"entry_type": "attempt", "status": 2, "prompt": {"turns": []}, "outputs": ["a secret output"]}


def line(probe: str, passed: int, fails: int, **more: Any) -> dict[str, Any]:
    counts = {"passed": passed, "fails": fails, "nones": 0, "total_evaluated": passed + fails}
    return {"entry_type": "eval", "probe": probe, "detector": "dan.DAN", **counts, **more}


def report(folder: Path, *lines: Any, name: str = "run.report.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(text if isinstance(text, str) else json.dumps(text) for text in lines), "utf-8")
    return path


@pytest.fixture
def world(tmp_path: Path) -> World:
    return build_world(tmp_path)


def kept(world: World) -> list[Any]:
    with world.store.read() as tx:
        return list(tx.all(sa.select(measurements).order_by(measurements.c.id)))


def test_a_run_is_kept_with_exact_intervals_and_once(world: World, tmp_path: Path) -> None:
    path = report(tmp_path, SETUP, INIT, ATTEMPT, line("dan.A", 30, 10, nones=2), line("probes.dan.B", 40, 0), END)
    known = garak.Calibration("of 20 models", {"dan.A/dan.DAN": (0.9, 0.05), "dan.B/dan.DAN": (1.0, 0.0)})
    values = {"version": "assistant-v1", "actor": "system:test", "now": world.now}
    done = garak.import_run(world.store, path, calibration=known, **values)
    assert (done.rows, done.new_rows) == (2, 2)
    assert garak.import_run(world.store, path, **values).new_rows == 0
    whole, first, second = kept(world)
    assert (whole["metric"], whole["value"], whole["n"], whole["version"]) == ("adversarial", 0.125, 80, "assistant-v1")
    assert whole["details"]["unscored"] == 2 and whole["details"]["asked"] == 82
    assert (first["segment"], first["value"], first["n"]) == ("garak/dan.A/dan.DAN", 0.25, 40)
    assert first["details"]["z"] == pytest.approx((0.75 - 0.9) / 0.05) and "-3.0 standard" in first["reason"]
    assert second["segment"] == "garak/dan.B/dan.DAN" and second["high"] > 0 and "z" not in second["details"]
    assert "97.5%" in first["method"] and "taken as independent" in first["method"]
    with world.store.read() as tx:
        assert not rows.get(tx, "garak")["enabled"]
        assert [row["kind"] for row in tx.all(sa.select(imports))] == ["garak"]
        assert audit.verify(tx).bad is None
    assert "secret output" not in repr([dict(row) for row in kept(world)])


def test_prompts_that_one_of_several_tries_hit_are_told_with_their_exact_interval(tmp_path: Path) -> None:
    tries = {"1": {"score": 0.1, "prompts": 20}, "5": {"score": 0.25, "prompts": 20}}
    odd = {"5": {"score": 0.33, "prompts": 20}, "x": {"score": "y"}, "4": None}
    path = report(tmp_path, SETUP, line("dan.A", 90, 10, hit_at_k=tries), line("dan.B", 90, 10, hit_at_k=odd), END)
    _, first, second = garak.measure(garak.parse(path))
    # Clopper-Pearson at 97.5 %, as two lines hold together at 95 %: quantiles of Beta(5, 16) and Beta(6, 15).
    assert first.reason == "One of 5 tries got through at 5 of 20 prompts (7.3 to 52.3 %)."
    assert second.reason == ""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{", "line 3: is not valid JSON"),
        (line("", 1, 1), "line 3: names no probe"),
        (line("dan.A", 1, 1, total_evaluated=5), "line 3: says that 1 of 5 outputs passed and 1 failed"),
        (line("dan.A", 3, 0, total_evaluated=2), "line 3: says that 3 of 2"),
        (line("dan.A", 1, 1, nones="2"), "line 3: counts something"),
        ({**line("dan.A", 1, 1), "passed": True}, "line 3: counts something"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_kept(world: World, tmp_path: Path, wrong: Any, said: str) -> None:
    path = report(tmp_path, SETUP, line("dan.B", 4, 1), wrong, END)
    with pytest.raises(BadRows, match=said):
        garak.import_run(world.store, path, version="v", actor="system:test", now=world.now)
    assert kept(world) == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([SETUP, line("dan.A", 1, 1)], "did not end"),
        ([SETUP, INIT, END], "no evaluation"),
        ([line("dan.A", 1, 1), line("dan.A", 2, 2), END], "twice"),
    ],
)
def test_a_run_that_is_not_whole_is_refused(world: World, tmp_path: Path, lines: list[Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        garak.import_run(world.store, report(tmp_path, *lines), version="v", actor="system:test", now=world.now)
    assert kept(world) == []


def test_a_missing_file_is_said(world: World, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no file"):
        garak.import_run(world.store, tmp_path / "none", version="v", actor="system:test", now=world.now)


def test_older_reports_and_unscored_probes(tmp_path: Path) -> None:
    older = {"entry_type": "eval", "probe": "dan.A", "detector": "detector.dan.DAN", "passed": 2, "total": 5}
    run = garak.parse(report(tmp_path, older, line("dan.C", 0, 0, nones=5), END))
    assert [(found.name, found.fails) for found in run.lines] == [("dan.A/dan.DAN", 3), ("dan.C/dan.DAN", 0)]
    _, _, unscored = garak.measure(run)
    assert unscored.status == "nodata" and unscored.reason == "No output could be scored."


def test_the_newest_edition_of_a_calibration_counts(tmp_path: Path) -> None:
    rows = [
        {"calibration": "a", "date": "2024-07", "probe_detector": "dan.A/dan.DAN", "mu": 0.5, "sigma": 0.1},
        {"calibration": "b", "date": "2025-02", "probe_detector": "dan.A/dan.DAN", "mu": 0.7, "sigma": 0.2},
        {"calibration": "b", "date": "2025-02", "probe_detector": "dan.N/dan.DAN", "mu": math.nan, "sigma": math.nan},
        {"calibration": "b", "date": "2025-02", "probe_detector": "garak_calibration_meta", "mu": None, "sigma": None},
    ]
    found = garak.read_calibration(report(tmp_path, *rows, name="history.jsonl"))
    assert found.z(garak.Line("dan.A", "dan.DAN", 9, 1)) == pytest.approx(1.0)
    assert found.z(garak.Line("dan.Z", "dan.DAN", 9, 1)) is None
    assert found.z(garak.Line("dan.N", "dan.DAN", 9, 1)) is None
    own = tmp_path / "calibration.json"
    own.write_text(json.dumps({"garak_calibration_meta": {}, "dan.A/dan.DAN": {"mu": 0.5, "sigma": 0.1}}), "utf-8")
    assert garak.read_calibration(own).z(garak.Line("dan.A", "dan.DAN", 6, 4)) == pytest.approx(1.0)
    for wrong in ({"mu": 1}, "nothing", ""):
        with pytest.raises(InvalidInput, match="no garak calibration"):
            garak.read_calibration(report(tmp_path, wrong, name="bad.jsonl"))
    with pytest.raises(NotFound):
        garak.read_calibration(tmp_path / "none.json")
    own.write_text("[]", "utf-8")
    with pytest.raises(InvalidInput, match="no garak calibration"):
        garak.read_calibration(own)


@pytest.mark.slow
def test_a_run_is_read_beside_garaks_own_calibrations(world: World, tmp_path: Path, public_data: Path) -> None:
    known = garak.read_calibration(public_data / "garak" / "calibration_history.jsonl.gz")
    assert known.name == "2026-02 (2026-02)" and len(known.known) > 100
    usual = {name: (mu, sigma) for name, (mu, sigma) in known.known.items() if math.isfinite(mu)}
    # A model that passes as the calibrated ones did on average, but for one probe that it always fails.
    worst = max((name for name in usual if usual[name][1] > 0), key=lambda name: usual[name][0] / usual[name][1])
    lines = []
    for name, (mu, _) in usual.items():
        probe, detector = name.split("/")
        passed = 0 if name == worst else round(200 * mu)
        lines.append({**line(probe, passed, 200 - passed), "detector": detector})
    path = report(tmp_path, SETUP, INIT, *lines, END)
    values = {"version": "assistant-v1", "actor": "system:test", "now": world.now}
    assert garak.import_run(world.store, path, calibration=known, **values).new_rows == len(usual)
    for row in kept(world)[1:]:
        name = row["segment"].removeprefix("garak/")
        mu, sigma = usual[name]
        assert ("z" in row["details"]) == (sigma > 0)
        if name == worst:
            assert row["details"]["z"] == pytest.approx(-mu / sigma, abs=1e-3) and row["low"] > 0.9
        elif sigma > 0:
            assert abs(row["details"]["z"]) * sigma <= 1 / 400 + 1e-3 * sigma
