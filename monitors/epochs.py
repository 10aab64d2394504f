"""Epochs of a sequential monitor: when a new one begins, and what it compares with.

Each epoch keeps its own promise (the chance of any false alarm in it is at most alpha) and shows at most one alarm; the
ledger (monitors.ledger) grants the alphas so that those of a period never add up to more than the operator's budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core.settings import MonitorSettings
from monitors.effects import parameter
from monitors.metrics import Unit
from monitors.sources import Source, without_excluded
from store import streams
from store.unit_of_work import Tx

REFERENCE = 1000
HORIZONS = (3000, 20_000)
NEW_NORMAL = 200
TELLING = 200
_READ = 1000


@dataclass(frozen=True, slots=True)
class Release:
    """What serves a deployment now: the version (empty: several), the one before, the generation, and since when."""

    deployment: str
    version: str
    previous: str
    generation: int
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """The epoch to begin: its reference, the key after which its stream starts, and why it begins."""

    units: Sequence[Unit]
    start_after: int
    reason: str
    reference_version: str = ""
    version: str = ""
    boundary: int = 0


@dataclass(frozen=True, slots=True)
class Wanting:
    """There is no reference yet: `have` units of `want`."""

    have: int
    want: int


def horizon_of(units: Sequence[Unit], params: Mapping[str, Any], settings: MonitorSettings) -> int:
    """How many units the epoch promises for: `horizon` where it is set, else what its days will bring at the
    reference's pace, within HORIZONS. A tighter horizon alarms sooner, a longer one spends less budget."""
    stated = int(parameter(params, "horizon", 0))
    if stated > 0:
        return stated
    days = (units[-1].at - units[0].at).total_seconds() / 86_400
    expected = len(units) / days * settings.epoch_days if days > 0 else HORIZONS[1]
    return int(min(max(expected, HORIZONS[0]), HORIZONS[1]))


def first_plan(
    tx: Tx, source: Source, metric: Any, params: Mapping[str, Any], release: Release | None
) -> Plan | Wanting:
    """The first epoch: the first rows are the reference, by the live version only where answers are compared."""
    want = max(int(parameter(params, "reference", REFERENCE)), metric.minimum)
    version = release.version if release is not None and metric.per_release else ""
    units: list[Unit] = []
    after = 0
    while len(units) < want:
        more, last, moved = source.following(tx, after, version=version, boundary=0, limit=_READ)
        units += without_excluded(tx, more)
        if not moved or last == after:
            break
        after = last
    if len(units) >= want:
        units = units[:want]
        return Plan(units, units[-1].key, "The first traffic is the reference.", version, version)
    if release is not None and release.previous and metric.per_release:
        found = release_plan(tx, source, metric, params, release)
        if found is not None:
            return found
    return Wanting(len(units), want)


def release_plan(tx: Tx, source: Source, metric: Any, params: Mapping[str, Any], release: Release) -> Plan | None:
    """An epoch for the answers since a release, against those before it; None when too few came before.

    The reference may be larger than the first one was: the more answers before, the sooner a change shows.

    A version that served before (a rollback) is compared with its own answers; a new one with the version it
    replaced, or, where that answered too little to show a change soon, with whatever was answered last.
    """
    want = max(int(parameter(params, "reference", REFERENCE)), REFERENCE)
    boundary = streams.last_key(tx, deployment=release.deployment, before=release.changed_at)
    enough = {release.version: metric.minimum, release.previous: max(metric.minimum, TELLING), "": metric.minimum}
    for version, least in enough.items():
        units = source.before(tx, boundary, version=version, wanted=want)
        if len(units) >= least:
            after = 0 if metric.source == "feedback" else boundary
            live = release.version or "A version for a segment"
            return Plan(units, after, f"{live} went live.", version, release.version, boundary)
    return None


def next_plan(
    tx: Tx,
    source: Source,
    metric: Any,
    params: Mapping[str, Any],
    epoch: Mapping[Any, Any],
    *,
    release: Release | None,
    alert: Mapping[Any, Any] | None,
    settings: MonitorSettings,
    encoder: str = "",
    rhythm: str = "none",
) -> Plan | None:
    """The epoch that follows `epoch` now, or None while it goes on. `alert` is the monitor's open rule alert."""
    details = epoch["details"]
    if encoder != details.get("encoder", ""):
        return same_reference(tx, source, epoch, "The encoder changed; the reference stays.")
    if rhythm != details.get("rhythm", "none"):
        return same_reference(tx, source, epoch, "The declared rhythm changed; the reference stays.")
    if metric.per_release and release is not None and release.generation != details.get("generation", 0):
        return release_plan(tx, source, metric, params, release)
    if epoch["alarmed_at"] is not None:
        if alert is None:
            return same_reference(tx, source, epoch, "The alarm is over; the reference stays.")
        return _new_normal(tx, source, metric, params, epoch, alert)
    if epoch["seen_rows"] >= epoch["horizon"]:
        return _latest(tx, source, params, metric, epoch, "The epoch reached its horizon.")
    if tx.now - epoch["started_at"] >= timedelta(days=settings.epoch_days):
        return _latest(tx, source, params, metric, epoch, f"The epoch lasted {settings.epoch_days} days.")
    return None


def _new_normal(
    tx: Tx, source: Source, metric: Any, params: Mapping[str, Any], epoch: Mapping[Any, Any], alert: Mapping[Any, Any]
) -> Plan | None:
    """After somebody has acknowledged the alarm, what came since the change becomes the reference."""
    if alert["acknowledged_at"] is None:
        return None
    details = epoch["details"]
    enough = max(int(parameter(params, "new_normal", NEW_NORMAL)), metric.minimum)
    want = max(int(parameter(params, "reference", REFERENCE)), enough)
    onset = int(details.get("onset_key") or details.get("alarm_key") or epoch["seen_id"])
    version = details.get("version", "")
    units = source.spanning(tx, onset, epoch["seen_id"], version=version, wanted=want)
    if len(units) < enough:
        return None
    why = "The alarm was acknowledged: the traffic since the change is the new reference."
    return Plan(units, epoch["seen_id"], why, version, version, int(details.get("boundary", 0)))


def same_reference(tx: Tx, source: Source, epoch: Mapping[Any, Any], reason: str) -> Plan | None:
    """An epoch that compares with the same rows as `epoch` from where it stopped; None when they are gone."""
    details = epoch["details"]
    reference = details.get("reference_version", "")
    units = source.spanning(
        tx, epoch["reference_first"], epoch["reference_last"], version=reference, wanted=epoch["reference_rows"]
    )
    if not units:
        return None
    version, boundary = details.get("version", ""), int(details.get("boundary", 0))
    return Plan(units, epoch["seen_id"], reason, reference, version, boundary)


def _latest(
    tx: Tx, source: Source, params: Mapping[str, Any], metric: Any, epoch: Mapping[Any, Any], reason: str
) -> Plan | None:
    details = epoch["details"]
    want = max(int(parameter(params, "reference", REFERENCE)), metric.minimum)
    version = details.get("version", "")
    units = source.spanning(tx, 1, epoch["seen_id"], version=version, wanted=want)
    if len(units) < metric.minimum:
        return same_reference(tx, source, epoch, reason)
    return Plan(units, epoch["seen_id"], reason, version, version, int(details.get("boundary", 0)))
