"""What the tables share: how constraints are named, UTC times as microseconds, checked states, JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from core.states import Machine
from core.types import micros

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UtcTime(sa.types.TypeDecorator[datetime]):
    """An aware UTC time kept as whole microseconds since 1970: exact, ordered, and alike on every database."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def key() -> sa.Column[int]:
    """An integer primary key that counts upwards."""
    return sa.Column("id", Key, primary_key=True, autoincrement=True)


def uuid() -> sa.Column[str]:
    """The name by which the outside knows the row."""
    return sa.Column("uuid", sa.String(36), nullable=False, unique=True)


def ref(name: str, target: str, *, nullable: bool = False, **kwargs: Any) -> sa.Column[int]:
    """A foreign key to `target`'s id."""
    return sa.Column(name, Key, sa.ForeignKey(f"{target}.id"), nullable=nullable, **kwargs)


def time(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    """A UTC time."""
    return sa.Column(name, UtcTime, nullable=nullable)


def text(name: str, default: str = "") -> sa.Column[str]:
    """A text that is never null."""
    return sa.Column(name, sa.Text, nullable=False, default=default, server_default=default)


def json(name: str, *, default: Any = dict) -> sa.Column[Any]:
    """A JSON value that is never null."""
    return sa.Column(name, sa.JSON, nullable=False, default=default)


def count(name: str, default: int = 0) -> sa.Column[int]:
    """A whole number that is never null."""
    return sa.Column(name, sa.BigInteger, nullable=False, default=default, server_default=str(default))


def flag(name: str, default: bool = False) -> sa.Column[bool]:
    """A yes or no."""
    return sa.Column(
        name, sa.Boolean, nullable=False, default=default, server_default=sa.true() if default else sa.false()
    )


def one_of(column: str, values: Sequence[str]) -> sa.CheckConstraint:
    """The database refuses any other value."""
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def state_of(machine: Machine, column: str = "state") -> sa.CheckConstraint:
    """The database knows the states of `machine` and no others."""
    return one_of(column, machine.states)
