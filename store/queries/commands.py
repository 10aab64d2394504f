"""What pages show of the work they asked for: the newest commands of a kind about one thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from core.states import COMMAND
from store.tables import commands
from store.unit_of_work import Tx

LOOKED_AT = 100


def recent(tx: Tx, kind: str, about: Mapping[str, Any], *, limit: int = 3) -> list[sa.RowMapping]:
    """Commands of `kind` whose arguments hold everything in `about`, newest first, without their results."""
    columns = [column for column in commands.c if column.name != "result"]
    found = tx.all(sa.select(*columns).where(commands.c.kind == kind).order_by(commands.c.id.desc()).limit(LOOKED_AT))
    return [row for row in found if all(row["args"].get(name) == value for name, value in about.items())][:limit]


def result(tx: Tx, uuid: str) -> dict[str, Any]:
    """What the command `uuid` led to, or {"error": the kind of failure}; empty until it has ended."""
    ended = commands.c.uuid == uuid, commands.c.state.in_(COMMAND.final)
    found: dict[str, Any] | None = tx.scalar(sa.select(commands.c.result).where(*ended))
    return found or {}
