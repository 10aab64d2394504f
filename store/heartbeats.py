"""The pulse of each process: who runs, since when, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from store.tables import heartbeats
from store.unit_of_work import Tx


def beat(tx: Tx, process: str, role: str, pid: int, started_at: datetime, info: Mapping[str, Any]) -> None:
    """Record that `process` is alive at the database's time."""
    tx.upsert(
        heartbeats,
        ["process"],
        process=process,
        role=role,
        pid=pid,
        started_at=started_at,
        at=tx.database_now(),
        info=dict(info),
    )


def ages(tx: Tx) -> list[dict[str, Any]]:
    """Every process with the seconds since its last beat, newest first."""
    now = tx.database_now()
    rows = tx.all(sa.select(heartbeats).order_by(heartbeats.c.at.desc()))
    return [{**row, "age": (now - row["at"]).total_seconds()} for row in rows]
