"""Consent of preference pairs."""

import sqlalchemy as sa
from alembic import op

revision = "0005_customs"
down_revision = "0004_release"


def upgrade() -> None:
    """Add what a pair says about its person's consent; those already there say nothing."""
    op.add_column("pairs", sa.Column("consent", sa.Text(), server_default="", nullable=False))
