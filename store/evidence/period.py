"""The period of an export."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from core.errors import InvalidInput
from core.types import micros


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` until just before `until`, both aware. Raises InvalidInput where that holds no moment."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        if self.since.tzinfo is None or self.until.tzinfo is None:
            raise InvalidInput("A time without its zone is ambiguous.", "Write it as 2026-11-01T00:00:00+00:00.")
        if self.since >= self.until:
            raise InvalidInput("The period ends before it begins.", "Give a later end.")

    @property
    def micros(self) -> tuple[int, int]:
        """Both ends in microseconds since 1970."""
        return micros(self.since), micros(self.until)
