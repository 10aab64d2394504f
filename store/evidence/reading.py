"""Reads rows of a period, however many, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from store.evidence.period import Period
from store.unit_of_work import Tx

Row = dict[str, Any]
BATCH = 5000


def within(column: Any, period: Period) -> Any:
    """The condition that a time lies in the period."""
    return sa.and_(column >= period.since, column < period.until)


def touching(begun: Any, ended: Any, period: Period) -> Any:
    """The condition that what began and ended (None: not yet) then touches the period."""
    return sa.and_(begun < period.until, sa.or_(ended.is_(None), ended >= period.since))


def every(tx: Tx, query: Any) -> Iterator[Row]:
    """The rows of a query that is not long."""
    return map(dict, tx.execute(query).mappings())


def by_key(tx: Tx, query: Any, key: Any) -> Iterator[sa.RowMapping]:
    """The rows of `query` in the order of `key`, a page at a time."""
    after = 0
    while rows := tx.all(query.where(key > after).order_by(key).limit(BATCH)):
        yield from rows
        after = int(rows[-1]["id"])


def by_time(tx: Tx, table: sa.Table, wanted: tuple[Any, ...], period: Period) -> Iterator[Row]:
    """The rows of the period in the order of time, a page at a time, along the index of the time."""
    at, key = table.c.at, table.c.id
    place = sa.and_(at >= period.since, at < period.until)
    while True:
        query = sa.select(*wanted, key).where(place).order_by(at, key).limit(BATCH)
        found = tx.execute(query).all()
        names = [column.name for column in wanted]
        for row in found:
            yield dict(zip(names, row, strict=False))
        if len(found) < BATCH:
            return
        last_at, last_key = found[-1].at, found[-1].id
        later = sa.or_(at > last_at, sa.and_(at == last_at, key > last_key))
        place = sa.and_(at >= last_at, at < period.until, later)
