"""What the policy reads and says: firing alerts that led to nothing yet, what a release met, its comments on alerts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from core.errors import NotFound
from store import deployments
from store.tables import alert_comments, alerts, decisions, inferences, monitors, run_progress, runs
from store.unit_of_work import Tx

_LINES = 1000  # of a run's log, from its end
_ALERTS = sa.select(alerts, monitors.c.metric).outerjoin(monitors, monitors.c.id == alerts.c.monitor_id)


def undecided(tx: Tx) -> list[dict[str, Any]]:
    """Firing rule alerts without a decision of any state, oldest first, each with its monitor's metric."""
    decided = sa.select(decisions.c.id).where(decisions.c.alert_id == alerts.c.id)
    firing = alerts.c.state == "firing", alerts.c.kind == "rule", monitors.c.metric.is_not(None)
    rows = tx.all(_ALERTS.where(*firing, ~decided.exists()).order_by(alerts.c.id))
    return [dict(row) for row in rows]


def alert(tx: Tx, uuid: str) -> dict[str, Any]:
    """The alert `uuid` with its monitor's metric. Raises NotFound."""
    row = tx.one(_ALERTS.where(alerts.c.uuid == uuid))
    if row is None:
        raise NotFound("There is no such alert.", "The Alerts page lists those there are.")
    return dict(row)


def commented(tx: Tx, alert_id: int, *, actor: str) -> bool:
    """Whether `actor` commented on the alert."""
    mine = alert_comments.c.alert_id == alert_id, alert_comments.c.actor == actor
    return tx.scalar(sa.select(alert_comments.c.id).where(*mine).limit(1)) is not None


def comment_once(tx: Tx, alert_id: int, body: str, *, actor: str) -> bool:
    """Comment on an alert unless `actor` did so already; returns whether a comment was written."""
    if commented(tx, alert_id, actor=actor):
        return False
    tx.insert(alert_comments, alert_id=alert_id, at=tx.now, actor=actor, body=body)
    uuid = tx.scalar(sa.select(alerts.c.uuid).where(alerts.c.id == alert_id))
    tx.audit(actor, "alert.commented", str(uuid), {"comment": body})
    return True


def last_throughput(tx: Tx) -> float | None:
    """Training tokens a second of the newest run that tells, or None."""
    for row in tx.all(sa.select(runs.c.forecast).order_by(runs.c.id.desc()).limit(10)):
        if speed := row["forecast"].get("tokens_per_second"):
            return float(speed)
    return None


def last_around(tx: Tx) -> float | None:
    """Seconds that the newest run to succeed spent on what is not training, or None where that is not known: on its
    dataset, on scores before, on its evaluation and its gate. One that was resumed does not tell: it also waited."""
    done = runs.c.state == "succeeded", runs.c.started_at.is_not(None), runs.c.ended_at.is_not(None)
    columns = runs.c.id, runs.c.started_at, runs.c.ended_at
    row = tx.one(sa.select(*columns).where(*done).order_by(runs.c.id.desc()).limit(1))
    if row is None:
        return None
    log = sa.select(run_progress.c.data).where(run_progress.c.run_id == row["id"])
    told = [line["data"] for line in tx.all(log.order_by(run_progress.c.id.desc()).limit(_LINES))]
    trained = [float(data.get("seconds", 0.0)) for data in told if data.get("event") == "end"]
    if len(trained) != 1 or sum(data.get("event") == "start" for data in told) > 1:
        return None
    whole: timedelta = row["ended_at"] - row["started_at"]
    return max(whole.total_seconds() - trained[0], 0.0)


def answers_since(tx: Tx, deployment: str, *, until: datetime, most: int) -> int | None:
    """How many answers clients got from the live version from when it went live to `until`, counted up to `most`; None
    before any version is live. A request that failed, or was broken off, got no answer."""
    route = deployments.current(tx, deployment)
    if route is None:
        return None
    answered = inferences.c.status < 400, inferences.c.error == ""
    since = _asked(route, until).where(*answered).limit(most)
    return int(tx.scalar(sa.select(sa.func.count()).select_from(since.subquery())))


def asked_since(tx: Tx, deployment: str, *, until: datetime) -> bool:
    """Whether a client asked the live version something that it answered or failed to answer, from when it went live to
    `until`. What clients got wrong themselves, and requests that they left, do not count."""
    route = deployments.current(tx, deployment)
    if route is None:
        return False
    own = ~inferences.c.status.between(400, 499)
    return tx.scalar(_asked(route, until).where(own).limit(1)) is not None


def _asked(route: sa.RowMapping, until: datetime) -> sa.Select[Any]:
    return sa.select(inferences.c.id).where(
        inferences.c.version == route["version"],
        inferences.c.kind == "live",
        inferences.c.deployment == route["deployment"],
        inferences.c.at >= route["changed_at"],
        inferences.c.at <= until,
    )
