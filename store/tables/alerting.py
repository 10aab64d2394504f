"""Alerts with all that happened to them, silences, channels, and notices on their way."""

from __future__ import annotations

import sqlalchemy as sa

from core import states
from store.columns import flag, json, key, metadata, one_of, ref, state_of, text, time, uuid

alerts = sa.Table(
    "alerts",
    metadata,
    key(),
    uuid(),
    ref("monitor_id", "monitors", nullable=True, index=True),
    text("monitor"),
    sa.Column("kind", sa.String(12), nullable=False),
    sa.Column("fingerprint", sa.String(160), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    text("severity", "warning"),
    text("summary"),
    json("why"),
    json("evidence"),
    time("pending_since", nullable=True),
    time("fired_at", nullable=True),
    time("resolved_at", nullable=True),
    time("updated_at"),
    text("acknowledged_by"),
    time("acknowledged_at", nullable=True),
    state_of(states.ALERT),
    one_of("kind", ("rule", "nodata", "error", "system")),
    sa.Index(
        "ux_alerts_open",
        "fingerprint",
        unique=True,
        sqlite_where=sa.text("state IN ('pending', 'firing')"),
        postgresql_where=sa.text("state IN ('pending', 'firing')"),
    ),
)
alert_transitions = sa.Table(
    "alert_transitions",
    metadata,
    key(),
    ref("alert_id", "alerts", index=True),
    time("at"),
    sa.Column("old", sa.String(12), nullable=False),
    sa.Column("new", sa.String(12), nullable=False),
    json("measurement"),
    text("reason"),
    text("actor"),
    flag("notified"),
    sa.Index("ix_alert_transitions_notified_id", "notified", "id"),
)
alert_comments = sa.Table(
    "alert_comments",
    metadata,
    key(),
    ref("alert_id", "alerts", index=True),
    time("at"),
    text("actor"),
    text("body"),
)
silences = sa.Table(
    "silences",
    metadata,
    key(),
    text("monitor"),
    text("reason"),
    text("actor"),
    time("starts_at"),
    time("ends_at"),
    time("ended_early_at", nullable=True),
)
channels = sa.Table(
    "channels",
    metadata,
    key(),
    sa.Column("name", sa.String(80), nullable=False, unique=True),
    sa.Column("kind", sa.String(40), nullable=False),
    json("config"),
    flag("enabled", True),
    time("created_at"),
)
outbox = sa.Table(
    "outbox",
    metadata,
    key(),
    sa.Column("key", sa.String(80), nullable=False),
    ref("channel_id", "channels"),
    ref("alert_id", "alerts", nullable=True),
    json("notice"),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    time("next_at"),
    time("created_at"),
    time("sent_at", nullable=True),
    text("last_error"),
    text("held_because"),
    sa.UniqueConstraint("key", "channel_id"),
    state_of(states.NOTICE),
    sa.Index("ix_outbox_state_next_at", "state", "next_at"),
)
