"""Timelines: a series of looks and the alerts expected after each, told as `look -> rule/nodata/error`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.types import Estimate, Measurement
from monitors import sequence, verdict
from tests.monitors_world import build_world

RULE = {
    "metric": "errors",
    "direction": "above",
    "limit": 0.1,
    "hold_seconds": 120,
    "nodata_after_seconds": 180,
    "error_after_seconds": 0,
}
HIGH = Estimate(0.3, 0.2, 0.4, 100, "exact")
UNSURE = Estimate(0.15, 0.05, 0.3, 20, "exact")
LOW = Estimate(0.01, 0.0, 0.05, 100, "exact")
NAN = Estimate(float("nan"), 0.0, 0.1, 100, "exact")
INFINITE = Estimate(0.2, 0.1, float("inf"), 100, "exact")
FEW = Estimate.missing(3, "exact", 17)
FAILED = "failed"
QUIET, P, F = "inactive", "pending", "firing"

TIMELINES: dict[str, Sequence[tuple[Any, str, str, str]]] = {
    "holds before it fires, resolves once": [
        (LOW, QUIET, QUIET, QUIET),
        (HIGH, P, QUIET, QUIET),
        (HIGH, P, QUIET, QUIET),
        (HIGH, F, QUIET, QUIET),
        (HIGH, F, QUIET, QUIET),
        (LOW, QUIET, QUIET, QUIET),
    ],
    "a short breach never fires": [(HIGH, P, QUIET, QUIET), (LOW, QUIET, QUIET, QUIET), (HIGH, P, QUIET, QUIET)],
    "an interval that reaches the limit is no breach": [(UNSURE, QUIET, QUIET, QUIET)],
    "missing data resolves nothing and is told itself": [
        (HIGH, P, QUIET, QUIET),
        (HIGH, P, QUIET, QUIET),
        (HIGH, F, QUIET, QUIET),
        (FEW, F, P, QUIET),
        (FEW, F, P, QUIET),
        (FEW, F, P, QUIET),
        (FEW, F, F, QUIET),
        (LOW, QUIET, QUIET, QUIET),
    ],
    "an error resolves nothing, fires at once, and does not end missing data": [
        (FEW, QUIET, P, QUIET),
        (FAILED, QUIET, P, F),
        (HIGH, P, QUIET, QUIET),
        (FAILED, P, QUIET, F),
        (HIGH, F, QUIET, QUIET),
        (FAILED, F, QUIET, F),
        (FAILED, F, QUIET, F),
        (LOW, QUIET, QUIET, QUIET),
    ],
    "a number that is none is an error": [
        (NAN, QUIET, QUIET, F),
        (INFINITE, QUIET, QUIET, F),
        (LOW, QUIET, QUIET, QUIET),
    ],
}


@pytest.mark.parametrize("name", TIMELINES)
def test_timeline(name: str, tmp_path: Path) -> None:
    world = build_world(tmp_path)
    monitor = world.add("errors", rule=RULE)
    for number, (look, *expected) in enumerate(TIMELINES[name]):
        world.now += timedelta(seconds=60)
        if look == FAILED:
            measured = [verdict.failed("errors", "The run failed.")]
        else:
            status: Any = "nodata" if look.value is None else "ok"
            measured = verdict.judge([Measurement("errors", look, status)], RULE, "errors")
        with world.store.write(world.now) as tx:
            sequence.raise_findings(tx, verdict.findings(monitor, measured))
        found = [world.state(f"{kind}:errors") for kind in ("rule", "nodata", "error")]
        assert found == expected, f"look {number}"
    world.store.close()
