"""Work asked of processes, their pulse, settings, and the audit chain."""

from __future__ import annotations

import sqlalchemy as sa

from core import states
from store.columns import Key, UtcTime, count, json, key, metadata, one_of, state_of, text, time, uuid

commands = sa.Table(
    "commands",
    metadata,
    key(),
    uuid(),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("owner", sa.String(20), nullable=False),
    json("args"),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("progress", sa.Float, nullable=False, default=0.0),
    json("result"),
    text("message"),
    text("actor"),
    text("claimed_by"),
    time("lease_until", nullable=True),
    time("asked_at"),
    time("expires_at"),
    time("finished_at", nullable=True),
    one_of("owner", ("gateway", "monitors", "retrain")),
    state_of(states.COMMAND),
    sa.Index("ix_commands_owner_state", "owner", "state"),
)
heartbeats = sa.Table(
    "heartbeats",
    metadata,
    sa.Column("process", sa.String(80), primary_key=True),
    sa.Column("role", sa.String(20), nullable=False),
    count("pid"),
    time("started_at"),
    sa.Column("at", UtcTime, nullable=False),
    json("info"),
)
options = sa.Table(
    "options",
    metadata,
    sa.Column("name", sa.String(80), primary_key=True),
    json("value"),
    text("actor"),
    time("changed_at"),
)
audit_events = sa.Table(
    "audit_events",
    metadata,
    sa.Column("id", Key, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    text("actor"),
    sa.Column("kind", sa.String(80), nullable=False),
    text("subject"),
    json("body"),
    sa.Column("previous", sa.String(64), nullable=False, unique=True),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
    sa.Index("ix_audit_events_subject", "subject"),
)
