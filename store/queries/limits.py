"""What a limit would have done: the rule that production keeps, stepped over the measurements there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.rules import Episode, Threshold, replay
from core.types import Estimate
from store import monitors as rows
from store.tables import measurements
from store.unit_of_work import Tx

MOST_LOOKS = 20_000
_READ = ("at", "segment", "status", "value", "low", "high", "n", "needed", "method")


@dataclass(frozen=True, slots=True)
class Looks:
    """Past measurements of one metric by segment, oldest first. `cut`: there were more than MOST_LOOKS."""

    by_segment: Mapping[str, Sequence[sa.RowMapping]]
    count: int
    decided: int
    first_at: datetime | None
    cut: bool


@dataclass(frozen=True, slots=True)
class Fired:
    """An alert that would have fired, with the segment it would have been about."""

    segment: str
    episode: Episode


def past(tx: Tx, monitor_id: int, metric: str, *, since: datetime) -> Looks:
    """The measurements of `metric` since `since`: the newest MOST_LOOKS. `decided` counts those with enough data."""
    mine = measurements.c.monitor_id == monitor_id, measurements.c.metric == metric, measurements.c.at >= since
    query = sa.select(*(measurements.c[name] for name in _READ)).where(*mine)
    found = tx.all(query.order_by(measurements.c.id.desc()).limit(MOST_LOOKS + 1))[::-1]
    cut = len(found) > MOST_LOOKS
    found = found[-MOST_LOOKS:]
    by_segment: dict[str, list[Any]] = {}
    for row in found:
        by_segment.setdefault(row["segment"], []).append(row)
    decided = sum(_estimate(row) is not None for row in found)
    return Looks(by_segment, len(found), decided, found[0]["at"] if found else None, cut)


def would_fire(looks: Looks, threshold: Threshold) -> list[Fired]:
    """The alerts that `threshold` would have raised over `looks`, in order of time."""
    fired = [
        Fired(segment, episode)
        for segment, found in looks.by_segment.items()
        for episode in replay(((row["at"], _estimate(row)) for row in found), threshold)
    ]
    return sorted(fired, key=lambda one: (one.episode.fired_at, one.segment))


def _estimate(row: sa.RowMapping) -> Estimate | None:
    return None if row["status"] in ("nodata", "error") else rows.estimate_of(row)
