"""A promotion on trial, shadow or canary: begun and judged by the worker, decided by a person at any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa

from core.errors import Conflict, InvalidInput, NotFound
from core.roles import Action
from core.states import DEPLOYMENT
from store import accounts, deployments, settled, streams
from store import inferences as exchanges
from store.segments import within
from store.tables import audit_events, inferences, routes, versions
from store.tables import deployments as rows
from store.unit_of_work import Tx

ON_TRIAL = ("shadow", "canary")
# A gateway commits what it captured within milliseconds, or hangs.
CAPTURE_SECONDS = 15.0
_IN = 400


def running(tx: Tx, deployment: str | None = None) -> list[sa.RowMapping]:
    """What is on trial now, oldest first: the row, its `version`, and the `champion` that serves beside it.

    A `deployment` stands for its segments too.
    """
    query = (
        sa.select(rows, versions.c.name.label("version"), routes.c.version.label("champion"))
        .join(versions, versions.c.id == rows.c.version_id)
        .join(routes, routes.c.deployment == rows.c.deployment)
        .where(rows.c.state.in_(ON_TRIAL))
    )
    if deployment is not None:
        query = query.where(within(rows.c.deployment, deployment))
    return tx.all(query.order_by(rows.c.id))


def begin(tx: Tx, id: int, state: Literal["shadow", "canary"], *, actor: str, fingerprint: str = "") -> None:
    """Move row `id` to `state` and give the route its candidate, both or neither.

    What serves stays as it is. The route changes by compare-and-set on its generation and on whose trial it holds;
    raises Conflict when production moved, or another trial began, meanwhile.
    """
    row = deployments.find(tx, id)
    DEPLOYMENT.require(row["state"], state)
    deployments.lock(tx, row["deployment"])
    began = tx.execute(
        sa.update(routes)
        .where(routes.c.deployment == row["deployment"], routes.c.generation == row["generation"] - 1)
        .where(routes.c.salt == ("" if row["state"] == "requested" else row["uuid"]))
        .values(trial=state, candidate=row["version"], share=row["share"], salt=row["uuid"])
    )
    if began.rowcount != 1:
        raise Conflict("Production moved on since this was asked for.", "Look at what is live now, then decide again.")
    last = int(tx.scalar(sa.select(sa.func.max(inferences.c.id))) or 0)
    proved = {"fingerprint": fingerprint} if fingerprint else {}
    tx.move(rows, DEPLOYMENT, id, state, trial_at=tx.now, trial_from=last, evidence={}, message="", **proved)
    body = {"version": row["version"], "share": int(row["share"]), "shadow": int(row["shadow"])}
    tx.audit(actor, f"deployment.{state}", row["uuid"], body)


def record(tx: Tx, id: int, state: str, evidence: Mapping[str, Any]) -> bool:
    """Keep what the worker found of row `id`, seen in `state`; returns whether it may act on that.

    It may not where a person holds the trial, or where the row has moved since it was read. An A/B test is held from
    its start, for what people say of both: copies that come before it end as any others, and it begins.
    """
    row = deployments.find(tx, id)
    deployments.lock(tx, row["deployment"])
    still = rows.c.id == id, rows.c.state == state
    if tx.execute(sa.update(rows).where(*still).values(evidence=dict(evidence))).rowcount != 1:
        return False
    held = tx.scalar(sa.select(rows.c.held_by).where(rows.c.id == id)) != ""
    return not held or (state == "shadow" and int(row["share"]) > 0 and not _was_held(tx, row["uuid"]))


def promote(tx: Tx, uuid: str, *, actor: str, reason: str) -> None:
    """A person's word that the candidate on trial serves everybody now, whatever the evidence says so far."""
    accounts.require(tx, actor, Action.PROMOTE)
    row = _on_trial(tx, uuid, reason)
    tx.audit(actor, "deployment.decided", uuid, {"to": "live", "reason": reason.strip()})
    deployments.flip(tx, row["id"], actor=actor)


def abort(tx: Tx, uuid: str, *, actor: str, reason: str) -> None:
    """A person's word that the trial, or what was asked for and is not loaded yet, ends; what serves answers everybody
    again."""
    accounts.require(tx, actor, Action.ROLL_BACK)
    row = _on_trial(tx, uuid, reason, also=("requested",))
    deployments.fail(tx, row["id"], f"Aborted by {actor}: {reason.strip()}", actor=actor, event="deployment.aborted")


def hold(tx: Tx, uuid: str, *, actor: str, reason: str) -> None:
    """Keep the trial as it is: the worker goes on measuring and moves nothing until it is let go."""
    accounts.require(tx, actor, Action.PROMOTE)
    row = _on_trial(tx, uuid, reason)
    tx.execute(sa.update(rows).where(rows.c.id == row["id"]).values(held_by=actor))
    tx.audit(actor, "deployment.held", uuid, {"reason": reason.strip()})


def let_go(tx: Tx, uuid: str, *, actor: str, reason: str) -> None:
    """Let the worker judge the trial again."""
    accounts.require(tx, actor, Action.PROMOTE)
    row = _on_trial(tx, uuid, reason)
    tx.execute(sa.update(rows).where(rows.c.id == row["id"]).values(held_by=""))
    tx.audit(actor, "deployment.let_go", uuid, {"reason": reason.strip()})


def is_comparison(tx: Tx, row: sa.RowMapping) -> bool:
    """Whether the trial `row` is an A/B test: held from its start, by who approved it, and not let go since."""
    return row["held_by"] != "" and not _was_held(tx, row["uuid"])


def answers(tx: Tx, after: int, *, deployment: str, kind: Literal["live", "shadow"], limit: int) -> list[Any]:
    """The next captured exchanges of `kind` with keys above `after`, in key order: of `deployment`, no segment's."""
    # What lasts longer is an import, none of whose rows is an answer of a trial: a bad canary must not wait for it.
    until = settled.newest(tx, inferences, patience_seconds=CAPTURE_SECONDS)
    return exchanges.after(tx, after, kinds=(kind,), deployment=deployment, alone=True, limit=limit, until=until)


def judgements(
    tx: Tx, after: int, *, deployment: str, from_inference: int, limit: int
) -> list[tuple[streams.Judgement, str]]:
    """The next first judgements of answers with keys from `from_inference`, each with the unit it was drawn by."""
    found = streams.judgements(tx, after, deployment=deployment, from_inference=from_inference, limit=limit, alone=True)
    units: dict[int, str] = {}
    keys = [item.inference for item in found]
    columns = inferences.c.id, inferences.c.user_hash, inferences.c.conversation, inferences.c.uuid
    for start in range(0, len(keys), _IN):
        for row in tx.all(sa.select(*columns).where(inferences.c.id.in_(keys[start : start + _IN]))):
            units[int(row["id"])] = row["user_hash"] or row["conversation"] or row["uuid"]
    return [(item, units[item.inference]) for item in found]


def _was_held(tx: Tx, uuid: str) -> bool:
    """Whether a person has held the trial since it was asked for."""
    told = audit_events.c.subject == uuid, audit_events.c.kind == "deployment.held"
    return tx.scalar(sa.select(audit_events.c.id).where(*told).limit(1)) is not None


def _on_trial(tx: Tx, uuid: str, reason: str, also: Sequence[str] = ()) -> sa.RowMapping:
    if not reason.strip():
        raise InvalidInput("This needs a reason.", "Say in a sentence why.")
    row = tx.one(sa.select(rows).where(rows.c.uuid == uuid))
    if row is None:
        raise NotFound("There is no such deployment.", "Reload the Models page.")
    deployments.lock(tx, row["deployment"])
    state = tx.scalar(sa.select(rows.c.state).where(rows.c.id == row["id"]))
    if state not in (*ON_TRIAL, *also):
        raise Conflict(f"This promotion is no longer on trial: it is {state}.", "Look at what is live now.")
    return row
