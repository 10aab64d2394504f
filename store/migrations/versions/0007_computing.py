"""What an answer took its server to compute, beside how long its asker waited."""

import sqlalchemy as sa
from alembic import op

revision = "0007_computing"
down_revision = "0006_prefdata"


def upgrade() -> None:
    """Add it to the exchanges; of those already there nobody knows it."""
    op.add_column("inferences", sa.Column("compute_ms", sa.Float(), nullable=True))
