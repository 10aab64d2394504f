"""What the Audit page shows: the newest events, page by page."""

from __future__ import annotations

import sqlalchemy as sa

from store.tables import audit_events
from store.unit_of_work import Tx


def newest(tx: Tx, *, limit: int = 100, before: int | None = None, subject: str = "") -> list[sa.RowMapping]:
    """Events, newest first, from before key `before`; with `subject`, only that thing's."""
    query = sa.select(audit_events)
    if before is not None:
        query = query.where(audit_events.c.id < before)
    if subject:
        query = query.where(audit_events.c.subject == subject)
    return tx.all(query.order_by(audit_events.c.id.desc()).limit(limit))


def count(tx: Tx) -> int:
    """How many events the chain holds by its last number."""
    return int(tx.scalar(sa.select(sa.func.max(audit_events.c.id))) or 0)
