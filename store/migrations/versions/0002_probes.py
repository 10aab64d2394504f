"""Labels of detectors."""

import sqlalchemy as sa
from alembic import op

revision = "0002_probes"
down_revision = "0001"


def upgrade() -> None:
    """Create the table of labels."""
    op.create_table(
        "detector_labels",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("inference_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("detector", sa.String(length=40), nullable=False),
        sa.Column("told", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("truth", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("drawn", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("actor", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["inference_id"], ["inferences.id"], name=op.f("fk_detector_labels_inference_id_inferences")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_detector_labels")),
        sa.UniqueConstraint("inference_id", "detector", name=op.f("uq_detector_labels_inference_id_detector")),
    )
