"""Declared rhythms: which part of the day or week a unit belongs to, so that night traffic is compared with nights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from core.errors import InvalidInput
from core.settings import RHYTHMS
from monitors.metrics import Unit
from monitors.statistics.conformal import STRATUM_MINIMUM, wanting

DAY_PART_HOURS = 3
WEEK_PART_HOURS = 6
SATURDAY = 5
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


def stratum(at: datetime, rhythm: str) -> str:
    """The name of the part that `at` (aware, read in its own zone) belongs to; empty for the rhythm "none".

    "day": eight parts of three hours. "week": workdays and weekends, four parts of six hours each. Raises InvalidInput
    on another rhythm.
    """
    if rhythm == "none":
        return ""
    if rhythm == "day":
        return f"{at.hour // DAY_PART_HOURS * DAY_PART_HOURS:02d}h"
    if rhythm == "week":
        kind = "weekend" if at.weekday() >= SATURDAY else "workday"
        return f"{kind} {at.hour // WEEK_PART_HOURS * WEEK_PART_HOURS:02d}h"
    raise InvalidInput(f"There is no rhythm {rhythm!r}.", f"Declare one of: {', '.join(RHYTHMS)}.")


def declared(params: Mapping[str, Any], default: str) -> str:
    """The rhythm of a monitor: its parameter `rhythm`, else the installation's."""
    return str(params.get("rhythm") or default)


def mark(units: Sequence[Unit], rhythm: str) -> list[Unit]:
    """The units with their strata."""
    return [replace(unit, stratum=stratum(unit.at, rhythm)) for unit in units] if rhythm != "none" else list(units)


def parts(rhythm: str) -> dict[str, float]:
    """The parts of the cycle, in order, each with its share of the time; none for the rhythm "none"."""
    if rhythm == "none":
        return {}
    names = [stratum(MONDAY + timedelta(hours=hour), rhythm) for hour in range(7 * 24)]
    return {name: names.count(name) / len(names) for name in names}


def whole(rhythm: str) -> int:
    """How many units a reference holds, at even traffic, when its rarest part has STRATUM_MINIMUM; 0 for "none"."""
    return round(STRATUM_MINIMUM / min(parts(rhythm).values())) if rhythm != "none" else 0


def runs(units: Sequence[Unit], sizes: Mapping[str, int]) -> list[tuple[bool, list[Unit]]]:
    """The units in their order, cut where those that are judged (True) and those that still fill their part's
    reference (False) take turns. `sizes` counts the units of each part before them. Why this keeps the promise:
    `statistics.conformal.wanting`.
    """
    counts, judged = dict(sizes), []
    for unit in units:
        size = counts.get(unit.stratum, 0)
        judged.append(wanting(unit.stratum, size) == 0)
        counts[unit.stratum] = size + 1
    turns = groupby(zip(judged, units, strict=True), key=lambda turn: turn[0])
    return [(ready, [unit for _, unit in turn]) for ready, turn in turns]


def unfilled(rhythm: str, sizes: Mapping[str, int]) -> dict[str, int]:
    """The parts of the cycle whose units are not judged yet, in words, each with how many more it needs."""
    hours = DAY_PART_HOURS if rhythm == "day" else WEEK_PART_HOURS
    missing = {name: wanting(name, sizes.get(name, 0)) for name in parts(rhythm)}
    return {_words(name, hours): more for name, more in missing.items() if more}


def _words(part: str, hours: int) -> str:
    """workday 06:00 to 12:00, for the part "workday 06h"."""
    *kind, hour = part.removesuffix("h").split(" ")
    return " ".join([*kind, f"{hour}:00 to {int(hour) + hours:02d}:00"])
