"""Channels: where notices go. Their configuration may hold secrets, which no query for pages returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from core.errors import Conflict, InvalidInput, NotFound
from core.roles import Action
from store import accounts
from store.tables import channels, outbox
from store.unit_of_work import Tx

SECRET = frozenset({"secret", "url", "token", "password"})


def add(tx: Tx, name: str, kind: str, config: Mapping[str, Any], *, actor: str) -> int:
    """Add a channel and return its key. Its address is checked before (monitors.channels.check) and at every send."""
    _require(tx, actor)
    if not name.strip():
        raise InvalidInput("A channel needs a name.", "Give it one that people will recognise in a notice.")
    if tx.scalar(sa.select(channels.c.id).where(channels.c.name == name)) is not None:
        raise Conflict(f"There is already a channel named {name}.", "Choose another name.")
    id = tx.insert(channels, name=name, kind=kind, config=dict(config), enabled=True, created_at=tx.now)
    tx.audit(actor, "channel.added", name, {"kind": kind})
    return id


def get(tx: Tx, name: str) -> sa.RowMapping:
    """The channel called `name`, with its configuration. Raises NotFound."""
    row = tx.one(sa.select(channels).where(channels.c.name == name))
    if row is None:
        raise NotFound(f"There is no channel named {name}.", "The Settings page lists those there are.")
    return row


def listed(tx: Tx, *, enabled: bool | None = None) -> list[sa.RowMapping]:
    """Every channel by name, with its configuration: for the process that sends, not for pages."""
    query = sa.select(channels).order_by(channels.c.name)
    return tx.all(query if enabled is None else query.where(channels.c.enabled == enabled))


def shown(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration fit for pages: secrets and addresses replaced by dots."""
    return {name: "•••" if name in SECRET and value else value for name, value in config.items()}


def set_enabled(tx: Tx, name: str, enabled: bool, *, actor: str) -> None:
    """Let a channel send, or stop it; notices waiting for a stopped channel are dropped with that reason."""
    _require(tx, actor)
    row = get(tx, name)
    tx.execute(sa.update(channels).where(channels.c.id == row["id"]).values(enabled=enabled))
    if not enabled:
        waiting = outbox.c.channel_id == row["id"], outbox.c.state == "pending"
        tx.execute(sa.update(outbox).where(*waiting).values(state="dropped", last_error="The channel was stopped."))
    tx.audit(actor, "channel.enabled" if enabled else "channel.stopped", name)


def _require(tx: Tx, actor: str) -> None:
    if not actor.startswith("system:"):
        accounts.require(tx, actor, Action.MANAGE_CHANNELS)
