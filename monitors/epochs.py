"""Epochs of a sequential monitor: when a new one begins, and what it compares with.

Each epoch keeps its own promise (the chance of any false alarm in it is at most alpha) and shows at most one alarm; the
ledger (monitors.ledger) grants the alphas so that those of a period never add up to more than the operator's budget.

In traffic so busy that the horizon would be read within hours an epoch reads one unit in so many (`thinned`). How many
is fixed as the epoch begins, from how much came and not from what it said, and the units are drawn by their keys: what
is read is as exchangeable as what came, and the promise is the same for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from core.settings import MonitorSettings
from core.thinning import EVERY, Thinning
from monitors.effects import parameter
from monitors.metrics import Unit
from monitors.rhythm import whole
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
    thinning: Thinning = EVERY


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


def thinned(tx: Tx, source: Source, params: Mapping[str, Any], settings: MonitorSettings) -> Source:
    """The source as an epoch that begins now reads it: one unit in `one_in`, where that is set, else in as many as make
    the longest horizon last `least_epoch_days` at the pace of the last day. A day that is only part there counts for
    what it brought so far, so that a busy hour stretches the next epoch a little and not to weeks.
    """
    one_in = int(parameter(params, "one_in", 0))
    if one_in < 1:
        days = min(settings.least_epoch_days, settings.epoch_days)
        derived = days > 0 and not parameter(params, "horizon", 0)
        one_in = ceil(source.pace(tx) * days / HORIZONS[1]) if derived else 1
    return source.thinned(Thinning(max(one_in, 1), source.thinning.seed))


def first_plan(
    tx: Tx,
    source: Source,
    metric: Any,
    params: Mapping[str, Any],
    release: Release | None,
    *,
    settings: MonitorSettings,
    rhythm: str,
) -> Plan | Wanting:
    """The first epoch: the first rows are the reference, by the live version only where answers are compared.

    Where a rhythm is declared they need not span its cycle: parts that they hold too few of fill while the epoch runs.
    """
    source = thinned(tx, source, params, settings)
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
        why = "The first traffic is the reference."
        return Plan(units, units[-1].key, why, version, version, thinning=source.thinning)
    if release is not None and release.previous and metric.per_release:
        found = release_plan(tx, source, metric, params, release, settings=settings, rhythm=rhythm)
        if found is not None:
            return found
    return Wanting(len(units), want)


def release_plan(
    tx: Tx,
    source: Source,
    metric: Any,
    params: Mapping[str, Any],
    release: Release,
    *,
    settings: MonitorSettings,
    rhythm: str,
) -> Plan | None:
    """An epoch for the answers since a release, against those before it; None when too few came before.

    The reference may be larger than the first one was: the more answers before, the sooner a change shows.

    A version that served before (a rollback) is compared with its own answers; a new one with the version it
    replaced, or, where that answered too little to show a change soon, with whatever was answered last.
    """
    source = thinned(tx, source, params, settings)
    want = max(int(parameter(params, "reference", REFERENCE)), REFERENCE, whole(rhythm))
    boundary = streams.last_key(tx, deployment=release.deployment, before=release.changed_at)
    enough = {release.version: metric.minimum, release.previous: max(metric.minimum, TELLING), "": metric.minimum}
    for version, least in enough.items():
        units = source.before(tx, boundary, version=version, wanted=want)
        if len(units) >= least:
            after = 0 if metric.source == "feedback" else boundary
            live = release.version or "A version for a segment"
            why = f"{live} went live."
            return Plan(units, after, why, version, release.version, boundary, source.thinning)
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
    # A change of traffic moves nothing while an epoch lasts, and where its reference stays the next one reads the same.
    source = source.thinned(Thinning.of(details))
    if encoder != details.get("encoder", ""):
        return same_reference(tx, source, epoch, "The encoder changed; the reference stays.")
    if rhythm != details.get("rhythm", "none"):
        return same_reference(tx, source, epoch, "The declared rhythm changed; the reference stays.")
    if metric.per_release and release is not None and release.generation != details.get("generation", 0):
        return release_plan(tx, source, metric, params, release, settings=settings, rhythm=rhythm)
    if epoch["alarmed_at"] is not None:
        if alert is None:
            return same_reference(tx, source, epoch, "The alarm is over; the reference stays.")
        return _new_normal(tx, source, metric, params, epoch, alert)
    if epoch["seen_rows"] >= epoch["horizon"]:
        return _latest(tx, source, metric, params, epoch, "The epoch reached its horizon.", settings, rhythm)
    if tx.now - epoch["started_at"] >= timedelta(days=settings.epoch_days):
        why = f"The epoch lasted {settings.epoch_days} days."
        return _latest(tx, source, metric, params, epoch, why, settings, rhythm)
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
    return Plan(units, epoch["seen_id"], why, version, version, int(details.get("boundary", 0)), source.thinning)


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
    return Plan(units, epoch["seen_id"], reason, reference, version, boundary, source.thinning)


def _latest(
    tx: Tx,
    source: Source,
    metric: Any,
    params: Mapping[str, Any],
    epoch: Mapping[Any, Any],
    reason: str,
    settings: MonitorSettings,
    rhythm: str,
) -> Plan | None:
    details = epoch["details"]
    want = max(int(parameter(params, "reference", REFERENCE)), metric.minimum, whole(rhythm))
    version, boundary = details.get("version", ""), int(details.get("boundary", 0))
    fresh = thinned(tx, source, params, settings)
    units = fresh.spanning(tx, 1, epoch["seen_id"], version=version, wanted=want)
    if len(units) < metric.minimum:
        return same_reference(tx, source, epoch, reason)
    return Plan(units, epoch["seen_id"], reason, version, version, boundary, fresh.thinning)
