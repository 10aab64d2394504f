"""Work that a page asks of a process: asked, claimed under a lease, then done, failed or expired."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Collection, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from core.errors import Conflict, InvalidInput, NotFound
from core.events import canonical
from core.roles import Action
from core.states import COMMAND
from store import accounts
from store.tables import commands
from store.unit_of_work import Tx

# What may be asked: the process that does it and what the asker's role must allow.
KINDS = MappingProxyType(
    {
        "run_monitor": ("monitors", Action.RUN_MONITOR),
        "run_suite": ("monitors", Action.RUN_MONITOR),
        "test_notice": ("monitors", Action.TEST_NOTICE),
        "take_reference": ("monitors", Action.TAKE_REFERENCE),
        "topic_map": ("monitors", Action.RUN_MONITOR),
        "backtest": ("monitors", Action.RUN_MONITOR),
        "export_evidence": ("monitors", Action.EXPORT),
        "propose": ("retrain", Action.PROPOSE),
        "override": ("retrain", Action.PROPOSE),
        "promote_again": ("retrain", Action.PROPOSE),
        "preview_pairs": ("retrain", Action.IMPORT),
        "import_pairs": ("retrain", Action.IMPORT),
        "check_pairs": ("retrain", Action.CHECK_PAIRS),
        "lock_dataset": ("retrain", Action.LOCK_DATASET),
        "foresee": ("retrain", Action.PROPOSE),
        "compare": ("retrain", Action.RUN_MONITOR),
    }
)
EXPIRES_IN = timedelta(minutes=5)
# So many holders may be lost over a command: one that ends whoever takes it, by its need of memory say, would else be
# taken again by each that follows, and end that too.
MOST_LOST = 3
_LOOKED_AT = 100
_FREE: Mapping[str, Any] = MappingProxyType({"claimed_by": "", "lease_until": None})
# In the result of a command that has none yet: how many of its holders were lost.
_LOST = "holders_lost"


def ask(
    tx: Tx,
    kind: str,
    *,
    owner: str,
    args: Mapping[str, Any],
    actor: str,
    expires_in: timedelta = EXPIRES_IN,
) -> str:
    """Ask `owner` for a piece of work and return its uuid; the same one while an equal one waits."""
    if kind not in KINDS or KINDS[kind][0] != owner:
        known = ", ".join(f"{name} of {by}" for name, (by, _) in KINDS.items())
        raise InvalidInput(f"No process takes the command {kind} of {owner}.", f"There are: {known}.")
    if not actor.startswith("system:"):
        accounts.require(tx, actor, KINDS[kind][1])
    now, wanted = tx.database_now(), canonical(dict(args))
    expire_due(tx, owner)
    waiting = sa.select(commands).where(commands.c.owner == owner, commands.c.state == "asked", commands.c.kind == kind)
    for row in tx.all(waiting):
        if canonical(row["args"]) == wanted:
            return str(row["uuid"])
    uuid = str(uuids.uuid4())
    tx.insert(
        commands,
        uuid=uuid,
        kind=kind,
        owner=owner,
        args=dict(args),
        state="asked",
        result={},
        actor=actor,
        asked_at=now,
        expires_at=now + expires_in,
    )
    tx.audit(actor, "command.asked", uuid, {"kind": kind, "owner": owner, "args": dict(args)})
    return uuid


def claim(
    tx: Tx, owner: str, process: str, lease_seconds: float, *, kinds: Collection[str] = KINDS
) -> sa.RowMapping | None:
    """Take the oldest command of `kinds` waiting for `owner` under a lease by the database's clock, or None.

    A command whose holder let its lease run out is taken again while it has not expired; the last of MOST_LOST holders
    ends it as failed.
    """
    now = tx.database_now()
    lapsed = sa.select(commands.c.id, commands.c.uuid, commands.c.result).where(
        commands.c.owner == owner, commands.c.state == "claimed", commands.c.lease_until < now
    )
    for row in tx.all(lapsed.with_for_update(skip_locked=True)):
        _release(tx, owner, row, lost=row["result"].get(_LOST, 0) + 1)
    # After those that are free again: one that ends whoever takes it must not be taken for ever.
    expire_due(tx, owner)
    first = (
        sa.select(commands.c.id)
        .where(commands.c.owner == owner, commands.c.state == "asked", commands.c.kind.in_(list(kinds)))
        .order_by(commands.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    id = tx.scalar(first)
    if id is None:
        return None
    until = now + timedelta(seconds=lease_seconds)
    tx.move(commands, COMMAND, id, "claimed", claimed_by=process, lease_until=until, progress=0.0)
    claimed = tx.all(sa.select(commands).where(commands.c.id == id))[0]
    tx.audit(f"system:{owner}", "command.claimed", claimed["uuid"], {"process": process})
    return claimed


def waits(tx: Tx, owner: str, kinds: Collection[str]) -> bool:
    """Whether a command of `kinds` waits for `owner`, or its holder let the lease run out."""
    lapsed = sa.and_(commands.c.state == "claimed", commands.c.lease_until < tx.database_now())
    own = commands.c.owner == owner, commands.c.kind.in_(list(kinds))
    free = sa.or_(commands.c.state == "asked", lapsed)
    return tx.scalar(sa.select(commands.c.id).where(*own, free).limit(1)) is not None


def hand_back(tx: Tx, id: int, *, process: str) -> None:
    """Let a held command wait for another process. Raises Conflict when it is no longer held."""
    _require_held(tx, id, process)
    tx.move(commands, COMMAND, id, "asked", **_FREE)


def progress(tx: Tx, id: int, share: float, *, process: str, lease_seconds: float) -> None:
    """Record that `share` (0 to 1) is done and renew the lease. Raises Conflict when it is no longer held."""
    until = tx.database_now() + timedelta(seconds=lease_seconds)
    held = commands.c.id == id, commands.c.state == "claimed", commands.c.claimed_by == process
    statement = sa.update(commands).where(*held).values(progress=share, lease_until=until)
    if tx.execute(statement).rowcount != 1:
        raise _lost()


def finish(tx: Tx, id: int, result: Mapping[str, Any], *, process: str = "") -> None:
    """Move a held command to done with its result. With `process`, only if that process still holds it."""
    _end(tx, id, "done", process, result=dict(result), progress=1.0)


def fail(tx: Tx, id: int, message: str, *, process: str = "", error: str = "") -> None:
    """Move a held command to failed with one plain sentence; its result is {"error": `error`}, the kind of failure."""
    _end(tx, id, "failed", process, message=message, result={"error": error} if error else {})


def get(tx: Tx, uuid: str) -> sa.RowMapping:
    """The command `uuid`. Raises NotFound."""
    row = tx.one(sa.select(commands).where(commands.c.uuid == uuid))
    if row is None:
        raise NotFound("There is no such command.", "It may belong to another installation.")
    return row


def newest(tx: Tx, kind: str, args: Mapping[str, Any]) -> sa.RowMapping | None:
    """The newest command of `kind` with these arguments, of the last 100 of the kind; None where there is none."""
    wanted = canonical(dict(args))
    columns = commands.c.id, commands.c.args
    last = tx.all(sa.select(*columns).where(commands.c.kind == kind).order_by(commands.c.id.desc()).limit(_LOOKED_AT))
    id = next((row["id"] for row in last if canonical(row["args"]) == wanted), None)
    return None if id is None else tx.one(sa.select(commands).where(commands.c.id == id))


def expire_due(tx: Tx, owner: str) -> int:
    """Move commands nobody took in time to expired; returns how many."""
    due = sa.select(commands.c.id, commands.c.uuid).where(
        commands.c.owner == owner, commands.c.state == "asked", commands.c.expires_at <= tx.database_now()
    )
    rows = tx.all(due.with_for_update(skip_locked=True))
    for row in rows:
        tx.move(commands, COMMAND, row["id"], "expired", message=f"No {owner} process did it in time.")
        tx.audit(f"system:{owner}", "command.expired", row["uuid"])
    return len(rows)


def _release(tx: Tx, owner: str, row: Mapping[Any, Any], *, lost: int) -> None:
    """Let a command whose holder was lost wait for the next, or end it where that were one too many."""
    if lost < MOST_LOST:
        tx.move(commands, COMMAND, row["id"], "asked", **_FREE, result={_LOST: lost})
        return
    message = (
        f"The {owner} process ended, or stood still, {lost} times while it did this; it is not tried again. "
        "It may need more memory than there is: look at the process's log before you ask again."
    )
    ended = {"finished_at": tx.database_now(), "lease_until": None, "result": {"error": "Lost"}}
    tx.move(commands, COMMAND, row["id"], "failed", message=message, **ended)
    tx.audit(f"system:{owner}", "command.failed", row["uuid"], {"holders_lost": lost})


def _end(tx: Tx, id: int, state: str, process: str, **values: Any) -> None:
    row = _require_held(tx, id, process)
    tx.move(commands, COMMAND, id, state, finished_at=tx.database_now(), lease_until=None, **values)
    tx.audit(f"system:{row['owner']}", f"command.{state}", row["uuid"])


def _require_held(tx: Tx, id: int, process: str) -> sa.RowMapping:
    """The command's row, locked. Raises NotFound, and Conflict where `process` is named and does not hold it."""
    row = tx.one(sa.select(commands).where(commands.c.id == id).with_for_update())
    if row is None:
        raise NotFound("There is no such command.", "It may belong to another installation.")
    if process and row["claimed_by"] != process:
        raise _lost()
    return row


def _lost() -> Conflict:
    return Conflict("This command is no longer held by this process.", "Drop the work: another one does it.")
