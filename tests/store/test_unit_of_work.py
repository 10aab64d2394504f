"""Units of work: the write lock, guarded moves, the chain under contention, times that come back as they went."""

from __future__ import annotations

import os
import socket
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from core.errors import Conflict, IllegalMove, InvalidInput, Unavailable
from core.states import NOTICE, RUN
from store import audit, heartbeats, schema, unit_of_work
from store.tables import audit_events, metadata, monitors, options, runs
from store.unit_of_work import Store
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def test_read_modify_write_from_many_threads_loses_nothing(empty_store: Store) -> None:
    with empty_store.write(NOW) as tx:
        tx.insert(options, name="counter", value={"n": 0}, changed_at=NOW)

    def add() -> None:
        for _ in range(10):
            with empty_store.write(NOW) as tx:
                row = tx.one(sa.select(options.c.value).where(options.c.name == "counter").with_for_update())
                assert row is not None
                tx.execute(sa.update(options).values(value={"n": row["value"]["n"] + 1}))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with empty_store.read() as tx:
        assert tx.scalar(sa.select(options.c.value).where(options.c.name == "counter")) == {"n": 40}


def test_the_chain_stays_whole_when_many_write_at_once(empty_store: Store) -> None:
    def write(name: str) -> None:
        for number in range(8):
            with empty_store.write(NOW + timedelta(seconds=number)) as tx:
                tx.audit(name, "thing.happened", f"thing-{number}", {"number": number, "words": ["ä", "日"]})

    threads = [threading.Thread(target=write, args=(f"writer-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with empty_store.read() as tx:
        found = audit.verify(tx)
    assert (found.bad, found.count) == (None, 33)


@pytest.mark.parametrize("column", ["actor", "kind", "subject", "body", "hash", "at"])
def test_an_edited_event_is_found_and_named(empty_store: Store, column: str) -> None:
    with empty_store.write(NOW) as tx:
        for number in range(5):
            tx.audit("ann", "thing.happened", str(number), {"n": number})
        value = {"body": {"n": 99}, "at": 5}.get(column, "forged")
        tx.execute(sa.update(audit_events).where(audit_events.c.id == 3).values({column: value}))
        assert audit.verify(tx).bad == 3


def test_a_failed_transaction_leaves_neither_row_nor_event(empty_store: Store) -> None:
    with pytest.raises(RuntimeError), empty_store.write(NOW) as tx:  # noqa: PT012
        tx.insert(options, name="half", value={}, changed_at=NOW)
        tx.audit("ann", "option.set", "half", {})
        raise RuntimeError
    with empty_store.read() as tx:
        assert tx.one(sa.select(options).where(options.c.name == "half")) is None
        assert audit.verify(tx).count == 1


def test_the_store_refuses_moves_and_states_outside_the_machine(empty_store: Store) -> None:
    with empty_store.write(NOW) as tx:
        id = tx.insert(runs, uuid="r", state="queued", created_at=NOW)
        with pytest.raises(IllegalMove, match="queued and cannot become succeeded"):
            tx.move(runs, RUN, id, "succeeded")
        tx.move(runs, RUN, id, "running")
    with pytest.raises(Conflict), empty_store.write(NOW) as tx:
        tx.execute(sa.update(runs).values(state="confused"))
    assert NOTICE.final == ("sent", "dropped")


def test_times_keep_their_instant_whatever_their_zone(empty_store: Store) -> None:
    local = datetime(2026, 3, 29, 3, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with empty_store.write(NOW) as tx:
        id = tx.insert(monitors, name="m", metric="x", created_at=local)
        found = tx.scalar(sa.select(monitors.c.created_at).where(monitors.c.id == id))
    assert found == local
    assert found.tzinfo is UTC
    with pytest.raises(sa.exc.StatementError, match="zone"), empty_store.write(NOW) as tx:
        tx.insert(monitors, name="n", metric="x", created_at=datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_heartbeat_ages_by_the_database_clock(empty_store: Store) -> None:
    with empty_store.write(NOW) as tx:
        heartbeats.beat(tx, "gateway-1", "gateway", 12, NOW, {"live": "assistant-v1"})
        heartbeats.beat(tx, "gateway-1", "gateway", 12, NOW, {"live": "assistant-v2"})
    with empty_store.read() as tx:
        (row,) = heartbeats.ages(tx)
    assert row["info"] == {"live": "assistant-v2"}
    assert 0 <= row["age"] < 30


def test_migrations_make_exactly_the_tables_of_the_code(empty_store: Store) -> None:
    with empty_store.engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    assert found == []
    schema.require_current(empty_store)


def test_a_store_without_tables_says_what_to_do(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(Unavailable, match="trimtab doctor --repair"):
        schema.require_current(store)
    store.close()


def test_an_unknown_database_is_refused_in_a_sentence() -> None:
    with pytest.raises(InvalidInput, match="mysql is not supported"):
        Store.open("mysql://localhost/x")
    with pytest.raises(InvalidInput, match="cannot be read"):
        Store.open("not a url")


def test_a_missing_folder_is_named_as_such(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}")
    with pytest.raises(Unavailable, match="cannot be opened"), store.read():
        pass


def test_a_damaged_file_is_a_database_that_is_away(tmp_path: Path) -> None:
    """Captures then wait in memory, and a rollback goes through the pointer."""
    (tmp_path / "x.db").write_bytes(b"no database" * 1000)
    store = Store.open(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(Unavailable, match="is damaged"), store.write(NOW):
        pass
    store.close()


def test_insert_once_says_whether_it_wrote(empty_store: Store) -> None:
    with empty_store.write(NOW) as tx:
        told = [tx.insert_once(monitors, name="one", metric="errors", created_at=NOW) for _ in range(2)]
    assert told == [True, False]


def test_who_writes_beside_a_process_that_hangs_is_told_and_does_not_hang_too(
    empty_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was stopped, with the chain's lock in its hands: nobody else can write, and must say so."""
    monkeypatch.setattr(unit_of_work, "LOCK_SECONDS", 1)
    other = Store.open(empty_store.engine.url.render_as_string(hide_password=False))
    try:
        with empty_store.write(NOW) as stopped:
            stopped.audit("ann", "noted", "one")
            with pytest.raises(Unavailable, match="locked by another process"), other.write(NOW) as tx:
                tx.audit("ann", "noted", "two")
            with other.read() as tx:
                assert audit.verify(tx).count == 1
        with other.write(NOW) as tx:
            tx.audit("ann", "noted", "two")
            assert audit.verify(tx).bad is None
    finally:
        other.close()


@pytest.mark.postgres
def test_a_server_that_went_away_without_a_word_is_given_up(postgres_url: str) -> None:
    opened = make_store(postgres_url, now=NOW)
    try:
        with opened.read() as tx:
            driver: Any = tx.connection.connection.driver_connection
            with socket.socket(fileno=os.dup(driver.pgconn.socket)) as line:
                assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                silent = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
                asked = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
                assert silent + asked * line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) <= 60
    finally:
        opened.close()
