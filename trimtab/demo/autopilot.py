"""A simulated approver: answers a proposal that nobody answered for a while, so that the demo tells its story alone."""

from __future__ import annotations

from datetime import datetime, timedelta

from core.errors import TrimtabError
from store import decisions
from store.unit_of_work import Store
from trimtab.demo.home import AUTOPILOT

PATIENCE = timedelta(seconds=45)


def approve_waiting(store: Store, *, now: datetime, patience: timedelta = PATIENCE) -> list[str]:
    """Approve every proposal older than `patience`, as a person would; returns a line for each."""
    with store.read() as tx:
        waiting = [dict(row) for row in decisions.waiting(tx)]
    lines = []
    for row in waiting:
        if row["state"] != "proposed" or now - row["created_at"] < patience:
            continue
        try:
            with store.write(now) as tx:
                decisions.approve(tx, row["uuid"], actor=AUTOPILOT, digest=row["digest"], comment="Demo autopilot.")
            lines.append(f"{AUTOPILOT} approved: {row['kind']} {row['subject']}")
        except TrimtabError:  # somebody answered first
            continue
    return lines
