"""Marks of people on captured exchanges: to be labelled, or left out of references."""

import sqlalchemy as sa
from alembic import op

revision = "0003_traffic"
down_revision = "0002_probes"


def upgrade() -> None:
    """Create the table of marks."""
    op.create_table(
        "marks",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("inference_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("actor", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('label', 'exclude')", name=op.f("ck_marks_kind_known")),
        sa.ForeignKeyConstraint(["inference_id"], ["inferences.id"], name=op.f("fk_marks_inference_id_inferences")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_marks")),
        sa.UniqueConstraint("inference_id", "kind", name=op.f("uq_marks_inference_id_kind")),
    )
    op.create_index("ix_marks_kind_id", "marks", ["kind", "id"], unique=False)
