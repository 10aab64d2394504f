"""Decisions: proposed with everything the page shows, approved for exactly that, and carried out once."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.errors import Conflict, Forbidden, InvalidInput, NotFound
from core.events import digest as digest_of
from core.roles import Action
from core.segments import Segment
from core.states import DECISION
from store import accounts, apart, deployments, overrides, runs
from store.tables import approvals, decisions
from store.unit_of_work import Tx

KINDS = ("retrain", "promote", "rollback")
_NEEDS = {"retrain": Action.APPROVE, "promote": Action.PROMOTE, "rollback": Action.ROLL_BACK}


def propose(
    tx: Tx,
    *,
    kind: str,
    subject: str,
    proposer: str,
    reason: str,
    body: Mapping[str, Any],
    expires_at: datetime,
    alert_id: int | None = None,
) -> str:
    """Propose an act and return its uuid. `body` is what the page shows and what an approval is bound to.

    `subject` is the deployment (retrain, rollback) or the version (promote). While one of the same kind and subject
    waits, its uuid is returned instead, unless it shows something else and is a promotion: then the newer evidence
    takes its place. One that was approved and is being carried out stays in the way, unless its run has ended.
    A person proposes a promotion only as an override: the gate proposes those that it passed.
    """
    if kind not in KINDS:
        raise InvalidInput(f"There is no decision of kind {kind}.", f"Kinds are: {', '.join(KINDS)}.")
    if not proposer.startswith("system:"):
        accounts.require(tx, proposer, Action.PROPOSE)
        if kind == "promote" and "override" not in body:
            raise Forbidden("The gate proposes promotions.", "Ask for an override on the Models page, with a reason.")
    made = digest_of(dict(body))
    open_one = tx.one(_open(kind, subject).with_for_update())
    if open_one is not None:
        if not _gives_way(tx, open_one, made):
            return str(open_one["uuid"])
        _end(tx, open_one, "superseded", actor=proposer, comment="A newer proposal took its place.")
    uuid = str(uuids.uuid4())
    tx.insert(
        decisions,
        uuid=uuid,
        kind=kind,
        subject=subject,
        state="proposed",
        proposer=proposer,
        reason=reason,
        alert_id=alert_id,
        body=dict(body),
        digest=made,
        created_at=tx.now,
        expires_at=expires_at,
    )
    content = {"kind": kind, "subject": subject, "reason": reason, "digest": made}
    tx.audit(proposer, "decision.proposed", uuid, content)
    return uuid


def approve(
    tx: Tx,
    uuid: str,
    *,
    actor: str,
    digest: str,
    comment: str = "",
    allow_self: bool = False,
    share: int = 0,
    shadow: int = 0,
    hold: bool = False,
    adapt: int = 0,
    segment: Segment | None = None,
) -> str:
    """Approve what was shown and create its effect in the same transaction; returns the effect's uuid.

    The effect is a queued run (retrain; with `adapt` that many steps of adaptation come first), a requested deployment
    (promote; with a `share` in percent as a canary, with `shadow` after so many copied requests, with `hold` for a
    person to end) or a deployment that is live at once (rollback). A promotion for one `segment` is a decision of its
    own: the proposal for everybody goes on waiting. Raises Forbidden for a role that may not or the proposer, Conflict
    when it is no longer open, has expired, `digest` is not that of what stands now, or the gate does not allow it;
    InvalidInput for a segment that nobody is in.
    """
    row = get(tx, uuid)
    accounts.require(tx, actor, _NEEDS[row["kind"]])
    if row["proposer"] == actor and not allow_self:
        raise Forbidden("You cannot approve your own proposal.", "Ask another approver.")
    DECISION.require(row["state"], "approved")
    if digest != row["digest"] or digest_of(row["body"]) != row["digest"]:
        raise Conflict("The proposal is not what you were shown.", "Reload, read it again, then approve.")
    if tx.now >= row["expires_at"]:
        raise Conflict("The proposal has expired.", "Propose it again.")
    if row["kind"] == "promote":
        overrides.require_allowed(tx, row, actor=actor, comment=comment, segment=segment)
    if segment is not None:
        row = _only_for(tx, row, segment)
        uuid, digest = row["uuid"], row["digest"]
    tx.move(decisions, DECISION, row["id"], "approved", decided_at=tx.now, decided_by=actor, comment=comment)
    tx.insert(approvals, decision_id=row["id"], account=actor, digest=digest, comment=comment, at=tx.now)
    tx.audit(actor, "decision.approved", uuid, {"kind": row["kind"], "digest": digest, "comment": comment})
    if row["kind"] == "promote" and "override" in row["body"]:
        overrides.record(tx, row, actor=actor, comment=comment)
    if row["kind"] != "promote":
        return _carry_out(tx, row, actor, adapt)
    how: dict[str, Any] = {"actor": actor, "reason": row["reason"], "decision_id": row["id"]}
    how |= {"share": share, "shadow": shadow, "hold": hold}
    base, version = row["body"]["deployment"], row["subject"].removesuffix(f"@{segment}")
    if segment is not None:
        return apart.request(tx, base, segment, version, **how)
    return deployments.request_promotion(tx, base, version, **how)


def reject(tx: Tx, uuid: str, *, actor: str, reason: str) -> None:
    """Turn a proposal down, with a reason."""
    accounts.require(tx, actor, Action.REJECT)
    if not reason.strip():
        raise InvalidInput("A rejection needs a reason.", "Say in a sentence why not.")
    _end(tx, get(tx, uuid), "rejected", actor=actor, comment=reason)


def roll_back(
    tx: Tx,
    *,
    deployment: str,
    actor: str,
    reason: str,
    to: str | None = None,
    away_from: str | None = None,
    everybody: bool = False,
) -> str:
    """The one button: decide, approve and flip in one transaction; returns the deployment row's uuid.

    Going back is always safe, so one approver is enough. An open rollback proposal of `deployment` is thereby
    approved. `away_from` is the live version that the person saw: then a second click changes nothing more. With
    `everybody` each segment that has a version of its own goes to the same version.
    """
    accounts.require(tx, actor, Action.ROLL_BACK)
    if not reason.strip():
        raise InvalidInput("A rollback needs a reason.", "Say in a sentence what is wrong.")
    open_one = tx.one(_open("rollback", deployment).with_for_update())
    if open_one is not None:
        _end(tx, open_one, "superseded", actor=actor, comment="Rolled back directly.")
    route = deployments.current(tx, deployment)
    body = {
        "from": route["version"] if route is not None else "",
        "to": to or (route["previous"] if route is not None else ""),
        "reason": reason,
        **({"everybody": True} if everybody else {}),
    }
    uuid, made = str(uuids.uuid4()), digest_of(body)
    id = tx.insert(
        decisions,
        uuid=uuid,
        kind="rollback",
        subject=deployment,
        state="proposed",
        proposer=actor,
        reason=reason,
        alert_id=open_one["alert_id"] if open_one is not None else None,
        body=body,
        digest=made,
        created_at=tx.now,
        expires_at=tx.now,
    )
    tx.move(decisions, DECISION, id, "approved", decided_at=tx.now, decided_by=actor)
    tx.insert(approvals, decision_id=id, account=actor, digest=made, comment=reason, at=tx.now)
    tx.audit(actor, "decision.approved", uuid, {"kind": "rollback", "digest": made, **body})
    done = deployments.roll_back(
        tx, deployment, actor=actor, reason=reason, to=to or "", away_from=away_from or "", decision_id=id
    )
    if everybody and (now := deployments.current(tx, deployment)) is not None:
        apart.roll_back_all(tx, deployment, to=now["version"], actor=actor, reason=reason)
    return done


def expire_due(tx: Tx) -> int:
    """Move proposals that nobody answered in time to expired; returns how many."""
    rows = tx.all(_due(tx).with_for_update(skip_locked=True))
    for row in rows:
        _end(tx, row, "expired", actor="system:retrain", comment="Nobody answered in time.")
    return len(rows)


def any_due(tx: Tx) -> bool:
    """Whether `expire_due` would find one."""
    return tx.one(_due(tx).limit(1)) is not None


def get(tx: Tx, uuid: str) -> sa.RowMapping:
    """The decision `uuid`. Raises NotFound."""
    row = tx.one(sa.select(decisions).where(decisions.c.uuid == uuid))
    if row is None:
        raise NotFound("There is no such proposal.", "It may belong to another installation.")
    return row


def waiting(tx: Tx) -> list[sa.RowMapping]:
    """Proposals that wait for a person, oldest first."""
    return tx.all(sa.select(decisions).where(decisions.c.state == "proposed").order_by(decisions.c.id))


def waits(tx: Tx, kind: str, subject: str) -> bool:
    """Whether what is proposed of this kind and subject now (no promotion) is given back the one that stands."""
    row = tx.one(_open(kind, subject))
    return row is not None and not _gives_way(tx, row, row["digest"])


def _only_for(tx: Tx, row: sa.RowMapping, segment: Segment) -> sa.RowMapping:
    """The same proposal for one segment alone, as a row of its own. Raises Conflict while another is carried out."""
    if row["kind"] != "promote":
        raise InvalidInput(f"A {row['kind']} is for everybody.", "Choose no segment.")
    subject, uuid = f"{row['subject']}@{segment}", str(uuids.uuid4())
    if tx.one(_open("promote", subject).with_for_update()) is not None:
        raise Conflict(f"{row['subject']} is being promoted for {segment}.", "Look at its trial on the Models page.")
    body = {**row["body"], "segment": str(segment), "proposal": row["uuid"]}
    same = {name: row[name] for name in ("kind", "proposer", "reason", "alert_id", "expires_at")}
    tx.insert(
        decisions,
        **same,
        uuid=uuid,
        subject=subject,
        state="proposed",
        body=body,
        digest=digest_of(body),
        created_at=tx.now,
    )
    return get(tx, uuid)


def _carry_out(tx: Tx, row: sa.RowMapping, actor: str, adapt: int) -> str:
    body = row["body"]
    if row["kind"] == "retrain":
        spec = {**body["spec"], **({"adapt_steps": adapt} if adapt else {})}
        return runs.queue(tx, spec=spec, requested_by=actor, decision_id=row["id"])
    return deployments.roll_back(
        tx,
        row["subject"],
        actor=actor,
        reason=row["reason"],
        to=body["to"],
        away_from=body["from"],
        decision_id=row["id"],
    )


def _open(kind: str, subject: str) -> sa.Select[Any]:
    return sa.select(decisions).where(
        decisions.c.kind == kind,
        decisions.c.subject == subject,
        decisions.c.state.in_(("proposed", "approved")),
    )


def _due(tx: Tx) -> sa.Select[Any]:
    return sa.select(decisions).where(decisions.c.state == "proposed", decisions.c.expires_at <= tx.now)


def _gives_way(tx: Tx, row: sa.RowMapping, made: str) -> bool:
    if row["state"] == "approved":
        return bool(row["kind"] == "retrain") and runs.ended(tx, row["id"])
    return bool(tx.now >= row["expires_at"]) or (row["kind"] == "promote" and row["digest"] != made)


def _end(tx: Tx, row: sa.RowMapping, state: str, *, actor: str, comment: str) -> None:
    tx.move(decisions, DECISION, row["id"], state, decided_at=tx.now, decided_by=actor, comment=comment)
    tx.audit(actor, f"decision.{state}", row["uuid"], {"kind": row["kind"], "comment": comment})
