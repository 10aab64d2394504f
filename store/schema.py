"""Brings a database to the schema of this code, through Alembic's migrations."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from core.errors import Unavailable
from store.unit_of_work import Store


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def upgrade(store: Store, *, now: datetime) -> None:
    """Create or upgrade the tables; the first time, write the chain's first event. Safe to call at every start."""
    config = _config()
    with store.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    with store.write(now) as tx:
        from store.tables import audit_events, options

        if tx.one(audit_events.select().limit(1)) is None:
            tx.audit("system", "installation.created", "installation", {"schema": head()})
            tx.insert_once(options, name="installation", value={}, actor="system", changed_at=now)


def head() -> str:
    """The newest revision that this code knows."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def current(store: Store) -> str:
    """The revision of the database, or an empty text."""
    with store.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() or ""


def require_current(store: Store) -> None:
    """Raise Unavailable when the database was not brought to this code's schema."""
    found = current(store)
    if found != head():
        raise Unavailable(
            f"The database has schema {found or 'none'}, this program needs {head()}.",
            "Run: trimtab doctor --repair.",
        )
