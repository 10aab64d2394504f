"""What the Monitors page shows of one monitor: its series, segments, epochs, runs and the rows behind a look."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from core.thinning import Thinning
from store.tables import alerts, epochs, inference_texts, inferences, measurements, monitors, silences, ticks
from store.unit_of_work import Tx

NARROW = [column for column in measurements.c if column.name != "details"]


def one(tx: Tx, name: str) -> sa.RowMapping | None:
    """The monitor called `name`, or None."""
    return tx.one(sa.select(monitors).where(monitors.c.name == name))


def metrics(tx: Tx, monitor_id: int) -> list[str]:
    """The names of what the monitor measured lately, most recent first."""
    rows = tx.all(
        sa.select(measurements.c.metric)
        .where(measurements.c.monitor_id == monitor_id)
        .order_by(measurements.c.id.desc())
        .limit(200)
    )
    return list(dict.fromkeys(row["metric"] for row in rows))


def series(
    tx: Tx, monitor_id: int, metric: str, *, since: datetime, segment: str = "", limit: int = 1000
) -> list[sa.RowMapping]:
    """Measurements of one metric since `since`, oldest first; the newest `limit` where there are more."""
    mine = measurements.c.monitor_id == monitor_id, measurements.c.metric == metric
    query = sa.select(*NARROW).where(*mine, measurements.c.segment == segment, measurements.c.at >= since)
    return tx.all(query.order_by(measurements.c.id.desc()).limit(limit))[::-1]


def latest_look(tx: Tx, monitor_id: int) -> list[sa.RowMapping]:
    """Everything the monitor measured at its last look, with details: all metrics and segments, in order.

    A run that had fallen behind looks several times under one tick: of those only the last measurement counts.
    """
    last = tx.one(
        sa.select(measurements.c.id, measurements.c.tick_id)
        .where(measurements.c.monitor_id == monitor_id)
        .order_by(measurements.c.id.desc())
        .limit(1)
    )
    if last is None:
        return []
    query = sa.select(measurements).where(measurements.c.monitor_id == monitor_id, measurements.c.id > last["id"] - 500)
    if last["tick_id"] is None:
        query = query.where(measurements.c.id == last["id"])
    else:
        query = query.where(measurements.c.tick_id == last["tick_id"])
    rows = tx.all(query.order_by(measurements.c.id))
    return list({(row["metric"], row["segment"], row["version"]): row for row in rows}.values())


def last_good(tx: Tx, monitor_id: int) -> datetime | None:
    """When the monitor last had enough data and no error."""
    found: datetime | None = tx.scalar(
        sa.select(measurements.c.at)
        .where(measurements.c.monitor_id == monitor_id, measurements.c.status.in_(("ok", "breach")))
        .order_by(measurements.c.id.desc())
        .limit(1)
    )
    return found


def epochs_of(tx: Tx, monitor_id: int, limit: int = 10) -> list[sa.RowMapping]:
    """The monitor's epochs, newest first, without their state."""
    columns = [column for column in epochs.c if column.name != "state"]
    query = sa.select(*columns).where(epochs.c.monitor_id == monitor_id)
    return tx.all(query.order_by(epochs.c.id.desc()).limit(limit))


def thinned(tx: Tx) -> dict[int, int]:
    """One conversation in how many each monitor's running epoch reads, by the monitor's key."""
    rows = tx.all(sa.select(epochs.c.monitor_id, epochs.c.details).where(epochs.c.ended_at.is_(None)))
    return {row["monitor_id"]: Thinning.of(row["details"]).one_in for row in rows}


def ticks_of(tx: Tx, monitor_id: int, limit: int = 10) -> list[sa.RowMapping]:
    """The monitor's latest runs, newest first."""
    query = sa.select(ticks).where(ticks.c.monitor_id == monitor_id)
    return tx.all(query.order_by(ticks.c.scheduled_for.desc()).limit(limit))


def next_runs(tx: Tx) -> dict[int, datetime]:
    """When each enabled monitor is due next, by its key: its last run and its interval."""
    last = sa.select(sa.func.max(ticks.c.scheduled_for)).where(ticks.c.monitor_id == monitors.c.id).scalar_subquery()
    rows = tx.all(sa.select(monitors.c.id, monitors.c.every_seconds, last.label("at")).where(monitors.c.enabled))
    return {row["id"]: row["at"] + timedelta(seconds=row["every_seconds"]) for row in rows if row["at"] is not None}


def alerts_of(tx: Tx, monitor: str, limit: int = 10) -> list[sa.RowMapping]:
    """The monitor's alerts, newest first."""
    query = sa.select(alerts).where(alerts.c.monitor == monitor).order_by(alerts.c.id.desc())
    return tx.all(query.limit(limit))


def silences_of(tx: Tx, monitor: str, now: datetime) -> list[sa.RowMapping]:
    """Silences in force for the monitor, its own and those for all."""
    return tx.all(
        sa.select(silences).where(
            silences.c.monitor.in_(("", monitor)),
            silences.c.ends_at > now,
            silences.c.ended_early_at.is_(None),
        )
    )


def exchanges(tx: Tx, *, ids: Sequence[int] = (), uuids: Sequence[str] = (), limit: int = 20) -> list[dict[str, Any]]:
    """Captured exchanges by key or uuid, in the order asked for. Their texts are hostile input."""
    if not ids and not uuids:
        return []
    query = (
        sa.select(
            inferences.c.id,
            inferences.c.uuid,
            inferences.c.at,
            inferences.c.version,
            inferences.c.labels,
            inference_texts.c.prompt,
            inference_texts.c.response,
        )
        .join(inference_texts, inference_texts.c.inference_id == inferences.c.id)
        .where(sa.or_(inferences.c.id.in_(list(ids)[:limit]), inferences.c.uuid.in_(list(uuids)[:limit])))
    )
    places = {key: place for place, key in enumerate([*ids, *uuids])}
    rows = [dict(row) for row in tx.all(query)]
    return sorted(rows, key=lambda row: places.get(row["id"], places.get(row["uuid"], 0)))
