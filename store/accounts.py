"""People who sign in: accounts, roles, sessions, and the check that every human write starts with."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core import roles
from core.errors import Conflict, Forbidden, InvalidInput, NotFound
from core.roles import Action, Role
from store.tables import accounts, sessions
from store.unit_of_work import Store, Tx

SHORTEST_PASSWORD, LONGEST_PASSWORD = 10, 256
LOCK_AFTER = 5
_FIRST_LOCK, _LONGEST_LOCK = timedelta(seconds=30), timedelta(minutes=15)
# No colon: a signed-in person can never carry the name of a process such as "system:policy".
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,79}")
_COLUMNS = [column for column in accounts.c if column.name != "password_hash"]


class SignInRefused(Forbidden):
    """Name and password do not open a session now."""


def create(tx: Tx, name: str, password: str, role: Role | str, *, actor: str, demo: bool = False) -> int:
    """Add an account and return its key. `actor` is an admin, or a process such as "system:setup"."""
    name = _clean(name)
    if name.split("@")[0] == "system":
        raise InvalidInput("The name system belongs to Trimtab's own processes.", "Choose another name.")
    role = _role(role)
    _may_manage(tx, actor)
    if tx.scalar(sa.select(accounts.c.id).where(accounts.c.name == name)) is not None:
        raise Conflict(f"There is already an account named {name}.", "Choose another name.")
    key = tx.insert(
        accounts,
        name=name,
        password_hash=_hash(password),
        role=role.value,
        active=True,
        demo=demo,
        created_at=tx.now,
    )
    tx.audit(actor, "account.created", name, {"role": role.value, "demo": demo})
    return key


def sign_in(store: Store, name: str, password: str, *, now: datetime, hours: float) -> str:
    """Open a session and return its token, which is kept nowhere in plain. Raises SignInRefused.

    The attempt is counted before the password is looked at, so that many at once cannot outrun the lock, and
    the slow hash is computed outside any transaction.
    """
    name = name.strip().lower()
    with store.write(now) as tx:
        named = sa.select(accounts).where(accounts.c.name == name, accounts.c.active)
        row = tx.one(named.with_for_update())
        locked = row is not None and row["locked_until"] is not None and row["locked_until"] > now
        locks = row is not None and not locked and _count_attempt(tx, row)
    if locked:
        raise SignInRefused("Too many wrong passwords for this account.", "Wait some minutes and try again.")
    right = _verify(row["password_hash"] if row is not None else _nobody(), password)
    if row is None or not right:
        if locks:
            with store.write(now) as tx:
                tx.audit("system:dashboard", "account.locked", name)
        raise SignInRefused("Name or password is wrong.", "Try again, or ask an admin for a new password.")
    token = secrets.token_urlsafe(32)
    with store.write(now) as tx:
        mine = accounts.c.id == row["id"]
        tx.execute(sa.update(accounts).where(mine).values(failures=0, locked_until=None))
        tx.execute(sa.delete(sessions).where(sessions.c.expires_at <= now))
        tx.insert(
            sessions,
            token_hash=_token_hash(token),
            account_id=row["id"],
            created_at=now,
            expires_at=now + timedelta(hours=hours),
        )
        tx.audit(name, "session.started", name)
    return token


def by_token(tx: Tx, token: str, *, now: datetime) -> sa.RowMapping | None:
    """The active account whose unexpired session `token` opens (with `expires_at`), or None."""
    if not token or len(token) > 200:
        return None
    return tx.one(
        sa.select(*_COLUMNS, sessions.c.expires_at)
        .join(sessions, sessions.c.account_id == accounts.c.id)
        .where(sessions.c.token_hash == _token_hash(token), sessions.c.expires_at > now, accounts.c.active)
    )


def end_session(tx: Tx, token: str) -> bool:
    """End the session of `token`; returns whether there was one."""
    matching = sessions.c.token_hash == _token_hash(token)
    name = tx.scalar(sa.select(accounts.c.name).join(sessions, sessions.c.account_id == accounts.c.id).where(matching))
    if name is None:
        return False
    tx.execute(sa.delete(sessions).where(matching))
    tx.audit(name, "session.ended", name)
    return True


def require(tx: Tx, actor: str, action: Action) -> sa.RowMapping:
    """The account of `actor` if its role, as it is in the database now, allows `action`; raises Forbidden."""
    row = by_name(tx, actor)
    if row is None or not row["active"]:
        raise Forbidden(f"There is no active account named {actor}.", "Sign in again.")
    roles.require(row["role"], action)
    return row


def by_name(tx: Tx, name: str) -> sa.RowMapping | None:
    """The account called `name`, without its password hash, or None."""
    return tx.one(sa.select(*_COLUMNS).where(accounts.c.name == name))


def listed(tx: Tx) -> list[sa.RowMapping]:
    """Every account by name, without password hashes."""
    return tx.all(sa.select(*_COLUMNS).order_by(accounts.c.name))


def set_role(tx: Tx, name: str, role: Role | str, *, actor: str) -> None:
    """Give `name` another role: it counts from that person's next write on."""
    role = _role(role)
    _may_manage(tx, actor)
    row = _existing(tx, name)
    if row["role"] == role:
        return
    if row["role"] == Role.ADMIN and row["active"]:
        _keep_an_admin(tx, name)
    tx.execute(sa.update(accounts).where(accounts.c.id == row["id"]).values(role=role.value))
    tx.audit(actor, "account.role_changed", name, {"from": row["role"], "to": role.value})


def set_password(tx: Tx, name: str, password: str, *, actor: str) -> None:
    """Give `name` a new password; every open session of that account ends. People may change their own."""
    if actor != name:
        _may_manage(tx, actor)
    row = _existing(tx, name)
    values = {"password_hash": _hash(password), "failures": 0, "locked_until": None}
    tx.execute(sa.update(accounts).where(accounts.c.id == row["id"]).values(**values))
    tx.execute(sa.delete(sessions).where(sessions.c.account_id == row["id"]))
    tx.audit(actor, "account.password_changed", name)


def deactivate(tx: Tx, name: str, *, actor: str) -> None:
    """Close an account and end its sessions; its name stays in the records."""
    _may_manage(tx, actor)
    row = _existing(tx, name)
    if not row["active"]:
        return
    if row["role"] == Role.ADMIN:
        _keep_an_admin(tx, name)
    tx.execute(sa.update(accounts).where(accounts.c.id == row["id"]).values(active=False))
    tx.execute(sa.delete(sessions).where(sessions.c.account_id == row["id"]))
    tx.audit(actor, "account.deactivated", name)


def _count_attempt(tx: Tx, row: sa.RowMapping) -> bool:
    failures = int(row["failures"]) + 1
    values: dict[str, Any] = {"failures": failures}
    locks = failures >= LOCK_AFTER
    if locks:
        lock = min(_LONGEST_LOCK, _FIRST_LOCK * 2 ** min(failures - LOCK_AFTER, 10))
        values["locked_until"] = tx.now + lock
    tx.execute(sa.update(accounts).where(accounts.c.id == row["id"]).values(**values))
    return locks


def _may_manage(tx: Tx, actor: str) -> None:
    if actor != "system" and not actor.startswith("system:"):
        require(tx, actor, Action.MANAGE_ACCOUNTS)


def _keep_an_admin(tx: Tx, name: str) -> None:
    others = sa.select(sa.func.count()).where(
        accounts.c.role == Role.ADMIN.value, accounts.c.active, accounts.c.name != name
    )
    if not tx.scalar(others):
        raise Conflict(f"{name} is the last active admin.", "Make another account admin first.")


def _existing(tx: Tx, name: str) -> sa.RowMapping:
    row = by_name(tx, name)
    if row is None:
        raise NotFound(f"There is no account named {name}.", "List the accounts with: trimtab user list.")
    return row


def _clean(name: str) -> str:
    name = name.strip().lower()
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "An account's name has 1 to 80 letters a to z, digits, and . _ @ + - within.",
            "Choose another name.",
        )
    return name


def _role(role: Role | str) -> Role:
    try:
        return Role(role)
    except ValueError:
        known = ", ".join(Role)
        raise InvalidInput(f"There is no role {str(role)[:40]!r}.", f"Roles are: {known}.") from None


def _hash(password: str) -> str:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidInput(
            f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.",
            "Choose another password.",
        )
    return _hasher().hash(password)


def _verify(hashed: str, password: str) -> bool:
    if len(password) > LONGEST_PASSWORD:
        return False
    try:
        return _hasher().verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def _token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def _nobody() -> str:
    # An unknown name costs as much time as a known one.
    return _hasher().hash(secrets.token_urlsafe(16))
