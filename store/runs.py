"""Training runs: queued, held under a lease by the database's clock, and written only by the holder's fence."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from core.errors import Conflict, NotFound
from core.roles import Action
from core.states import DECISION, RUN, RUN_STAGES
from store import accounts
from store.tables import decisions, run_progress, runs
from store.unit_of_work import Tx

MOST_CRASHES = 3
_WORKER = "system:retrain"


class LeaseLost(Conflict):
    """Another worker holds the run now, or it was ended: whatever the caller does with it must stop."""


def queue(tx: Tx, *, spec: Mapping[str, Any], requested_by: str, decision_id: int | None = None) -> str:
    """Queue a run and return its uuid. A decision has at most one run: the database refuses a second."""
    uuid = str(uuids.uuid4())
    tx.insert(
        runs,
        uuid=uuid,
        decision_id=decision_id,
        state="queued",
        stage=RUN_STAGES[0],
        requested_by=requested_by,
        spec=dict(spec),
        folder=f"runs/{uuid}",
        created_at=tx.now,
    )
    tx.audit(requested_by, "run.queued", uuid, {"spec": dict(spec)})
    return uuid


def get(tx: Tx, uuid: str) -> sa.RowMapping:
    """The run `uuid`. Raises NotFound."""
    row = tx.one(sa.select(runs).where(runs.c.uuid == uuid))
    if row is None:
        raise NotFound("There is no such run.", "It may belong to another installation.")
    return row


def by_id(tx: Tx, id: int) -> sa.RowMapping:
    """The run with the integer key `id`. Raises NotFound."""
    row = tx.one(sa.select(runs).where(runs.c.id == id))
    if row is None:
        raise NotFound("There is no such run.", "It may belong to another installation.")
    return row


def ended(tx: Tx, decision_id: int) -> bool:
    """Whether the run of an approved decision has stopped for good unless somebody resumes it."""
    state = tx.scalar(sa.select(runs.c.state).where(runs.c.decision_id == decision_id))
    return state in ("succeeded", "failed", "cancelled")


def working(tx: Tx) -> bool:
    """Whether any run waits or is at work."""
    busy = sa.select(sa.func.count()).select_from(runs).where(runs.c.state.in_(("queued", "running", "crashed")))
    return bool(tx.scalar(busy))


def is_over(tx: Tx, uuid: str) -> bool:
    """Whether nothing will go on with the run `uuid` by itself; also true of one that nobody knows."""
    state = tx.scalar(sa.select(runs.c.state).where(runs.c.uuid == uuid))
    return state not in ("queued", "running", "crashed")


def request_stop(tx: Tx, uuid: str, *, actor: str) -> None:
    """Ask a run to stop and keep its checkpoint. One that has not started is cancelled at once."""
    accounts.require(tx, actor, Action.STOP_RUN)
    row = get(tx, uuid)
    if row["state"] == "queued":
        tx.move(runs, RUN, row["id"], "cancelled", ended_at=tx.now, message=f"Stopped by {actor} before it began.")
        tx.audit(actor, "run.cancelled", uuid, {"stage": row["stage"]})
        return
    RUN.require(row["state"], "cancelled")
    asked = sa.update(runs).where(runs.c.id == row["id"], runs.c.state == "running", ~runs.c.stop_requested)
    if tx.execute(asked.values(stop_requested=True)).rowcount == 1:
        tx.audit(actor, "run.stop_requested", uuid, {"stage": row["stage"]})


def resume(tx: Tx, uuid: str, *, actor: str) -> None:
    """Queue a cancelled or failed run again; it goes on from its checkpoint."""
    accounts.require(tx, actor, Action.RESUME_RUN)
    row = get(tx, uuid)
    if row["decision_id"] is not None:
        state = tx.scalar(sa.select(decisions.c.state).where(decisions.c.id == row["decision_id"]))
        if state != "approved":
            raise Conflict(f"The decision behind this run is {state}.", "Approve a new proposal instead.")
    values = {"stop_requested": False, "attempts": 0, "message": "", "ended_at": None}
    tx.move(runs, RUN, row["id"], "queued", **values)
    tx.audit(actor, "run.resumed", uuid, {"stage": row["stage"]})


def claimable(tx: Tx) -> bool:
    """Whether `claim` would find something to do."""
    lapsed = sa.and_(runs.c.state == "running", runs.c.lease_until < tx.database_now())
    return tx.scalar(sa.select(runs.c.id).where(sa.or_(runs.c.state == "queued", lapsed)).limit(1)) is not None


def claim(tx: Tx, owner: str, *, lease_seconds: float) -> sa.RowMapping | None:
    """Take the oldest queued run under a lease, with a new fence; None when there is none.

    A run whose holder let its lease run out is first marked crashed and queued again, at most MOST_CRASHES times.
    """
    now = tx.database_now()
    _recover(tx, now)
    id = tx.scalar(
        sa.select(runs.c.id)
        .where(runs.c.state == "queued")
        .order_by(runs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if id is None:
        return None
    tx.move(
        runs,
        RUN,
        id,
        "running",
        owner=owner,
        fence=runs.c.fence + 1,
        lease_until=now + timedelta(seconds=lease_seconds),
        heartbeat_at=now,
        started_at=sa.func.coalesce(runs.c.started_at, sa.literal(tx.now, runs.c.started_at.type)),
        ended_at=None,
    )
    row = by_id(tx, id)
    tx.audit(_WORKER, "run.started", row["uuid"], {"owner": owner, "fence": row["fence"], "stage": row["stage"]})
    return row


def require_held(tx: Tx, id: int, fence: int) -> None:
    """Raise LeaseLost unless this holder has the run; until the transaction ends nobody takes it."""
    _write(tx, id, fence, owner=runs.c.owner)


def heartbeat(tx: Tx, id: int, fence: int, *, lease_seconds: float) -> bool:
    """Renew the lease; returns whether a person asked the run to stop. Raises LeaseLost."""
    now = tx.database_now()
    _write(tx, id, fence, heartbeat_at=now, lease_until=now + timedelta(seconds=lease_seconds))
    return bool(tx.scalar(sa.select(runs.c.stop_requested).where(runs.c.id == id)))


def progress(
    tx: Tx, id: int, fence: int, *, latest: Mapping[str, Any], lines: Sequence[tuple[int, Mapping[str, Any]]] = ()
) -> None:
    """Record where a run stands: `latest` for the page, `lines` (numbered from 1) of its log, each once."""
    _write(tx, id, fence, progress=dict(latest))
    for number, data in lines:
        tx.insert_once(run_progress, run_id=id, line=number, at=tx.now, data=dict(data))


def last_line(tx: Tx, id: int) -> int:
    """The number of the last progress line kept for the run, 0 before any."""
    return int(tx.scalar(sa.select(sa.func.max(run_progress.c.line)).where(run_progress.c.run_id == id)) or 0)


def cut_progress(tx: Tx, id: int, fence: int) -> None:
    """Forget the progress lines: the child's log begins anew."""
    _write(tx, id, fence, progress={})
    tx.execute(sa.delete(run_progress).where(run_progress.c.run_id == id))


def note(tx: Tx, id: int, fence: int, **values: Any) -> None:
    """Set columns of a held run (job, dataset_id, forecast, candidate, message). Raises LeaseLost."""
    _write(tx, id, fence, **values)


def advance(tx: Tx, id: int, fence: int, stage: str) -> None:
    """Enter the next stage; the job of the one before is over."""
    _write(tx, id, fence, stage=stage, job="")
    tx.audit(_WORKER, "run.stage_entered", by_id(tx, id)["uuid"], {"stage": stage})


def finish(tx: Tx, id: int, fence: int, state: str, message: str) -> None:
    """End a held run: succeeded, failed or cancelled. A run that succeeded carries its decision out."""
    require_held(tx, id, fence)
    row = by_id(tx, id)
    values = {"message": message, "ended_at": tx.now, "owner": "", "lease_until": None, "stop_requested": False}
    tx.move(runs, RUN, id, state, **values)
    if state == "succeeded" and row["decision_id"] is not None:
        tx.move(decisions, DECISION, row["decision_id"], "executed")
    body = {"stage": row["stage"], "message": message, "candidate": row["candidate"]}
    tx.audit(_WORKER, f"run.{state}", row["uuid"], body)


def hand_back(tx: Tx, id: int, fence: int, message: str) -> None:
    """Give a held run up without a fault of its own (the worker ends): queued again, counted as no crash."""
    require_held(tx, id, fence)
    row = by_id(tx, id)
    tx.move(runs, RUN, id, "crashed", owner="", lease_until=None)
    tx.move(runs, RUN, id, "queued", message=message)
    tx.audit(_WORKER, "run.handed_back", row["uuid"], {"stage": row["stage"], "message": message})


def crash(tx: Tx, id: int, fence: int, message: str) -> str:
    """Record that a held run's child or worker died; returns the state that follows (queued or failed)."""
    require_held(tx, id, fence)
    return _crash(tx, by_id(tx, id), message)


def _recover(tx: Tx, now: Any) -> None:
    lapsed = sa.select(runs).where(runs.c.state == "running", runs.c.lease_until < now)
    for row in tx.all(lapsed.with_for_update(skip_locked=True)):
        _crash(tx, row, f"The worker {row['owner']} stopped answering.")


def _crash(tx: Tx, row: sa.RowMapping, message: str) -> str:
    attempts = int(row["attempts"]) + 1
    tx.move(runs, RUN, row["id"], "crashed", attempts=attempts, message=message, owner="", lease_until=None)
    tx.audit(_WORKER, "run.crashed", row["uuid"], {"stage": row["stage"], "attempt": attempts, "message": message})
    if attempts >= MOST_CRASHES:
        words = f"Crashed {attempts} times; the last time: {message}"
        tx.move(runs, RUN, row["id"], "failed", message=words, ended_at=tx.now)
        tx.audit(_WORKER, "run.failed", row["uuid"], {"stage": row["stage"], "message": words})
        return "failed"
    tx.move(runs, RUN, row["id"], "queued")
    tx.audit(_WORKER, "run.requeued", row["uuid"], {"stage": row["stage"], "attempt": attempts})
    return "queued"


def _write(tx: Tx, id: int, fence: int, **values: Any) -> None:
    held = runs.c.id == id, runs.c.fence == fence, runs.c.state == "running"
    if tx.execute(sa.update(runs).where(*held).values(**values)).rowcount != 1:
        raise LeaseLost("This run is no longer held by this worker.", "Drop the work: another one does it.")
