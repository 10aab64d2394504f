"""Runs a sequential monitor: reads each unit exactly once in key order, steps its test, alarms in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, cast

from core.errors import InvalidInput
from core.thinning import Thinning
from core.types import Estimate, Measurement
from monitors import changed, epochs, ledger, reference, rhythm, verdict, why
from monitors.effects import Effects, parameter
from monitors.epochs import Plan, Release, Wanting
from monitors.metrics import Step, Tracker, Unit
from monitors.reference import Asked
from monitors.sources import Source, source_of
from store import alerts, deployments, segments
from store import monitors as rows
from store.monitors import Tick
from store.unit_of_work import Tx

BATCH = 500
BATCHES = 200
STALE_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Run:
    """A monitor's run in progress: everything its steps share."""

    monitor: Mapping[Any, Any]
    metric: Any
    source: Source
    params: Mapping[str, Any]
    tick: Tick
    effects: Effects
    deployment: str
    rhythm: str

    def reading(self, epoch: Mapping[Any, Any]) -> Source:
        """The source as the epoch reads it."""
        return self.source.thinned(Thinning.of(epoch["details"]))


def run(monitor: Mapping[Any, Any], metric: Any, tick: Tick, effects: Effects) -> list[str]:
    """Bring the monitor up to the newest traffic. Returns the uuids of rule alerts that fired.

    Each batch is one transaction: what was read, the test's state, the measurement and the alert move together or
    not at all, so that a kill at any point neither skips nor repeats a unit.
    """
    job = _job(monitor, metric, tick, effects)
    fired: list[str] = []
    for batch in range(BATCHES):
        epoch = _epoch(job)
        if epoch is None:
            return fired
        tracker = _restored(job, epoch)
        if tracker is None:
            continue
        units, last, more = _following(job, epoch, tracker)
        if not units and last == epoch["seen_id"] and batch:
            break
        step = tracker.update(rhythm.mark(_with_vectors(job, units), job.rhythm))
        fired += _commit(job, epoch, tracker, step, units, last)
        if not more and last == epoch["seen_id"]:
            break
    return fired


def take_reference(monitor: Mapping[Any, Any], metric: Any, tick: Tick, effects: Effects, asked: Asked) -> None:
    """End the running epoch and begin one on the window that a person asked for, with its own grant of the budget."""
    job = _job(monitor, metric, tick, effects)
    with effects.store.read(effects.clock()) as tx:
        epoch = rows.open_epoch(tx, monitor["id"])
        release = live_release(tx, job.deployment)
        alert = alerts.open_alert(tx, f"rule:{monitor['name']}")
        source = job.reading(epoch) if epoch is not None else job.source
        plan = reference.plan(tx, source, metric, epoch, asked, release=release, alert=alert)
    _begin(job, epoch, plan, release, actor=asked.actor)


def _job(monitor: Mapping[Any, Any], metric: Any, tick: Tick, effects: Effects) -> Run:
    deployment = str(monitor["params"].get("deployment") or effects.settings.deployment)
    declared = rhythm.declared(monitor["params"], effects.settings.monitors.rhythm)
    source = source_of(metric, deployment, seed_of(monitor["name"]))
    return Run(monitor, metric, source, monitor["params"], tick, effects, deployment, declared)


def _epoch(job: Run) -> Mapping[Any, Any] | None:
    """The epoch to read for: the running one, or a new one where it is time; None while there is no reference."""
    effects = job.effects
    encoder = effects.embed.identity if job.metric.embedded else ""
    with effects.store.read(effects.clock()) as tx:
        epoch = rows.open_epoch(tx, job.monitor["id"])
        release = live_release(tx, job.deployment)
        alert = alerts.open_alert(tx, f"rule:{job.monitor['name']}")
        plan: Plan | Wanting | None
        settings = effects.settings.monitors
        if epoch is None:
            plan = epochs.first_plan(
                tx, job.source, job.metric, job.params, release, settings=settings, rhythm=job.rhythm
            )
        else:
            plan = epochs.next_plan(
                tx,
                job.source,
                job.metric,
                job.params,
                epoch,
                release=release,
                alert=alert,
                settings=settings,
                encoder=encoder,
                rhythm=job.rhythm,
            )
    if plan is None:
        return epoch
    if isinstance(plan, Wanting):
        _say_wanting(job, plan)
        return None
    _begin(job, epoch, plan, release)
    with effects.store.read(effects.clock()) as tx:
        return rows.open_epoch(tx, job.monitor["id"])


def _restored(job: Run, epoch: Mapping[Any, Any]) -> Tracker | None:
    """The epoch's test as it was left; None when its state cannot be read and a new epoch was begun instead."""
    try:
        return cast("Tracker", job.metric.restore(bytes(epoch["state"]), job.params))
    except InvalidInput:
        with job.effects.store.read(job.effects.clock()) as tx:
            reason = "The state of the epoch could not be read (an upgrade, or damage); the reference stays."
            plan = epochs.same_reference(tx, job.reading(epoch), epoch, reason)
            release = live_release(tx, job.deployment)
        if plan is None:
            raise
        _begin(job, epoch, plan, release)
        return None


def _begin(
    job: Run, old: Mapping[Any, Any] | None, plan: Plan, release: Release | None, *, actor: str = rows.ACTOR
) -> None:
    effects, monitor = job.effects, job.monitor
    units = rhythm.mark(_with_vectors(job, plan.units), job.rhythm)
    horizon = epochs.horizon_of(plan.units, job.params, effects.settings.monitors)
    number = old["number"] + 1 if old else 1
    with effects.store.write(effects.clock()) as tx:
        alpha = ledger.grant(
            tx,
            monitor,
            f"{monitor['name']}/{number}",
            effects.settings.monitors,
            before=old,
            one_in=plan.thinning.one_in,
        )
    seed = seed_of(f"{monitor['name']}/{number}")
    tracker = job.metric.start(units, alpha=alpha, horizon=horizon, seed=seed, params=job.params)
    with effects.store.write(effects.clock()) as tx:
        rows.require_tick(tx, job.tick)
        if old is not None:
            rows.end_epoch(tx, monitor, old, plan.reason)
        rows.start_epoch(
            tx,
            monitor,
            actor=actor,
            reason=plan.reason,
            reference_first=plan.units[0].key,
            reference_last=plan.units[-1].key,
            reference_rows=len(plan.units),
            alpha=alpha,
            horizon=horizon,
            seed=seed,
            seen_id=plan.start_after,
            seen_rows=0,
            state=tracker.to_bytes(),
            details={
                "version": plan.version,
                "reference_version": plan.reference_version,
                "boundary": plan.boundary,
                "encoder": effects.embed.identity if job.metric.embedded else "",
                "rhythm": job.rhythm,
                "thinning": plan.thinning.as_json(),
                "generation": release.generation if release else 0,
                "first_at": plan.units[-1].at.isoformat(),
                "last_at": plan.units[-1].at.isoformat(),
                "read_at": effects.clock().isoformat(),
            },
        )


def _following(job: Run, epoch: Mapping[Any, Any], tracker: Tracker) -> tuple[list[Unit], int, bool]:
    details = epoch["details"]
    limit = min(BATCH, max(tracker.remaining, 1))
    with job.effects.store.read(job.effects.clock()) as tx:
        release = live_release(tx, job.deployment)
        # A release that found too few answers for a reference of its own leaves the epoch to compare all answers.
        same = release is None or release.generation == details.get("generation", 0)
        units, last, more = job.reading(epoch).following(
            tx,
            epoch["seen_id"],
            version=details.get("version", "") if same else "",
            boundary=int(details.get("boundary", 0)),
            limit=limit,
        )
    return units[: tracker.remaining], last, more


def seed_of(name: str) -> int:
    """The seed that belongs to `name`."""
    return int.from_bytes(sha256(name.encode()).digest()[:4], "big")


def _with_vectors(job: Run, units: Sequence[Unit]) -> list[Unit]:
    if not job.metric.embedded or not units:
        return list(units)
    vectors = job.effects.embed([unit.text for unit in units])
    return [replace(unit, vector=vector) for unit, vector in zip(units, vectors, strict=True)]


def _commit(
    job: Run, epoch: Mapping[Any, Any], tracker: Tracker, step: Step, units: Sequence[Unit], last: int
) -> list[str]:
    effects, monitor = job.effects, job.monitor
    details = dict(epoch["details"])
    if units:
        details["last_at"] = units[-1].at.isoformat()
        details["read_at"] = effects.clock().isoformat()
    measured = [_stale(job, details, m) if not units else m for m in changed.measure(tracker)]
    if (one_in := Thinning.of(details).one_in) > 1:
        measured = [replace(m, details={**m.details, "one_in": one_in}) for m in measured]
    if unfilled := rhythm.unfilled(job.rhythm, tracker.sizes):
        measured = [_unfilled(m, unfilled) for m in measured]
    measured = [verdict.checked(m) for m in measured]
    explained = tracker.why() if step.alarm else {}
    if step.alarm:
        details["alarm_key"] = step.alarmed_unit
        details["onset_key"] = explained.get("onset_key") or step.alarmed_unit
        explained = why.build(job, epoch, tracker, measured[0], explained, units)
    with effects.store.write(effects.clock()) as tx:
        rows.require_tick(tx, job.tick)
        if last != epoch["seen_id"] or units:
            rows.advance_epoch(
                tx,
                epoch,
                seen_id=last,
                seen_rows=tracker.seen,
                state=tracker.to_bytes(),
                details=details,
                alarmed_at=tx.now if step.alarm and epoch["alarmed_at"] is None else epoch["alarmed_at"],
            )
        for measurement in measured:
            rows.measure(
                tx,
                monitor["id"],
                measurement,
                tick_id=job.tick.id,
                epoch_id=epoch["id"],
                version=details.get("version", ""),
                first_id=units[0].inference if units else 0,
                last_id=units[-1].inference if units else 0,
            )
        return raise_findings(tx, verdict.findings(monitor, measured, why=explained or None))


def raise_findings(tx: Tx, found: Sequence[alerts.Finding]) -> list[str]:
    """Apply every finding and return the uuids of the rule alerts that now fire and did not before."""
    fired = []
    for finding in found:
        if alerts.apply(tx, finding) == "firing" and finding.kind == "rule":
            row = alerts.open_alert(tx, finding.fingerprint)
            fired += [str(row["uuid"])] if row else []
    return fired


def _say_wanting(job: Run, wanting: Wanting) -> None:
    missing = Measurement(
        job.monitor["metric"],
        Estimate.missing(wanting.have, "none", wanting.want - wanting.have),
        "nodata",
        reason=f"Collecting the reference: {wanting.have} of {wanting.want} rows.",
    )
    with job.effects.store.write(job.effects.clock()) as tx:
        rows.require_tick(tx, job.tick)
        rows.measure(tx, job.monitor["id"], missing, tick_id=job.tick.id)
        raise_findings(tx, verdict.findings(job.monitor, [missing]))


def _stale(job: Run, details: Mapping[str, Any], measurement: Measurement) -> Measurement:
    """NoData in place of a value that nothing new has fed for too long."""
    limit = parameter(job.params, "stale_seconds", STALE_SECONDS)
    read = details.get("read_at")
    if read is None or measurement.status == "breach":
        return measurement
    if job.effects.clock() - datetime.fromisoformat(read) <= timedelta(seconds=limit):
        return measurement
    estimate = Estimate.missing(0, measurement.estimate.method, 1)
    return replace(measurement, estimate=estimate, status="nodata", reason=f"No new rows for {limit:g} seconds.")


def _unfilled(measurement: Measurement, parts: Mapping[str, int]) -> Measurement:
    """The measurement, saying which parts of the day or week have no reference yet."""
    told = ", ".join(f"{part}: {more} more needed" for part, more in parts.items())
    said = f"{measurement.reason} Not judged yet, as they have no reference: {told}.".strip()
    reason = said if measurement.status == "nodata" else measurement.reason
    return replace(measurement, details={**measurement.details, "unfilled": dict(parts)}, reason=reason)


def live_release(tx: Tx, deployment: str) -> Release | None:
    """What serves `deployment` now, or None before anything does.

    Where segments have other versions than everybody, no one version serves: answers are then compared whoever gave
    them, and each flip of a segment is a release.
    """
    row = deployments.current(tx, deployment)
    if row is None:
        return None
    apart = [own for own in segments.own(tx, deployment) if own["version"] != row["version"]]
    return Release(
        deployment,
        "" if apart else row["version"],
        row["previous"],
        sum(own["generation"] for own in (row, *apart)),
        max(own["changed_at"] for own in (row, *apart)),
    )
