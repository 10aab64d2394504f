"""Up to which key every row is there: on PostgreSQL, several writers take keys in one order and commit in another.

A reader that goes on above the last key it saw would never see a row with a smaller key that is committed later. So a
writer says before its first key which keys are all smaller than its own, and readers go no further than the least that
a transaction under way has said. It says so by an advisory lock that all may share, which nobody waits for and which
ends with its transaction, however that ends; and by another since when it is at work, which the server itself tells
only its own account. SQLite has one writer at a time: keys are committed in their order.
"""

from __future__ import annotations

import sqlalchemy as sa

from store.tables import feedback, inferences
from store.unit_of_work import Tx

# So long a writer is waited for: an import of a large file takes minutes, and monitors stand still meanwhile.
PATIENCE_SECONDS = 600
# An advisory lock is a number of 64 bits: which table, and below these bits a key; or that it is a time, and below them
# hundredths of a second since 1970.
_KEY_BITS = 40
_TABLES = {inferences.name: 7_305_802, feedback.name: 7_305_803}
_BEGAN = 7_305_804


def announce(tx: Tx, table: sa.Table) -> None:
    """Say, once a transaction and before its first new key of `table`, that keys so far are not its own."""
    if table.name in tx.announced or tx.connection.dialect.name != "postgresql":
        return
    newest = sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0)).scalar_subquery()
    told = sa.literal(_TABLES[table.name] << _KEY_BITS, sa.BigInteger) + newest
    began = sa.literal(_BEGAN << _KEY_BITS, sa.BigInteger) + sa.cast(
        sa.func.floor(sa.extract("epoch", sa.func.now()) * 100), sa.BigInteger
    )
    tx.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(began), sa.func.pg_advisory_xact_lock_shared(told)))
    tx.announced.add(table.name)


def newest(tx: Tx, table: sa.Table, *, patience_seconds: float | None = None) -> int:
    """The key up to which every row of `table` that will ever be there can be read now; 0 where there is none.

    Of what another transaction has under way for longer than `patience_seconds` (by default PATIENCE_SECONDS) the keys
    are passed over.
    """
    # In this order: who ends between the two is seen by whatever is read after them.
    last = int(tx.scalar(sa.select(sa.func.max(table.c.id))) or 0)
    if tx.connection.dialect.name != "postgresql":
        return last
    patience = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
    values = {"table": _TABLES[table.name], "began": _BEGAN, "patience": patience, "bits": _KEY_BITS}
    least = tx.scalar(_UNDER_WAY, values)
    return last if least is None else min(last, int(least))


_UNDER_WAY = sa.text(
    """
    WITH said AS MATERIALIZED (
        SELECT pid, number >> :bits AS what, number & ((1::bigint << :bits) - 1) AS value
        FROM (
            SELECT pid, (classid::bigint << 32) | objid::bigint AS number FROM pg_locks
            WHERE locktype = 'advisory' AND objsubid = 1 AND pid <> pg_backend_pid()
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        ) held
    )
    SELECT min(keys.value)
    FROM said keys LEFT JOIN said times ON times.pid = keys.pid AND times.what = :began
    WHERE keys.what = :table
      AND (times.value IS NULL OR times.value > (extract(epoch FROM clock_timestamp()) - :patience) * 100)
    """
)
