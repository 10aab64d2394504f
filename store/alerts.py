"""Alerts: the state machine's transitions, kept with what caused them, and the marks that people set."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from core.errors import Conflict, InvalidInput, NotFound
from core.roles import Action
from core.rules import Progress, step
from core.silences import Silence
from core.states import ALERT
from store import accounts
from store.tables import alert_comments, alert_transitions, alerts, monitors, silences
from store.unit_of_work import Tx

ACTOR = "system:monitors"
Kind = Literal["rule", "nodata", "error", "system"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look says of one alert: `breach` None means that it cannot tell, which moves nothing."""

    monitor: str
    kind: Kind
    breach: bool | None
    summary: str
    severity: str = "warning"
    hold: timedelta = timedelta(0)
    monitor_id: int | None = None
    segment: str = ""
    why: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    measurement: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """What makes two findings the same alert."""
        return ":".join(part for part in (self.kind, self.monitor, self.segment) if part)[:160]


def apply(tx: Tx, finding: Finding, *, actor: str = ACTOR) -> str | None:
    """Move the finding's alert one step and return its new state, or None when nothing moved.

    An episode is a row; one that follows a resolved one of the same kind names it in its why as `reopens`.

    The transition, its audit event and, through `outbox.compose`, its notice belong to the caller's transaction.
    """
    row = open_alert(tx, finding.fingerprint)
    before = Progress(row["state"], row["pending_since"]) if row else Progress("inactive")
    after = step(before, finding.breach, finding.hold, tx.now)
    if after.state == before.state:
        if row is not None and finding.breach and finding.summary and row["state"] == "firing":
            tx.execute(sa.update(alerts).where(alerts.c.id == row["id"]).values(updated_at=tx.now))
        return None
    if finding.why and (earlier := last_resolved(tx, finding)) is not None:
        why = {**finding.why, "reopens": {"alert": earlier["uuid"], "resolved_at": earlier["resolved_at"].isoformat()}}
        finding = replace(finding, why=why)
    if row is None:
        id = _create(tx, finding, after)
    else:
        id = int(row["id"])
        values: dict[str, Any] = {"updated_at": tx.now}
        if after.state == "firing":
            values |= {"fired_at": tx.now, "summary": finding.summary, "why": dict(finding.why)}
            values |= {"evidence": dict(finding.evidence), "severity": finding.severity}
        if after.state == "resolved":
            values["resolved_at"] = tx.now
        tx.move(alerts, ALERT, id, after.state, **values)
    _record(tx, id, before.state, after.state, finding.summary, actor, finding.measurement)
    return after.state


def resolve(tx: Tx, fingerprint: str, *, reason: str, actor: str = ACTOR) -> bool:
    """Resolve the open alert with this fingerprint for a stated reason; False when there is none that fires."""
    row = open_alert(tx, fingerprint)
    if row is None:
        return False
    new = "resolved" if row["state"] == "firing" else "inactive"
    resolved = {"resolved_at": tx.now} if new == "resolved" else {}
    tx.move(alerts, ALERT, row["id"], new, updated_at=tx.now, **resolved)
    _record(tx, row["id"], row["state"], new, reason, actor, {})
    return new == "resolved"


def open_alert(tx: Tx, fingerprint: str) -> sa.RowMapping | None:
    """The pending or firing alert with this fingerprint, or None."""
    return tx.one(
        sa.select(alerts).where(alerts.c.fingerprint == fingerprint, alerts.c.state.in_(("pending", "firing")))
    )


def last_resolved(tx: Tx, finding: Finding) -> sa.RowMapping | None:
    """The last episode of the finding's alert that is over, or None."""
    mine = alerts.c.monitor_id == finding.monitor_id, alerts.c.fingerprint == finding.fingerprint
    query = sa.select(alerts.c.uuid, alerts.c.resolved_at).where(*mine, alerts.c.state == "resolved")
    return tx.one(query.order_by(alerts.c.id.desc()).limit(1))


def open_alerts(tx: Tx, monitor: str = "") -> list[sa.RowMapping]:
    """Every pending or firing alert, oldest first; with `monitor`, only that one's."""
    query = sa.select(alerts).where(alerts.c.state.in_(("pending", "firing"))).order_by(alerts.c.id)
    return tx.all(query.where(alerts.c.monitor == monitor) if monitor else query)


def get(tx: Tx, uuid: str) -> sa.RowMapping:
    """The alert `uuid`. Raises NotFound."""
    row = tx.one(sa.select(alerts).where(alerts.c.uuid == uuid))
    if row is None:
        raise NotFound("There is no such alert.", "The Alerts page lists those there are.")
    return row


def attach(tx: Tx, uuid: str, evidence: Mapping[str, Any], *, actor: str = ACTOR) -> None:
    """Add evidence, such as the name of a report file, to an alert."""
    row = get(tx, uuid)
    merged = {**row["evidence"], **evidence}
    why = {**row["why"], "evidence": merged} if row["why"] else row["why"]
    tx.execute(sa.update(alerts).where(alerts.c.id == row["id"]).values(evidence=merged, why=why))
    tx.audit(actor, "alert.evidence_attached", uuid, {"names": sorted(evidence)})


def acknowledge(tx: Tx, uuid: str, *, actor: str) -> None:
    """Mark that `actor` has taken the firing alert. Raises Conflict when it no longer fires or is taken."""
    accounts.require(tx, actor, Action.ACKNOWLEDGE)
    statement = (
        sa.update(alerts)
        .where(alerts.c.uuid == uuid, alerts.c.state == "firing", alerts.c.acknowledged_at.is_(None))
        .values(acknowledged_by=actor, acknowledged_at=tx.now, updated_at=tx.now)
    )
    if tx.execute(statement).rowcount != 1:
        row = get(tx, uuid)
        taken = f"was acknowledged by {row['acknowledged_by']}" if row["acknowledged_at"] else f"is {row['state']}"
        raise Conflict(f"The alert {taken}.", "Reload to see its present state.")
    tx.audit(actor, "alert.acknowledged", uuid)


def comment(tx: Tx, uuid: str, body: str, *, actor: str) -> int:
    """Add a person's comment to an alert and return its key."""
    accounts.require(tx, actor, Action.ACKNOWLEDGE)
    body = body.strip()
    if not body or len(body) > 4000:
        raise InvalidInput("A comment needs 1 to 4,000 characters.", "Shorten it, or write something.")
    row = get(tx, uuid)
    id = tx.insert(alert_comments, alert_id=row["id"], at=tx.now, actor=actor, body=body)
    tx.audit(actor, "alert.commented", uuid, {"comment": id})
    return id


def silence(tx: Tx, *, monitor: str, reason: str, ends_at: datetime, actor: str) -> int:
    """Hold the notices of `monitor` (all monitors, when empty) until `ends_at`; returns the silence's key."""
    accounts.require(tx, actor, Action.SILENCE)
    if not reason.strip():
        raise InvalidInput("A silence needs a reason.", "Say why nobody should be told for now.")
    if ends_at <= tx.now:
        raise InvalidInput("The silence would end before it begins.", "Choose a time in the future.")
    if monitor and tx.scalar(sa.select(monitors.c.id).where(monitors.c.name == monitor)) is None:
        raise NotFound(f"There is no monitor named {monitor}.", "Choose one from the Monitors page.")
    id = tx.insert(silences, monitor=monitor, reason=reason.strip(), actor=actor, starts_at=tx.now, ends_at=ends_at)
    tx.audit(actor, "silence.created", str(id), {"monitor": monitor, "ends_at": ends_at.isoformat()})
    return id


def unsilence(tx: Tx, id: int, *, actor: str) -> None:
    """End a silence now; notices it held go out at the next tick."""
    accounts.require(tx, actor, Action.SILENCE)
    running = silences.c.id == id, silences.c.ended_early_at.is_(None), silences.c.ends_at > tx.now
    if tx.execute(sa.update(silences).where(*running).values(ended_early_at=tx.now)).rowcount != 1:
        raise Conflict("This silence has already ended.", "Reload to see its present state.")
    tx.audit(actor, "silence.ended", str(id))


def silences_now(tx: Tx) -> list[Silence]:
    """Every silence that covers `tx.now`."""
    query = sa.select(silences).where(
        silences.c.starts_at <= tx.now, silences.c.ends_at > tx.now, silences.c.ended_early_at.is_(None)
    )
    return [
        Silence(row["monitor"], row["reason"], row["actor"], row["starts_at"], row["ends_at"], row["id"])
        for row in tx.all(query)
    ]


def _create(tx: Tx, finding: Finding, after: Progress) -> int:
    return tx.insert(
        alerts,
        uuid=str(uuids.uuid4()),
        monitor_id=finding.monitor_id,
        monitor=finding.monitor,
        kind=finding.kind,
        fingerprint=finding.fingerprint,
        state=after.state,
        severity=finding.severity,
        summary=finding.summary,
        why=dict(finding.why),
        evidence=dict(finding.evidence),
        pending_since=after.pending_since,
        fired_at=tx.now if after.state == "firing" else None,
        updated_at=tx.now,
    )


def _record(tx: Tx, id: int, old: str, new: str, reason: str, actor: str, measurement: Mapping[str, Any]) -> None:
    told = new in ("firing", "resolved")
    tx.insert(
        alert_transitions,
        alert_id=id,
        at=tx.now,
        old=old,
        new=new,
        measurement=dict(measurement),
        reason=reason,
        actor=actor,
        notified=not told,
    )
    row = tx.one(sa.select(alerts).where(alerts.c.id == id))
    assert row is not None
    word = {"firing": "fired", "inactive": "withdrawn"}.get(new, new)
    body = {"monitor": row["monitor"], "kind": row["kind"], "from": old}
    reopens = row["why"].get("reopens") if new == "firing" else None
    tx.audit(actor, f"alert.{word}", row["uuid"], {**body, "reopens": reopens["alert"]} if reopens else body)
