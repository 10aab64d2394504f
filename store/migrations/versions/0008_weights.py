"""How much each pair of a dataset counts in training: less where its label is doubtful."""

import sqlalchemy as sa
from alembic import op

revision = "0008_weights"
down_revision = "0007_computing"


def upgrade() -> None:
    """Add it to the pairs of datasets; in those already locked each counts as it does by itself."""
    op.add_column("dataset_pairs", sa.Column("weight", sa.Float(), nullable=True))
