"""How far a watched number has moved from its reference: which way, and by how much, with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from math import inf
from statistics import median
from typing import Any

from core.readings import DIRECTIONS, direction
from core.types import Estimate, Measurement
from estimates.proportions import difference
from monitors.metrics import Tracker
from monitors.rates import RateTracker

LATEST = 200


def measure(tracker: Tracker) -> list[Measurement]:
    """What the tracker measures; of a rate with its `change` in the details, and which way it went where it may go
    both ways. Others stay as they are."""
    measured = list(tracker.measure())
    if not isinstance(tracker, RateTracker):
        return measured
    return [_told(one, tracker) for one in measured]


def _told(measured: Measurement, tracker: RateTracker) -> Measurement:
    window = _window(tracker)
    now, then = tracker.summary(window), _reference(tracker.reference)
    gap = difference(now, then, low=-inf, high=inf)
    details = dict(measured.details)
    if gap.value is not None:
        details["change"] = {
            **{end: getattr(gap, end) for end in ("value", "low", "high", "method")},
            "now": _numbers(now),
            "reference": _numbers(then),
            "since_onset": tracker.firing,
            # Hours of a declared rhythm are judged apart, while these numbers take all hours together.
            "together": len(tracker.sizes) > 1,
        }
    if not tracker.firing or measured.metric not in DIRECTIONS:
        return replace(measured, details=details)
    return replace(measured, details=details, reason=_way(measured.metric, window, gap, now, tracker))


def _way(metric: str, window: Sequence[float], gap: Estimate, now: Estimate, tracker: RateTracker) -> str:
    """Which way it went, in a sentence; also where there is too little to say by how much."""
    what, mixed = DIRECTIONS[metric].what, DIRECTIONS[metric].mixed
    if gap.value is not None:
        way = direction({"low": gap.low, "high": gap.high}, metric)
        return f"{what} are {way} than in the reference." if way else mixed
    if not window or median(window) == tracker.centre:
        return mixed
    way = DIRECTIONS[metric].up if median(window) > tracker.centre else DIRECTIONS[metric].down
    return f"{what} are {way} than in the reference; {now.needed} more are needed to say by how much."


def _window(tracker: RateTracker) -> list[float]:
    """The values since the onset of the change while it fires, else the latest."""
    if not tracker.firing:
        return [row[2] for row in tracker.recent[-LATEST:]]
    first = tracker.why()["onset_key"]
    return [row[2] for row in tracker.recent if first is not None and row[0] >= first]


def _reference(found: Mapping[str, Any]) -> Estimate:
    return Estimate(found.get("value"), found.get("low"), found.get("high"), int(found.get("n") or 0), "")


def _numbers(estimate: Estimate) -> dict[str, Any]:
    return {name: value for name, value in asdict(estimate).items() if name in ("value", "low", "high", "n")}
