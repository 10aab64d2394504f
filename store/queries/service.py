"""What the newest answers cost their askers and their owner: times, failures and tokens, as narrow rows."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from store.tables import inferences
from store.unit_of_work import Tx

NEWEST = 2_000
_COLUMNS = (
    "id", "at", "version", "labels", "status", "error",
    "latency_ms", "first_token_ms", "prompt_tokens", "completion_tokens",
)  # fmt: skip


def newest(tx: Tx, deployment: str, limit: int = NEWEST) -> list[dict[str, Any]]:
    """The newest `limit` live requests, newest first, without their texts. The cost does not depend on the history."""
    query = (
        sa.select(*[inferences.c[name] for name in _COLUMNS])
        .where(inferences.c.kind == "live", inferences.c.deployment == deployment)
        .order_by(inferences.c.id.desc())
        .limit(limit)
    )
    return [dict(row) for row in tx.all(query)]
