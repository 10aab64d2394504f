"""Whether the pages of a SQLite file are sound: one that a disk or another program wrote over in place goes unnoticed
while processes read what they have in memory. PostgreSQL keeps checksums of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from core.errors import Unavailable
from store.unit_of_work import Store

# Steps of SQLite's program between two looks at whether the check is to be left.
_STEPS = 100_000


def find_damage(url: str, *, leave: Callable[[], bool] = lambda: False) -> str:
    """What is wrong with the database at `url`, in a sentence; an empty text where nothing is, or for PostgreSQL.

    Reads the whole file, through a connection that has nothing in memory: seconds a gigabyte, and nobody waits for it.
    Raises Unavailable where the database does not answer, or when `leave` came true.
    """
    fresh = Store.open(url)
    try:
        if fresh.engine.dialect.name != "sqlite":
            return ""
        with fresh.read() as tx:
            driver: Any = tx.connection.connection.driver_connection
            driver.set_progress_handler(leave, _STEPS)
            found = [str(row[0]) for row in tx.execute(sa.text("PRAGMA quick_check(1)"))]
    except Unavailable as error:
        if "damaged" not in error.message:
            raise
        found = [error.message]
    finally:
        fresh.close()
    if found == ["ok"]:
        return ""
    first = found[0].removeprefix("*** in database main ***").strip().rstrip(".") if found else "no answer"
    return f"The database file is damaged ({first}). Keep a copy of it, and restore a backup; answers go on meanwhile."
