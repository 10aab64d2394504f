"""What the Probes page shows: the newest pass of each version, the exchanges behind it, and passes asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from store.queries.monitors import NARROW
from store.tables import commands, measurements, monitors, ticks
from store.unit_of_work import Tx

METRIC = "adversarial"
IMPORTED = "garak"
LOOKED_BACK = timedelta(days=90)


def suites(tx: Tx) -> list[sa.RowMapping]:
    """The monitors that ask probe suites, or hold imported runs, by name."""
    return tx.all(sa.select(monitors).where(monitors.c.metric.in_((METRIC, IMPORTED))).order_by(monitors.c.name))


def newest(tx: Tx, monitor_id: int, *, now: datetime, limit: int = 8) -> list[sa.RowMapping]:
    """The newest main measurement of each version of the last ninety days, newest first, with details."""
    mine = measurements.c.monitor_id == monitor_id, measurements.c.metric == METRIC, measurements.c.segment == ""
    last = (
        sa.select(sa.func.max(measurements.c.id).label("id"))
        .where(*mine, measurements.c.version != "", measurements.c.at >= now - LOOKED_BACK)
        .group_by(measurements.c.version)
        .subquery()
    )
    query = sa.select(measurements).join(last, last.c.id == measurements.c.id)
    return tx.all(query.order_by(measurements.c.id.desc()).limit(limit))


def look(tx: Tx, row: Any) -> list[sa.RowMapping]:
    """Everything that was measured with `row`, in order, without details."""
    together = measurements.c.monitor_id == row["monitor_id"], measurements.c.at == row["at"]
    query = sa.select(*NARROW).where(
        *together, measurements.c.version == row["version"], measurements.c.id >= row["id"]
    )
    return tx.all(query.order_by(measurements.c.id).limit(300))


def failed_pass(tx: Tx, monitor_id: int) -> sa.RowMapping | None:
    """The monitor's newest pass, when it failed; None otherwise."""
    newest = sa.select(ticks).where(ticks.c.monitor_id == monitor_id, ticks.c.state != "claimed")
    row = tx.one(newest.order_by(ticks.c.scheduled_for.desc()).limit(1))
    return row if row is not None and row["state"] == "failed" else None


def asked(tx: Tx, monitor: str, looked_at: int = 20) -> sa.RowMapping | None:
    """The newest pass over `monitor` that somebody asked for, among the newest commands, or None."""
    query = sa.select(commands).where(commands.c.kind == "run_suite").order_by(commands.c.id.desc())
    rows: Sequence[sa.RowMapping] = tx.all(query.limit(looked_at))
    return next((row for row in rows if row["args"].get("monitor") == monitor), None)
