"""Rules: what a measurement must do before an alert fires. Pure steps over state that the store keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from core.types import Estimate

State = Literal["inactive", "pending", "firing", "resolved"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A plain limit for service levels: carries no guarantee about false alarms, and says so.

    A breach counts when the whole interval is past the limit (`certain`), or the value alone when not.
    """

    direction: Literal["above", "below"]
    limit: float
    hold: timedelta = timedelta(0)
    certain: bool = True

    def breached(self, estimate: Estimate) -> bool | None:
        """Whether `estimate` is past the limit; None when there is not enough data."""
        if estimate.value is None:
            return None
        end = estimate.low if self.direction == "above" else estimate.high
        seen = end if self.certain and end is not None else estimate.value
        return seen > self.limit if self.direction == "above" else seen < self.limit


def limits(rule: Mapping[str, Any], metric: str) -> list[dict[str, Any]]:
    """The plain limits of a monitor's rule as {"metric", "direction", "limit"}; none where a sequential test judges.

    A rule names its first limit itself and further ones under `also`; without a metric a limit is about `metric`.
    """
    listed = [rule, *rule.get("also", ())]
    return [
        {"metric": one.get("metric", metric), "direction": one.get("direction", "above"), "limit": one["limit"]}
        for one in listed
        if isinstance(one.get("limit"), int | float)
    ]


def hold(rule: Mapping[str, Any]) -> timedelta:
    """How long a breach must last before the rule's alert fires."""
    return timedelta(seconds=float(rule.get("hold_seconds", 0.0)))


def thresholds(rule: Mapping[str, Any], metric: str) -> dict[str, Threshold]:
    """The plain limits of a monitor's rule by the metric they hold; the last one where two hold the same."""
    certain = bool(rule.get("certain", True))
    return {
        limit["metric"]: Threshold(limit["direction"], float(limit["limit"]), hold(rule), certain)
        for limit in limits(rule, metric)
    }


def with_limit(rule: Mapping[str, Any], metric: str, about: str, new: Threshold) -> dict[str, Any]:
    """The rule of a monitor of `metric` with the limit on `about` replaced; a hold is one for the whole rule."""

    def changed(one: Mapping[str, Any]) -> dict[str, Any]:
        mine = isinstance(one.get("limit"), int | float) and one.get("metric", metric) == about
        return {**one, "direction": new.direction, "limit": new.limit} if mine else dict(one)

    out = {**changed(rule), "hold_seconds": new.hold.total_seconds()}
    return {**out, "also": [changed(one) for one in rule["also"]]} if "also" in rule else out


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an alert stands: its state and since when it has been pending."""

    state: State
    pending_since: datetime | None = None


def step(progress: Progress, breach: bool | None, hold: timedelta, now: datetime) -> Progress:
    """The next state. `breach` None (no data, error, time-out) moves nothing: absence never resolves."""
    if breach is None:
        return progress
    if progress.state in ("inactive", "resolved"):
        if not breach:
            return progress
        return Progress("firing") if hold <= timedelta(0) else Progress("pending", now)
    if progress.state == "pending":
        if not breach:
            return Progress("inactive")
        since = progress.pending_since or now
        return Progress("firing") if now - since >= hold else Progress("pending", since)
    return progress if breach else Progress("resolved")


@dataclass(frozen=True, slots=True)
class Episode:
    """A time in which an alert fired; `resolved_at` None: to the end of what was read."""

    fired_at: datetime
    resolved_at: datetime | None = None


def replay(looks: Iterable[tuple[datetime, Estimate | None]], threshold: Threshold) -> list[Episode]:
    """When an alert on `threshold` would have fired over past looks, oldest first. None: a look that failed."""
    episodes: list[Episode] = []
    progress = Progress("inactive")
    for at, estimate in looks:
        breach = None if estimate is None else threshold.breached(estimate)
        after = step(progress, breach, threshold.hold, at)
        if after.state != progress.state and after.state == "firing":
            episodes.append(Episode(at))
        if after.state == "resolved" and progress.state == "firing":
            episodes[-1] = Episode(episodes[-1].fired_at, at)
        progress = after
    return episodes
