"""Segments in the store: what a deployment's traffic is, which segments there are, and those with their own version."""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa

from core.errors import InvalidInput
from core.segments import MARK, Segment, split
from store.tables import deployments, inferences, routes
from store.unit_of_work import Tx

# The newest answers to clients that say which segments there are. Their number bounds the work, whatever the history.
LOOKED_AT = 10_000
_NAMED = 12


def within(column: sa.ColumnElement[str], deployment: str) -> sa.ColumnElement[bool]:
    """The condition that `column` names `deployment` or one of its segments: the traffic of all whom it serves."""
    return sa.or_(column == deployment, column.startswith(f"{deployment}{MARK}", autoescape=True))


def seen(tx: Tx, base: str) -> dict[Segment, int]:
    """Each segment among the newest LOOKED_AT answers of `base`, and how many people it is there; the largest first.

    People are told apart by their pseudonym, else by the conversation, else each request is somebody.
    """
    columns = inferences.c.labels, inferences.c.user_hash, inferences.c.conversation, inferences.c.uuid
    query = sa.select(*columns).where(inferences.c.kind == "live", within(inferences.c.deployment, base))
    people: dict[Segment, set[str]] = defaultdict(set)
    for row in tx.all(query.order_by(inferences.c.id.desc()).limit(LOOKED_AT)):
        for label, value in row["labels"].items():
            if label and value and "=" not in label:
                people[Segment(label, value)].add(row["user_hash"] or row["conversation"] or row["uuid"])
    return {segment: len(people[segment]) for segment in sorted(people, key=lambda one: (-len(people[one]), one))}


def require_seen(tx: Tx, base: str, segment: Segment) -> int:
    """How many people `segment` is. Raises InvalidInput, which names the segments there are, where nobody is in it."""
    found = seen(tx, base)
    if segment not in found:
        known = ", ".join(str(one) for one in list(found)[:_NAMED])
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        there = f"There are: {known}{more}." if found else "Requests carry labels in their metadata; none did so far."
        raise InvalidInput(f"No request of {base} carried {str(segment)[:80]} lately.", there)
    return found[segment]


def own(tx: Tx, base: str) -> list[sa.RowMapping]:
    """The routes of those segments of `base` that have a version of their own or a trial, in the order they match.

    Each with the live row's `uuid`, `kind`, `verified_at` and `message`.
    """
    columns = [deployments.c[name] for name in ("uuid", "kind", "verified_at", "message")]
    rows = tx.all(
        sa.select(routes, *columns)
        .join(deployments, deployments.c.id == routes.c.deployment_id)
        .where(routes.c.deployment.startswith(f"{base}{MARK}", autoescape=True))
    )
    return sorted(rows, key=lambda row: split(row["deployment"])[1] or Segment("", ""))
