"""Fingerprints by place, and what they were made of: another machine rounds otherwise."""

import sqlalchemy as sa
from alembic import op

revision = "0009_prints"
down_revision = "0008_weights"


def upgrade() -> None:
    """A table of them; of versions that are there already their first digest stays where it is."""
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "prints",
        sa.Column("id", key, autoincrement=True, nullable=False),
        sa.Column("version_id", key, nullable=False),
        sa.Column("place", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.Text(), server_default="", nullable=False),
        sa.Column("tokens", sa.JSON(), nullable=False),
        sa.Column("logprobs", sa.JSON(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name=op.f("fk_prints_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prints")),
        sa.UniqueConstraint("version_id", "place", name=op.f("uq_prints_version_id_place")),
    )
