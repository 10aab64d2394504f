"""A SQLite file that is moved away, or replaced by another, while a store has it open: nothing is written beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.errors import Unavailable
from store import tables
from store.unit_of_work import Store
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = make_store(f"sqlite:///{tmp_path / 'trimtab.db'}", now=NOW)
    yield opened
    opened.close()


def note(store: Store, subject: str) -> None:
    with store.write(NOW) as tx:
        tx.audit("ann", "noted", subject)


def noted(store: Store) -> list[str]:
    with store.read() as tx:
        rows = tx.all(sa.select(tables.audit_events.c.subject).where(tables.audit_events.c.kind == "noted"))
        return [str(row["subject"]) for row in rows]


def put(folder: Path, name: str) -> None:
    """Put the file `name` in the database's place, as a restore by hand does."""
    for ending in ("-wal", "-shm"):
        (folder / f"trimtab.db{ending}").unlink(missing_ok=True)
    os.replace(folder / name, folder / "trimtab.db")


def test_a_file_that_is_gone_is_said_to_be_and_no_empty_one_is_made(store: Store, tmp_path: Path) -> None:
    note(store, "before")
    for ending in ("", "-wal", "-shm"):
        os.rename(tmp_path / f"trimtab.db{ending}", tmp_path / f"away.db{ending}")
    for _ in range(2):
        with pytest.raises(Unavailable, match="The database file is gone"):
            note(store, "lost")
        with pytest.raises(Unavailable, match="The database file is gone"):
            noted(store)
    assert not (tmp_path / "trimtab.db").exists()
    for ending in ("", "-wal", "-shm"):
        if (tmp_path / f"away.db{ending}").exists():
            os.rename(tmp_path / f"away.db{ending}", tmp_path / f"trimtab.db{ending}")
    note(store, "after")
    assert noted(store) == ["before", "after"]


def test_a_backup_put_in_its_place_is_read_and_written_from_then_on(store: Store, tmp_path: Path) -> None:
    note(store, "before")
    store.close()
    shutil.copy(tmp_path / "trimtab.db", tmp_path / "backup")
    note(store, "since")
    put(tmp_path, "backup")
    note(store, "after")
    assert noted(store) == ["before", "after"]
    again = Store.open(f"sqlite:///{tmp_path / 'trimtab.db'}")
    assert noted(again) == ["before", "after"], "and others read the same"
    again.close()


def test_garbage_put_in_its_place_is_called_damaged_until_it_is_restored(store: Store, tmp_path: Path) -> None:
    note(store, "before")
    store.close()
    shutil.copy(tmp_path / "trimtab.db", tmp_path / "backup")
    assert noted(store) == ["before"]
    (tmp_path / "garbage").write_bytes(b"no database " * 1000)
    put(tmp_path, "garbage")
    with pytest.raises(Unavailable, match="damaged"):
        note(store, "lost")
    put(tmp_path, "backup")
    note(store, "after")
    assert noted(store) == ["before", "after"]


def test_a_file_that_cannot_be_written_is_read_and_said_to_be(store: Store) -> None:
    note(store, "before")
    store.close()
    sa.event.listen(store.engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only=ON"))
    with pytest.raises(Unavailable, match=r"can only be read\. Let the account"):
        note(store, "lost")
    assert noted(store) == ["before"]


def test_a_store_whose_connections_all_wait_says_so(tmp_path: Path) -> None:
    opened = make_store(f"sqlite:///{tmp_path / 'trimtab.db'}", now=NOW)
    pool = opened.engine.pool
    assert isinstance(pool, sa.pool.QueuePool)
    pool._timeout, held = 0.01, [opened.engine.connect() for _ in range(pool.size() + pool._max_overflow)]
    with pytest.raises(Unavailable, match="keeps everybody waiting"):
        noted(opened)
    for connection in held:
        connection.close()
    assert noted(opened) == []
    opened.close()
