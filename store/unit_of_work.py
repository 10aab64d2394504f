"""One store, two kinds of transaction: reads see a snapshot; writes take the write lock first and audit as they go."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, CursorResult, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import QueuePool

from core.errors import Conflict, IllegalMove, InvalidInput, Unavailable
from core.events import GENESIS, canonical, link
from core.states import Machine
from core.types import micros
from store.tables import audit_events

SOUND_SQLITE = (3, 51, 3)
LOCK_SECONDS, CONNECT_SECONDS = 15, 5
# A server that went away without a word, with its machine or the network, is given up after about a minute: the system
# itself asks after two hours.
_KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
_AUDIT_LOCK = 7_305_801
GONE = "the file that was open is gone"
_BEGIN, _WRITING = "trimtab_begin", "BEGIN IMMEDIATE"


class Tx:
    """A transaction in progress. `now` is the caller's time; nothing here reads a clock but `database_now`."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self.connection = connection
        self.now = now
        self.announced: set[str] = set()

    def execute(self, statement: sa.Executable, rows: Any = None) -> CursorResult[Any]:
        """Run a statement."""
        result = self.connection.execute(statement, rows) if rows is not None else self.connection.execute(statement)
        return result

    def one(self, statement: sa.Executable) -> sa.RowMapping | None:
        """The first row, or None."""
        return self.connection.execute(statement).mappings().first()

    def all(self, statement: sa.Executable) -> list[sa.RowMapping]:
        """Every row."""
        return list(self.connection.execute(statement).mappings())

    def scalar(self, statement: sa.Executable, values: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row, or None. `values` are those of the statement's own parameters."""
        return self.connection.execute(statement, values).scalar()

    def insert(self, table: sa.Table, **values: Any) -> int:
        """Insert a row and return its integer key (0 where the table's key is not one)."""
        made = self.connection.execute(sa.insert(table).values(**values)).inserted_primary_key
        return int(made[0]) if made and isinstance(made[0], int) else 0

    def insert_once(self, table: sa.Table, **values: Any) -> bool:
        """Insert unless a unique constraint already holds such a row. Returns whether a row was written."""
        # Not by the count of rows: with PostgreSQL's driver that is -1 for an insert that returns its key.
        statement = self._insert(table).values(**values).on_conflict_do_nothing().returning(sa.literal(1))
        return self.connection.execute(statement).first() is not None

    def upsert(self, table: sa.Table, keys: list[str], **values: Any) -> None:
        """Insert, or replace the other columns of the row with the same `keys`."""
        statement = self._insert(table).values(**values)
        rest = {name: statement.excluded[name] for name in values if name not in keys}
        self.connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=rest))

    def move(self, table: sa.Table, machine: Machine, id: int, new: str, **values: Any) -> None:
        """Move row `id` to state `new` if its machine allows it from where it is now; otherwise raise IllegalMove."""
        statement = (
            sa.update(table)
            .where(table.c.id == id, table.c.state.in_(machine.sources(new)))
            .values(state=new, **values)
        )
        if self.connection.execute(statement).rowcount != 1:
            old = self.scalar(sa.select(table.c.state).where(table.c.id == id))
            raise IllegalMove(
                f"The {machine.name} is {old or 'gone'} and cannot become {new}.",
                "Reload to see its present state.",
            )

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """What is written within is undone, and only that, where it raises: the transaction can go on.

        Raises Unavailable and Conflict as a whole transaction does.
        """
        announced = set(self.announced)
        try:
            with _in_our_words(), self.connection.begin_nested():
                yield
        except BaseException:
            self.announced = announced
            raise

    def database_now(self) -> datetime:
        """The database's clock, which leases use: one clock for all processes."""
        if self.connection.dialect.name == "sqlite":
            value = self.scalar(sa.text("SELECT CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"))
        else:
            value = self.scalar(sa.text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"))
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(value))

    def audit(self, actor: str, kind: str, subject: str, body: Mapping[str, Any] | None = None) -> None:
        """Append an event to the chain in this transaction. `body` is JSON without secrets or captured text."""
        if self.connection.dialect.name == "postgresql":
            self.connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_AUDIT_LOCK})"))
        last = self.one(sa.select(audit_events.c.id, audit_events.c.hash).order_by(audit_events.c.id.desc()).limit(1))
        id, previous = (int(last["id"]) + 1, str(last["hash"])) if last else (1, GENESIS)
        at, content = micros(self.now), dict(body or {})
        canonical(content)
        self.connection.execute(
            sa.insert(audit_events).values(
                id=id,
                at=at,
                actor=actor,
                kind=kind,
                subject=subject,
                body=content,
                previous=previous,
                hash=link(id, at, actor, kind, subject, content, previous),
            )
        )

    def _insert(self, table: sa.Table) -> Any:
        if self.connection.dialect.name == "sqlite":
            from sqlalchemy.dialects.sqlite import insert as sqlite_insert

            return sqlite_insert(table)
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert(table)


class Store:
    """The database of an installation. Open with `Store.open`, end with `close`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, url: str, *, patience_seconds: int | None = None) -> Store:
        """A store on `url` (sqlite:///FILE or postgresql+psycopg://...). Connects at the first transaction.

        A lock that is not given to who writes within `patience_seconds` (by default 15), or a connection that
        PostgreSQL does not make (5), raises Unavailable then; where they are named, so does a statement that takes
        PostgreSQL as long, for it may wait for a process that hangs.
        """
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError:
            raise InvalidInput(
                "The database URL cannot be read.",
                "Use sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME.",
            ) from None
        if parsed.get_backend_name() == "sqlite":
            return cls(_sqlite(url, patience_seconds or LOCK_SECONDS))
        if parsed.get_backend_name() == "postgresql":
            return cls(_postgresql(parsed, patience_seconds))
        raise InvalidInput(f"The database {parsed.get_backend_name()} is not supported.", "Use SQLite or PostgreSQL.")

    @contextmanager
    def read(self, now: datetime | None = None) -> Iterator[Tx]:
        """A transaction that only reads."""
        with self._transaction("BEGIN", now) as tx:
            yield tx

    @contextmanager
    def snapshot(self, now: datetime | None = None) -> Iterator[Tx]:
        """The same, all of it as of its first read: what is written meanwhile is not seen, however long it takes."""
        with self._transaction("BEGIN", now) as tx:
            if tx.connection.dialect.name == "postgresql":
                tx.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            yield tx

    @contextmanager
    def write(self, now: datetime) -> Iterator[Tx]:
        """A transaction that writes. On SQLite it holds the write lock from its start (BEGIN IMMEDIATE)."""
        with self._transaction(_WRITING, now) as tx:
            yield tx

    @contextmanager
    def _transaction(self, begin: str, now: datetime | None) -> Iterator[Tx]:
        with _in_our_words(), self.engine.connect() as connection:
            connection = connection.execution_options(**{_BEGIN: begin})
            with connection.begin():
                yield Tx(connection, now or datetime(1970, 1, 1, tzinfo=UTC))

    def close(self) -> None:
        """Release every connection."""
        self.engine.dispose()


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Raise Unavailable or Conflict for what the database says within."""
    try:
        yield
    except OperationalError as error:
        raise _unavailable(error) from error
    except sa.exc.TimeoutError as error:
        # Every connection waits for the database.
        raise Unavailable("The database keeps everybody waiting.", "Try again in a few seconds.") from error
    except sa.exc.IntegrityError as error:
        raise Conflict(
            "Somebody else wrote the same thing at the same moment.",
            "Reload and look before trying again.",
        ) from error
    except DBAPIError as error:
        # SQLite has no class of its own for a file that is damaged.
        if error.connection_invalidated or type(error) is sa.exc.DatabaseError:
            raise _unavailable(error) from error
        raise


def _unavailable(error: DBAPIError) -> Unavailable:
    words = str(error.orig).lower()
    if "locked" in words or "busy" in words or "lock timeout" in words:
        return Unavailable("The database is locked by another process.", "Try again in a few seconds.")
    if "malformed" in words or "not a database" in words:
        return Unavailable("The database file is damaged.", "Restore it from a backup; answers go on meanwhile.")
    if "full" in words or "no space" in words:
        return Unavailable("The disk of the database is full.", "Free some space; nothing acknowledged was lost.")
    if "no such table" in words:
        return Unavailable("The database has no tables yet.", "Run: trimtab doctor --repair, or trimtab up.")
    if "readonly" in words or "read-only" in words:
        return Unavailable(
            "The database can only be read.", "Let the account that runs Trimtab write the file and its folder."
        )
    if "disk i/o" in words:
        return Unavailable(
            "The disk of the database reports an error.",
            "Look at it, and whether the file may be written; answers go on.",
        )
    if GONE in words:
        return Unavailable(
            "The database file is gone, or somewhere else.", "Put it back, or a backup; answers go on meanwhile."
        )
    if "unable to open" in words:
        return Unavailable("The database file cannot be opened.", "Check that its folder exists and can be written.")
    return Unavailable("The database does not answer.", "Check that it runs and that the URL is right.")


def _postgresql(url: sa.URL, patience_seconds: int | None) -> Engine:
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        connect_args={"connect_timeout": patience_seconds or CONNECT_SECONDS, **_KEEPALIVE},
    )
    lock_seconds = LOCK_SECONDS

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # Not as an option of the connection: a pooler between refuses those.
        if patience_seconds:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{patience_seconds}s'")
        elif connection.get_execution_options().get(_BEGIN) == _WRITING:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{lock_seconds}s'")

    return engine


def _sqlite(url: str, lock_seconds: int) -> Engine:
    module: Any = sqlite3
    if sqlite3.sqlite_version_info < SOUND_SQLITE:
        import pysqlite3

        module = pysqlite3
    engine = sa.create_engine(
        url,
        module=module,
        poolclass=QueuePool,
        pool_size=5,
        max_overflow=10,
        connect_args={"timeout": lock_seconds, "check_same_thread": False},
    )

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN loses read-modify-writes
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={lock_seconds * 1000}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))

    if engine.url.database not in (None, "", ":memory:"):
        _follow_file(engine, module)
    return engine


def _follow_file(engine: Engine, module: Any) -> None:
    """Keep to the file of that name. A connection stays on the file that it opened, also when that was moved away or
    another was put in its place: what is written there is lost. One that was there is not made anew, empty."""
    path, known = str(engine.url.database), set[tuple[int, int]]()

    def identity() -> tuple[int, int] | None:
        try:
            found = os.stat(path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    @sa.event.listens_for(engine, "do_connect")
    def _do_connect(*_: Any) -> None:
        if known and identity() is None:
            raise module.OperationalError(GONE)

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: Any, record: Any) -> None:
        record.info["file"] = identity()
        known.add(record.info["file"])

    @sa.event.listens_for(engine, "checkout")
    def _checkout(connection: Any, record: Any, proxy: Any) -> None:
        if record.info["file"] != identity():
            raise sa.exc.DisconnectionError("another file stands in its place")
