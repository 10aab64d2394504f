"""Monitors, their epochs, the ticks that claim a run, and the measurements they leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from core.errors import Conflict, InvalidInput, NotFound
from core.roles import Action
from core.states import TICK
from core.types import Estimate, Measurement, micros
from store import accounts
from store.tables import epochs, measurements, monitors, options, ticks
from store.unit_of_work import Tx

ACTOR = "system:monitors"


@dataclass(frozen=True, slots=True)
class Tick:
    """A claimed run of a monitor. `fence` grows each time another process takes the same tick over."""

    id: int
    monitor_id: int
    scheduled_for: datetime
    fence: int


def ensure(tx: Tx, *, name: str, metric: str, actor: str = ACTOR, **values: Any) -> bool:
    """Add the monitor `name` unless there is one; returns whether it was added. `values` are columns."""
    made = tx.insert_once(monitors, name=name, metric=metric, created_at=tx.now, revision=1, **values)
    if made:
        tx.audit(actor, "monitor.created", name, {"metric": metric})
    return made


def get(tx: Tx, name: str) -> sa.RowMapping:
    """The monitor called `name`. Raises NotFound."""
    row = tx.one(sa.select(monitors).where(monitors.c.name == name))
    if row is None:
        raise NotFound(f"There is no monitor named {name}.", "The Monitors page lists those there are.")
    return row


def listed(tx: Tx, *, enabled: bool | None = None) -> list[sa.RowMapping]:
    """Every monitor by name; with `enabled`, only those that run or only those that are paused."""
    query = sa.select(monitors).order_by(monitors.c.name)
    return tx.all(query if enabled is None else query.where(monitors.c.enabled == enabled))


def pause(tx: Tx, name: str, *, enabled: bool, actor: str) -> None:
    """Pause a monitor, or let it run again."""
    accounts.require(tx, actor, Action.PAUSE_MONITOR)
    row = get(tx, name)
    if row["enabled"] == enabled:
        return
    tx.execute(
        sa.update(monitors).where(monitors.c.id == row["id"]).values(enabled=enabled, revision=row["revision"] + 1)
    )
    tx.audit(actor, "monitor.resumed" if enabled else "monitor.paused", name)


def edit(tx: Tx, name: str, *, revision: int, actor: str, reason: str = "", **changes: Any) -> None:
    """Change `rule`, `params`, `plan`, `severity`, `every_seconds` or `weight` of the revision that was shown.

    A statistical monitor's next epoch takes a changed `params` or `weight`; the running one keeps its promise.
    """
    accounts.require(tx, actor, Action.EDIT_LIMIT)
    unknown = set(changes) - {"rule", "params", "plan", "severity", "every_seconds", "weight"}
    if unknown:
        raise InvalidInput(f"A monitor has no {sorted(unknown)[0]} to change.", "Change its rule, params or plan.")
    before = get(tx, name)
    statement = (
        sa.update(monitors)
        .where(monitors.c.name == name, monitors.c.revision == revision)
        .values(revision=revision + 1, **changes)
    )
    if tx.execute(statement).rowcount != 1:
        raise Conflict(f"{name} was changed since it was shown.", "Reload and look before trying again.")
    body = {"fields": sorted(changes), "revision": revision + 1, "from": {field: before[field] for field in changes}}
    tx.audit(actor, "monitor.changed", name, {**body, "to": changes, **({"reason": reason} if reason else {})})


def budget(tx: Tx, default: float) -> float:
    """The false alarms allowed a period: what an admin set on the Settings page, or `default`."""
    value = tx.scalar(sa.select(options.c.value).where(options.c.name == "monitors.budget"))
    number = value.get("value") if isinstance(value, dict) else value
    return float(number) if isinstance(number, int | float) and number > 0 else default


# --- ticks


def slot(now: datetime, every_seconds: float) -> datetime:
    """The latest point of the monitor's grid at or before `now`: missed points before it fall together into it."""
    step = max(int(every_seconds * 1_000_000), 1)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros(now) // step * step)


def claim_tick(tx: Tx, monitor: Mapping[Any, Any], at: datetime, *, process: str, lease: timedelta) -> Tick | None:
    """Claim the monitor's run for `at`, or None when it ran, is running, or another process holds it.

    A tick whose holder let its lease run out is taken over with a higher fence when it is the one asked for,
    and marked missed otherwise.
    """
    moment = tx.database_now()
    tx.one(sa.select(monitors.c.id).where(monitors.c.id == monitor["id"]).with_for_update())
    held = tx.all(sa.select(ticks).where(ticks.c.monitor_id == monitor["id"], ticks.c.state == "claimed"))
    for row in held:
        if row["lease_until"] > moment:
            return None
        if row["scheduled_for"] != at:
            tx.move(ticks, TICK, row["id"], "missed", finished_at=moment, message="Its process died or stalled.")
            continue
        fence = row["fence"] + 1
        values = {"fence": fence, "claimed_by": process, "lease_until": moment + lease, "started_at": moment}
        tx.execute(sa.update(ticks).where(ticks.c.id == row["id"]).values(**values))
        return Tick(row["id"], monitor["id"], at, fence)
    made = tx.insert_once(
        ticks,
        monitor_id=monitor["id"],
        scheduled_for=at,
        state="claimed",
        claimed_by=process,
        lease_until=moment + lease,
        fence=1,
        started_at=moment,
    )
    if not made:
        return None
    id = tx.scalar(sa.select(ticks.c.id).where(ticks.c.monitor_id == monitor["id"], ticks.c.scheduled_for == at))
    return Tick(int(id), monitor["id"], at, 1)


def is_taken(tx: Tx, monitor: Mapping[Any, Any], at: datetime) -> bool:
    """Whether `claim_tick` would give None, by reading alone."""
    over = sa.and_(ticks.c.scheduled_for == at, ticks.c.state != "claimed")
    held = sa.and_(ticks.c.state == "claimed", ticks.c.lease_until > tx.database_now())
    mine = sa.select(ticks.c.id).where(ticks.c.monitor_id == monitor["id"], sa.or_(over, held))
    return tx.scalar(mine.limit(1)) is not None


def renew_tick(tx: Tx, tick: Tick, lease: timedelta) -> bool:
    """Hold the tick longer; False when it is no longer this process's."""
    statement = sa.update(ticks).where(*_held(tick)).values(lease_until=tx.database_now() + lease)
    return tx.execute(statement).rowcount == 1


def require_tick(tx: Tx, tick: Tick) -> None:
    """Raise Conflict unless the tick is still held with this fence; locks it until the transaction ends."""
    if tx.one(sa.select(ticks.c.id).where(*_held(tick)).with_for_update()) is None:
        raise Conflict("This run of the monitor was taken over by another process.", "Its result is dropped.")


def finish_tick(tx: Tx, tick: Tick, *, message: str = "", failed: bool = False) -> None:
    """Move the tick to done or failed; raises Conflict when it is no longer held."""
    require_tick(tx, tick)
    tx.move(ticks, TICK, tick.id, "failed" if failed else "done", finished_at=tx.database_now(), message=message)


def _held(tick: Tick) -> tuple[sa.ColumnElement[bool], ...]:
    return ticks.c.id == tick.id, ticks.c.state == "claimed", ticks.c.fence == tick.fence


# --- epochs


def open_epoch(tx: Tx, monitor_id: int) -> sa.RowMapping | None:
    """The running epoch of a statistical monitor, or None."""
    return tx.one(sa.select(epochs).where(epochs.c.monitor_id == monitor_id, epochs.c.ended_at.is_(None)))


def epochs_since(tx: Tx, since: datetime, monitor_id: int | None = None) -> list[sa.RowMapping]:
    """Every epoch begun at or after `since`, oldest first, without its state."""
    columns = [column for column in epochs.c if column.name != "state"]
    query = sa.select(*columns).where(epochs.c.started_at >= since).order_by(epochs.c.id)
    return tx.all(query if monitor_id is None else query.where(epochs.c.monitor_id == monitor_id))


def start_epoch(tx: Tx, monitor: Mapping[Any, Any], *, actor: str = ACTOR, **values: Any) -> int:
    """Begin the next epoch and return its key. The one before must have ended (Conflict otherwise)."""
    last = tx.scalar(sa.select(sa.func.max(epochs.c.number)).where(epochs.c.monitor_id == monitor["id"])) or 0
    id = tx.insert(epochs, monitor_id=monitor["id"], number=last + 1, started_at=tx.now, **values)
    body: dict[str, Any] = {
        name: values[name]
        for name in ("alpha", "horizon", "seed", "reference_first", "reference_last", "reference_rows", "reason")
        if name in values
    }
    tx.audit(actor, "epoch.started", monitor["name"], {"epoch": last + 1, **body})
    return id


def advance_epoch(tx: Tx, epoch: Mapping[Any, Any], **values: Any) -> None:
    """Store what an epoch has read. Raises Conflict when somebody else moved it since it was read."""
    statement = (
        sa.update(epochs)
        .where(
            epochs.c.id == epoch["id"],
            epochs.c.ended_at.is_(None),
            epochs.c.seen_id == epoch["seen_id"],
            epochs.c.seen_rows == epoch["seen_rows"],
        )
        .values(**values)
    )
    if tx.execute(statement).rowcount != 1:
        raise Conflict("The epoch moved on since it was read.", "The next run of the monitor goes on from there.")


def end_epoch(tx: Tx, monitor: Mapping[Any, Any], epoch: Mapping[Any, Any], reason: str) -> None:
    """End an epoch, with the reason."""
    statement = sa.update(epochs).where(epochs.c.id == epoch["id"], epochs.c.ended_at.is_(None))
    if tx.execute(statement.values(ended_at=tx.now, reason=reason, state=None)).rowcount != 1:
        raise Conflict("The epoch ended since it was read.", "The next run of the monitor goes on from there.")
    tx.audit(ACTOR, "epoch.ended", monitor["name"], {"epoch": epoch["number"], "reason": reason})


# --- measurements


def measure(
    tx: Tx,
    monitor_id: int,
    measurement: Measurement,
    *,
    tick_id: int | None = None,
    epoch_id: int | None = None,
    version: str = "",
    first_id: int = 0,
    last_id: int = 0,
) -> int:
    """Keep one measurement and return its key."""
    estimate = measurement.estimate
    return tx.insert(
        measurements,
        monitor_id=monitor_id,
        tick_id=tick_id,
        epoch_id=epoch_id,
        at=tx.now,
        metric=measurement.metric,
        segment=measurement.segment,
        version=version,
        status=measurement.status,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
        needed=estimate.needed,
        method=estimate.method,
        reason=measurement.reason,
        first_id=first_id,
        last_id=last_id,
        details=dict(measurement.details),
    )


def latest(tx: Tx, monitor_id: int, limit: int = 1) -> list[sa.RowMapping]:
    """The monitor's last measurements, newest first."""
    query = sa.select(measurements).where(measurements.c.monitor_id == monitor_id)
    return tx.all(query.order_by(measurements.c.id.desc()).limit(limit))


def details_since(tx: Tx, monitor_id: int, metric: str, since: datetime) -> list[tuple[str, Mapping[str, Any]]]:
    """(segment, details) of each measurement of `metric` from `since` on, oldest first."""
    query = sa.select(measurements.c.segment, measurements.c.details).where(
        measurements.c.monitor_id == monitor_id, measurements.c.metric == metric, measurements.c.at >= since
    )
    return [(row["segment"], row["details"]) for row in tx.all(query.order_by(measurements.c.id))]


def last_of(tx: Tx, monitor_id: int, metric: str, *, version: str) -> sa.RowMapping | None:
    """The monitor's last measurement of `metric` over all segments that is about `version`, or None."""
    mine = measurements.c.monitor_id == monitor_id, measurements.c.metric == metric, measurements.c.segment == ""
    query = sa.select(measurements).where(*mine, measurements.c.version == version)
    return tx.one(query.order_by(measurements.c.id.desc()).limit(1))


def estimate_of(row: Mapping[Any, Any]) -> Estimate:
    """The estimate that a measurement row holds."""
    return Estimate(row["value"], row["low"], row["high"], row["n"], row["method"], row["needed"])
