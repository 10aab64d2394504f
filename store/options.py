"""Values that an installation keeps under a name, such as the false-alarm ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from store.tables import options
from store.unit_of_work import Tx


def get(tx: Tx, name: str) -> dict[str, Any] | None:
    """The value kept under `name`, or None."""
    found: dict[str, Any] | None = tx.scalar(sa.select(options.c.value).where(options.c.name == name))
    return found


def put(tx: Tx, name: str, value: Mapping[str, Any], *, actor: str) -> None:
    """Keep `value` under `name` in place of what was there."""
    tx.upsert(options, ["name"], name=name, value=dict(value), actor=actor, changed_at=tx.now)
