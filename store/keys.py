"""API keys: shown once, kept as a SHA-256 (the key itself is 256 random bits), revoked but never deleted."""

from __future__ import annotations

import hashlib
import secrets

import sqlalchemy as sa

from core.errors import InvalidInput, NotFound
from core.roles import Action
from store import accounts
from store.tables import api_keys
from store.unit_of_work import Tx

SCOPES = ("chat", "internal")
INTERNAL = "internal"


def create(tx: Tx, name: str, scope: str, actor: str, *, demo: bool = False) -> str:
    """Make a key and return it in plain: it cannot be read again. `actor` is an admin or a process ("system:...")."""
    _may_manage(tx, actor)
    if scope not in SCOPES:
        raise InvalidInput(f"There is no scope {scope[:40]!r}.", f"Scopes are: {', '.join(SCOPES)}.")
    if not name.strip() or len(name) > 80:
        raise InvalidInput("A key's name has 1 to 80 characters.", "Choose another name.")
    key = f"tk-{secrets.token_urlsafe(32)}"
    tx.insert(
        api_keys,
        name=name.strip(),
        key_hash=hash_key(key),
        prefix=key[:7],
        scope=scope,
        demo=demo,
        created_at=tx.now,
    )
    tx.audit(actor, "key.created", key[:7], {"name": name.strip(), "scope": scope})
    return key


def find(tx: Tx, key: str) -> sa.RowMapping | None:
    """The row of an unrevoked key, or None."""
    return find_hash(tx, hash_key(key))


def find_hash(tx: Tx, key_hash: str) -> sa.RowMapping | None:
    """The row of the unrevoked key with this hash, or None."""
    return tx.one(sa.select(api_keys).where(api_keys.c.key_hash == key_hash, api_keys.c.revoked_at.is_(None)))


def ensure_internal(tx: Tx, key: str) -> None:
    """Register the installation's own key, with scope internal; a second time changes nothing."""
    hashed = hash_key(key)
    if tx.scalar(sa.select(api_keys.c.id).where(api_keys.c.key_hash == hashed)) is None:
        tx.insert(api_keys, name=INTERNAL, key_hash=hashed, prefix=key[:5], scope=INTERNAL, created_at=tx.now)
        tx.audit("system:gateway", "key.created", key[:5], {"name": INTERNAL, "scope": INTERNAL})


def revoke(tx: Tx, id: int, *, actor: str) -> None:
    """End a key: gateways refuse it within their cache time. Raises NotFound."""
    _may_manage(tx, actor)
    row = tx.one(sa.select(api_keys).where(api_keys.c.id == id))
    if row is None:
        raise NotFound(f"There is no key {id}.", "List the keys first.")
    if row["revoked_at"] is None:
        tx.execute(sa.update(api_keys).where(api_keys.c.id == id).values(revoked_at=tx.now))
        tx.audit(actor, "key.revoked", row["prefix"], {"name": row["name"]})


def listed(tx: Tx) -> list[sa.RowMapping]:
    """Every key, newest first, without its hash."""
    shown = [column for column in api_keys.c if column.name != "key_hash"]
    return tx.all(sa.select(*shown).order_by(api_keys.c.id.desc()))


def hash_key(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def _may_manage(tx: Tx, actor: str) -> None:
    if actor != "system" and not actor.startswith("system:"):
        accounts.require(tx, actor, Action.MANAGE_KEYS)
