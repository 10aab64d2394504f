"""What the Alerts page shows: the lists, one alert with its timeline, comments, notices and proposals."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from store.queries.runs import APPROVED_WITH
from store.tables import (
    alert_comments,
    alert_transitions,
    alerts,
    channels,
    decisions,
    deployments,
    outbox,
    pairs,
    silences,
    ticks,
    versions,
)
from store.unit_of_work import Tx

LIST = [column for column in alerts.c if column.name not in ("why", "evidence")]


def listed(tx: Tx, *, firing: bool, limit: int = 50, before: int | None = None) -> list[sa.RowMapping]:
    """Open alerts (firing before pending, the critical first), or those that are over; then newest first.

    Only those from before key `before`, where it is given.
    """
    open_states = ("pending", "firing")
    states = open_states if firing else ("resolved",)
    query = sa.select(*LIST).where(alerts.c.state.in_(states))
    if before is not None:
        query = query.where(alerts.c.id < before)
    urgency = sa.case((alerts.c.state == "pending", 2), (alerts.c.severity == "critical", 0), else_=1)
    order = (urgency, alerts.c.id.desc()) if firing else (alerts.c.id.desc(),)
    return tx.all(query.order_by(*order).limit(limit))


def one(tx: Tx, uuid: str) -> sa.RowMapping | None:
    """The alert `uuid`, or None."""
    return tx.one(sa.select(alerts).where(alerts.c.uuid == uuid))


def transitions(tx: Tx, alert_id: int) -> list[sa.RowMapping]:
    """Every move of the alert, oldest first, each with the measurement that caused it."""
    query = sa.select(alert_transitions).where(alert_transitions.c.alert_id == alert_id)
    return tx.all(query.order_by(alert_transitions.c.id))


def comments(tx: Tx, alert_id: int) -> list[sa.RowMapping]:
    """What people wrote about the alert, oldest first."""
    query = sa.select(alert_comments).where(alert_comments.c.alert_id == alert_id)
    return tx.all(query.order_by(alert_comments.c.id))


def proposals(tx: Tx, alert_id: int) -> list[sa.RowMapping]:
    """Decisions proposed because of the alert, newest first, each with what it was `approved_with`."""
    query = sa.select(decisions, APPROVED_WITH).where(decisions.c.alert_id == alert_id).order_by(decisions.c.id.desc())
    return tx.all(query)


def notices(tx: Tx, alert_id: int) -> list[sa.RowMapping]:
    """Notices about the alert by channel, newest first, without their bodies."""
    return tx.all(
        sa.select(
            channels.c.name,
            channels.c.kind,
            outbox.c.state,
            outbox.c.attempts,
            outbox.c.created_at,
            outbox.c.sent_at,
            outbox.c.last_error,
            outbox.c.held_because,
        )
        .join(channels, channels.c.id == outbox.c.channel_id)
        .where(outbox.c.alert_id == alert_id)
        .order_by(outbox.c.id.desc())
        .limit(20)
    )


def silences_in_force(tx: Tx, now: datetime) -> list[sa.RowMapping]:
    """Silences that hold notices back now, the one that ends first on top."""
    in_force = silences.c.ends_at > now, silences.c.starts_at <= now, silences.c.ended_early_at.is_(None)
    return tx.all(sa.select(silences).where(*in_force).order_by(silences.c.ends_at))


def releases_near(tx: Tx, at: datetime, within: timedelta) -> list[sa.RowMapping]:
    """Versions that went live around `at`: what else changed at that moment."""
    return tx.all(
        sa.select(deployments.c.kind, deployments.c.live_at, versions.c.name.label("version"))
        .join(versions, versions.c.id == deployments.c.version_id)
        .where(deployments.c.live_at >= at - within, deployments.c.live_at <= at)
        .order_by(deployments.c.id.desc())
        .limit(5)
    )


def last_loud_at(tx: Tx) -> datetime | None:
    """When the last of the alerts that fired and are over came to its end."""
    over = alerts.c.state == "resolved", alerts.c.fired_at.is_not(None)
    found: datetime | None = tx.scalar(sa.select(sa.func.max(alerts.c.resolved_at)).where(*over))
    return found


def last_evaluation_at(tx: Tx) -> datetime | None:
    """When a monitor last ran to its end."""
    query = sa.select(ticks.c.finished_at).where(ticks.c.state == "done").order_by(ticks.c.id.desc()).limit(1)
    found: datetime | None = tx.scalar(query)
    return found


def channel_names(tx: Tx) -> list[str]:
    """The enabled channels by name."""
    rows = tx.all(sa.select(channels.c.name).where(channels.c.enabled).order_by(channels.c.name))
    return [str(row["name"]) for row in rows]


def pairs_named(tx: Tx, uuids: Sequence[str]) -> list[dict[str, Any]]:
    """Preference pairs by uuid with their prompt's last message. Their texts are hostile input."""
    columns = pairs.c.uuid, pairs.c.prompt, pairs.c.chosen, pairs.c.rejected, pairs.c.state
    rows = tx.all(sa.select(*columns).where(pairs.c.uuid.in_(list(uuids)))) if uuids else []
    return [{**row, "prompt": str(row["prompt"][-1].get("content", "")) if row["prompt"] else ""} for row in rows]
