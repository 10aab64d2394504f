"""People, their sessions, and keys of programs."""

from __future__ import annotations

import sqlalchemy as sa

from store.columns import count, flag, key, metadata, one_of, ref, text, time

accounts = sa.Table(
    "accounts",
    metadata,
    key(),
    sa.Column("name", sa.String(80), nullable=False, unique=True),
    text("password_hash"),
    text("role"),
    flag("active", True),
    flag("demo"),
    count("failures"),
    time("locked_until", nullable=True),
    time("created_at"),
    one_of("role", ("viewer", "operator", "approver", "admin")),
)
sessions = sa.Table(
    "sessions",
    metadata,
    key(),
    sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
    ref("account_id", "accounts", index=True),
    time("created_at"),
    time("expires_at"),
)
api_keys = sa.Table(
    "api_keys",
    metadata,
    key(),
    sa.Column("name", sa.String(80), nullable=False),
    sa.Column("key_hash", sa.String(64), nullable=False, unique=True),
    text("prefix"),
    text("scope", "chat"),
    flag("demo"),
    time("created_at"),
    time("revoked_at", nullable=True),
    one_of("scope", ("chat", "internal")),
)
