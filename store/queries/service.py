"""What the newest answers cost their askers and their owner: times, failures and tokens, as narrow rows."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from store import streams
from store.segments import within
from store.tables import inferences, runs
from store.unit_of_work import Tx

NEWEST, JUDGED, PRICED, COUNTED = 2_000, 500, 500, 100_000
_COLUMNS = (
    "id", "at", "version", "labels", "status", "error",
    "latency_ms", "first_token_ms", "compute_ms", "prompt_tokens", "completion_tokens",
)  # fmt: skip


def newest(tx: Tx, deployment: str, limit: int = NEWEST) -> list[dict[str, Any]]:
    """The newest `limit` live requests, newest first, without their texts. The cost does not depend on the history."""
    query = (
        sa.select(*[inferences.c[name] for name in _COLUMNS])
        .where(inferences.c.kind == "live", within(inferences.c.deployment, deployment))
        .order_by(inferences.c.id.desc())
        .limit(limit)
    )
    return [dict(row) for row in tx.all(query)]


def priced(tx: Tx, deployment: str, version: str, limit: int = PRICED) -> list[dict[str, Any]]:
    """What the newest `limit` answers of `version` took: tokens, time and conversation, newest first."""
    names = ("id", "conversation", "latency_ms", "compute_ms", "prompt_tokens", "completion_tokens")
    query = sa.select(*[inferences.c[name] for name in names]).where(*_answered(deployment, version))
    return [dict(row) for row in tx.all(query.order_by(inferences.c.id.desc()).limit(limit))]


def answered(tx: Tx, deployment: str, version: str, most: int = COUNTED) -> int:
    """How many live requests `version` has answered; counting ends at `most`."""
    some = sa.select(inferences.c.id).where(*_answered(deployment, version)).limit(most).subquery()
    return int(tx.scalar(sa.select(sa.func.count()).select_from(some)))


def _answered(deployment: str, version: str) -> tuple[sa.ColumnElement[bool], ...]:
    live = inferences.c.kind == "live", inferences.c.status == 200
    return (inferences.c.version == version, within(inferences.c.deployment, deployment), *live)


def disliked(tx: Tx, deployment: str, version: str, limit: int = JUDGED) -> tuple[int, int]:
    """How many of the newest `limit` judged answers of `version` people disliked, and how many were judged."""
    last = streams.last_key(tx, deployment=deployment)
    rows = streams.judgements_before(tx, last, deployment=deployment, wanted=limit, version=version)
    told = [row.negative for row in rows if row.negative is not None]
    return int(sum(told)), len(told)


def run_hours(tx: Tx, uuid: str) -> float | None:
    """How many hours the run took, or None while it lasts."""
    row = tx.one(sa.select(runs.c.started_at, runs.c.ended_at).where(runs.c.uuid == uuid))
    if row is None or row["started_at"] is None or row["ended_at"] is None:
        return None
    return float((row["ended_at"] - row["started_at"]).total_seconds()) / 3600
