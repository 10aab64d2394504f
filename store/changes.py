"""What else changed around a moment: releases, imports, and monitors that were edited. No captured text."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from core.types import micros
from store.segments import within
from store.tables import audit_events, deployments, imports, versions
from store.unit_of_work import Tx

MARGIN = timedelta(hours=1)
_LIMIT = 20


def between(tx: Tx, *, start: datetime, end: datetime, deployment: str) -> list[dict[str, Any]]:
    """Releases of `deployment`, imports and edited monitors from an hour before `start` until `end`, oldest first."""
    start -= MARGIN
    live = (
        sa.select(deployments.c.live_at, deployments.c.kind, deployments.c.reason, versions.c.name)
        .join(versions, versions.c.id == deployments.c.version_id)
        .where(within(deployments.c.deployment, deployment), deployments.c.live_at.between(start, end))
        .order_by(deployments.c.id.desc())
        .limit(_LIMIT)
    )
    found = [(row["live_at"], f"{row['kind']}: {row['name']} went live") for row in tx.all(live)]
    taken = sa.select(imports).where(imports.c.at.between(start, end)).order_by(imports.c.id.desc()).limit(_LIMIT)
    found += [(row["at"], f"import: {row['new_rows']} rows of {row['kind']}") for row in tx.all(taken)]
    edited = (
        sa.select(audit_events.c.at, audit_events.c.kind, audit_events.c.subject)
        .where(audit_events.c.kind.in_(("monitor.changed", "monitor.paused", "monitor.resumed")))
        .where(audit_events.c.at.between(micros(start), micros(end)))
        .order_by(audit_events.c.id.desc())
        .limit(_LIMIT)
    )
    epoch = datetime(1970, 1, 1, tzinfo=start.tzinfo)
    found += [
        (epoch + timedelta(microseconds=row["at"]), f"{row['kind'].replace('.', ' ')}: {row['subject']}")
        for row in tx.all(edited)
    ]
    return [{"at": at.isoformat(), "what": what} for at, what in sorted(found)]
