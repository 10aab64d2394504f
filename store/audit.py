"""Reads and checks the audit chain; events are written by the transaction that changes the state."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from core.events import AuditEvent, ChainCheck, check
from store.tables import audit_events
from store.unit_of_work import Tx


def events(tx: Tx, *, after: int = 0, batch: int = 1000) -> Iterator[AuditEvent]:
    """Every event after key `after`, oldest first, read in batches."""
    while True:
        rows = tx.all(sa.select(audit_events).where(audit_events.c.id > after).order_by(audit_events.c.id).limit(batch))
        if not rows:
            return
        for row in rows:
            yield AuditEvent(**row)
        after = int(rows[-1]["id"])


def verify(tx: Tx) -> ChainCheck:
    """Check the whole chain and name the first bad event."""
    return check(events(tx))
