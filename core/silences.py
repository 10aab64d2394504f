"""Silences: for a while, with a reason, nobody is told; the alert itself stays visible."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Silence:
    """Quiet for one monitor (or all, when `monitor` is empty) from `starts_at` until `ends_at`."""

    monitor: str
    reason: str
    by: str
    starts_at: datetime
    ends_at: datetime
    id: int = 0


def covering(silences: Iterable[Silence], monitor: str, now: datetime) -> Silence | None:
    """The silence that covers `monitor` at `now` and ends last, or None."""
    matching = [s for s in silences if s.monitor in ("", monitor) and s.starts_at <= now < s.ends_at]
    return max(matching, key=lambda silence: silence.ends_at, default=None)
