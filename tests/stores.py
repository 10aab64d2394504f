"""Stores for tests: the migrations run once a session and a test gets a copy, which is a tenth of the work."""

from __future__ import annotations

import functools
import tempfile
from datetime import datetime
from pathlib import Path

from store import schema
from store.unit_of_work import Store


def make_store(url: str, *, now: datetime) -> Store:
    """An open store on a new database at `url`: all tables, and only the chain's first event, at `now`."""
    store = Store.open(url)
    if store.engine.dialect.name != "sqlite":
        server, _, name = url.rpartition("/")
        _run(server, f"CREATE DATABASE {name} TEMPLATE {_migrated_database(server, now)}")
        return store
    assert store.engine.url.database is not None
    path = Path(store.engine.url.database)
    assert not path.exists(), f"{path} holds a database already"
    path.write_bytes(_migrated(now))
    return store


@functools.cache
def _migrated(now: datetime) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trimtab.db"
        store = Store.open(f"sqlite:///{path}")
        schema.upgrade(store, now=now)
        store.close()  # takes the write-ahead log into the file
        return path.read_bytes()


@functools.cache
def _migrated_database(server: str, now: datetime) -> str:
    """The name of a database at `server` (a URL without its database) that later ones are copied from."""
    name = f"migrated_{now:%Y%m%d%H%M%S}"
    _run(server, f"CREATE DATABASE {name} TEMPLATE template0")
    store = Store.open(f"{server}/{name}")
    schema.upgrade(store, now=now)
    store.close()  # a database with connections cannot be copied
    return name


def _run(server: str, statement: str) -> None:
    import psycopg

    conninfo = f"{server.replace('postgresql+psycopg', 'postgresql')}/postgres"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(statement.encode())
