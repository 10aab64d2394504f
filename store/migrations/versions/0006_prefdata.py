"""The conversation behind a preference pair, and the names of what checks found on it."""

import sqlalchemy as sa
from alembic import op

revision = "0006_prefdata"
down_revision = "0005_customs"


def upgrade() -> None:
    """Add both to the pairs; those already there name neither."""
    for name in ("session", "flags"):
        op.add_column("pairs", sa.Column(name, sa.Text(), server_default="", nullable=False))
