"""Versions, the gate's reports of them, and which one answers for whom."""

from __future__ import annotations

import sqlalchemy as sa

from core import states
from store.columns import count, json, key, metadata, one_of, ref, state_of, text, time, uuid

versions = sa.Table(
    "versions",
    metadata,
    key(),
    sa.Column("name", sa.String(120), nullable=False, unique=True),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("kind", sa.String(10), nullable=False),
    text("base"),
    text("path"),
    text("parent"),
    ref("run_id", "runs", nullable=True),
    text("fingerprint"),
    json("card"),
    time("created_at"),
    one_of("kind", ("base", "adapter", "remote")),
)
prints = sa.Table(
    "prints",
    metadata,
    key(),
    ref("version_id", "versions"),
    sa.Column("place", sa.String(200), nullable=False),
    text("digest"),
    json("tokens", default=list),
    json("logprobs", default=list),
    time("at"),
    sa.UniqueConstraint("version_id", "place"),
)
gate_reports = sa.Table(
    "gate_reports",
    metadata,
    key(),
    ref("run_id", "runs", nullable=True, index=True),
    ref("version_id", "versions", index=True),
    text("champion"),
    sa.Column("verdict", sa.String(10), nullable=False),
    json("checks", default=list),
    sa.Column("digest", sa.String(64), nullable=False),
    time("at"),
    one_of("verdict", ("pass", "fail", "undecided")),
)
deployments = sa.Table(
    "deployments",
    metadata,
    key(),
    uuid(),
    sa.Column("deployment", sa.String(120), nullable=False),
    ref("version_id", "versions"),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    count("generation"),
    ref("previous_id", "deployments", nullable=True),
    ref("decision_id", "decisions", nullable=True, unique=True),
    text("actor"),
    text("reason"),
    time("requested_at"),
    time("live_at", nullable=True),
    time("verified_at", nullable=True),
    time("ended_at", nullable=True),
    text("fingerprint"),
    text("message"),
    count("share"),
    count("shadow"),
    count("trial_from"),
    time("trial_at", nullable=True),
    text("held_by"),
    sa.Column("evidence", sa.JSON, nullable=False, default=dict, server_default="{}"),
    one_of("kind", ("install", "promote", "rollback")),
    state_of(states.DEPLOYMENT),
    sa.Index(
        "ux_deployments_live",
        "deployment",
        unique=True,
        sqlite_where=sa.text("state = 'live'"),
        postgresql_where=sa.text("state = 'live'"),
    ),
    sa.Index(
        "ux_deployments_trial",
        "deployment",
        unique=True,
        sqlite_where=sa.text("state IN ('shadow', 'canary')"),
        postgresql_where=sa.text("state IN ('shadow', 'canary')"),
    ),
)
routes = sa.Table(
    "routes",
    metadata,
    sa.Column("deployment", sa.String(120), primary_key=True),
    ref("deployment_id", "deployments"),
    sa.Column("version", sa.String(120), nullable=False),
    sa.Column("previous", sa.String(120), nullable=False, default=""),
    count("generation"),
    time("changed_at"),
    text("trial"),
    text("candidate"),
    count("share"),
    text("salt"),
)
