"""Declared rhythms: which part of the day or week a unit belongs to, so that night traffic is compared with nights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from core.errors import InvalidInput
from core.settings import RHYTHMS
from monitors.metrics import Unit

DAY_PART_HOURS = 3
WEEK_PART_HOURS = 6
SATURDAY = 5


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
