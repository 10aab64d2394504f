"""What was asked and answered, what people said of it, and what is known of each exchange."""

from __future__ import annotations

import sqlalchemy as sa

from store.columns import Key, count, flag, json, key, metadata, one_of, ref, text, time, uuid

inferences = sa.Table(
    "inferences",
    metadata,
    key(),
    uuid(),
    time("at"),
    sa.Column("deployment", sa.String(120), nullable=False),
    sa.Column("version", sa.String(120), nullable=False),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("status", sa.Integer, nullable=False, default=200),
    text("error"),
    text("finish_reason"),
    flag("streamed"),
    sa.Column("prompt_tokens", sa.Integer, nullable=False, default=0),
    sa.Column("completion_tokens", sa.Integer, nullable=False, default=0),
    sa.Column("latency_ms", sa.Float, nullable=True),
    sa.Column("first_token_ms", sa.Float, nullable=True),
    sa.Column("compute_ms", sa.Float, nullable=True),
    sa.Column("response_chars", sa.Integer, nullable=False, default=0),
    text("conversation"),
    text("user_hash"),
    json("labels"),
    sa.Column("prompt_digest", sa.String(64), nullable=False),
    sa.Column("source_key", sa.String(200), nullable=True, unique=True),
    one_of("kind", ("live", "probe", "shadow", "import")),
    sa.Index("ix_inferences_kind_id", "kind", "id"),
    sa.Index("ix_inferences_version_id", "version", "id"),
    sa.Index("ix_inferences_at", "at"),
    sa.Index("ix_inferences_conversation_id", "conversation", "id"),
)
inference_texts = sa.Table(
    "inference_texts",
    metadata,
    sa.Column("inference_id", Key, sa.ForeignKey("inferences.id"), primary_key=True),
    json("messages", default=list),
    text("prompt"),
    text("response"),
)
feedback = sa.Table(
    "feedback",
    metadata,
    key(),
    uuid(),
    time("at"),
    sa.Column("kind", sa.String(12), nullable=False),
    ref("inference_id", "inferences", nullable=True, index=True),
    sa.Column("value", sa.Float, nullable=True),
    text("chosen"),
    text("rejected"),
    text("comment"),
    text("contributor"),
    text("source", "api"),
    one_of("kind", ("thumb", "rating", "choice", "correction")),
)
embeddings = sa.Table(
    "embeddings",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("encoder", sa.String(64), primary_key=True),
    sa.Column("vector", sa.LargeBinary, nullable=False),
)
detector_labels = sa.Table(
    "detector_labels",
    metadata,
    key(),
    ref("inference_id", "inferences"),
    sa.Column("detector", sa.String(40), nullable=False),
    flag("told"),
    flag("truth"),
    flag("drawn"),
    text("actor"),
    time("at"),
    sa.UniqueConstraint("inference_id", "detector"),
)
marks = sa.Table(
    "marks",
    metadata,
    key(),
    ref("inference_id", "inferences"),
    sa.Column("kind", sa.String(12), nullable=False),
    text("reason"),
    text("actor"),
    time("at"),
    sa.UniqueConstraint("inference_id", "kind"),
    one_of("kind", ("label", "exclude")),
    sa.Index("ix_marks_kind_id", "kind", "id"),
)
imports = sa.Table(
    "imports",
    metadata,
    key(),
    uuid(),
    time("at"),
    text("kind"),
    text("name"),
    sa.Column("digest", sa.String(64), nullable=False),
    count("rows"),
    count("new_rows"),
    text("actor"),
)
