"""What the Preference data page shows: the funnel, papers, the quarantine, one pair, and the dataset versions."""

from __future__ import annotations

from collections import Counter
from typing import Any

import sqlalchemy as sa

from core.states import PAIR
from store.tables import audit_events, dataset_pairs, datasets, imports, pairs
from store.unit_of_work import Tx

PAGE = 50
# Rows hold their texts, so that papers are counted over the newest ones only.
NEWEST = 5_000
END = 2**62
_TEXTS = ("prompt", "chosen", "rejected")
_NARROW = [column for column in pairs.c if column.name not in _TEXTS]


def counts(tx: Tx) -> dict[str, int]:
    """How many pairs are in each state."""
    rows = tx.all(sa.select(pairs.c.state, sa.func.count().label("n")).group_by(pairs.c.state))
    return {**dict.fromkeys(PAIR.states, 0), **{row["state"]: int(row["n"]) for row in rows}}


def flagged(tx: Tx, states: tuple[str, ...] = ("quarantined",)) -> Counter[str]:
    """How many pairs in these states carry each set of flags, written as a text of flags between spaces."""
    query = sa.select(pairs.c.flags, sa.func.count().label("n")).where(pairs.c.state.in_(states))
    return Counter({str(row["flags"]): int(row["n"]) for row in tx.all(query.group_by(pairs.c.flags))})


def repeats_left_out(tx: Tx) -> int:
    """How many rows of imported files were pairs that were there already."""
    again = sa.select(sa.func.sum(imports.c.rows - imports.c.new_rows)).where(imports.c.kind == "pairs")
    return int(tx.scalar(again) or 0)


def papers(tx: Tx) -> list[sa.RowMapping]:
    """Source, licence and consent of the newest NEWEST pairs with how many there are and how many are approved."""
    newest = sa.select(
        pairs.c.source, pairs.c.licence, pairs.c.consent, pairs.c.state, pairs.c.session, pairs.c.version
    )
    inner = newest.order_by(pairs.c.id.desc()).limit(NEWEST).subquery()
    approved = sa.func.sum(sa.case((inner.c.state == "approved", 1), else_=0)).label("approved")
    named = [
        sa.func.sum(sa.case((inner.c[name] != "", 1), else_=0)).label(f"with_{name}") for name in ("session", "version")
    ]
    kinds = inner.c.source, inner.c.licence, inner.c.consent
    query = sa.select(*kinds, sa.func.count().label("pairs"), approved, *named).group_by(*kinds)
    return tx.all(query.order_by(sa.func.count().desc(), *kinds).limit(PAGE))


def queue(tx: Tx, *, flag: str = "", state: str = "quarantined", before: int = END) -> list[sa.RowMapping]:
    """A page of pairs in `state`, newest first, without their texts; with `flag` only those that carry it."""
    query = sa.select(*_NARROW).where(pairs.c.state == state, pairs.c.id < before)
    if flag:
        query = query.where(pairs.c.flags.contains(f" {flag} ", autoescape=True))
    return tx.all(query.order_by(pairs.c.id.desc()).limit(PAGE))


def one(tx: Tx, uuid: str) -> dict[str, Any] | None:
    """The pair `uuid` with `datasets` that hold it and `events` about it, oldest first; None where there is none."""
    row = tx.one(sa.select(pairs).where(pairs.c.uuid == uuid))
    if row is None:
        return None
    held = (
        sa.select(datasets.c.uuid, datasets.c.digest, datasets.c.created_at, dataset_pairs.c.split)
        .join(dataset_pairs, dataset_pairs.c.dataset_id == datasets.c.id)
        .where(dataset_pairs.c.pair_id == row["id"])
    )
    told = sa.select(audit_events).where(audit_events.c.subject == uuid).order_by(audit_events.c.id).limit(PAGE)
    return {**row, "datasets": tx.all(held.order_by(datasets.c.id.desc()).limit(PAGE)), "events": tx.all(told)}


def versions(tx: Tx, limit: int = 20) -> list[sa.RowMapping]:
    """The newest dataset versions without their cards, newest first."""
    columns = [column for column in datasets.c if column.name != "card"]
    return tx.all(sa.select(*columns).order_by(datasets.c.id.desc()).limit(limit))


def version(tx: Tx, uuid: str) -> sa.RowMapping | None:
    """One dataset version with its card, or None."""
    return tx.one(sa.select(datasets).where(datasets.c.uuid == uuid))
