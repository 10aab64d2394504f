"""Promotions on trial: shadow and canary."""

import sqlalchemy as sa
from alembic import op

revision = "0004_release"
down_revision = "0003_traffic"

_ON_TRIAL = sa.text("state IN ('shadow', 'canary')")


def upgrade() -> None:
    """Give a deployment its share and its evidence, and a route its candidate."""
    for column in (
        sa.Column("share", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("shadow", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("trial_from", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("trial_at", sa.BigInteger(), nullable=True),
        sa.Column("held_by", sa.Text(), server_default="", nullable=False),
        sa.Column("evidence", sa.JSON(), server_default="{}", nullable=False),
    ):
        op.add_column("deployments", column)
    for column in (
        sa.Column("trial", sa.Text(), server_default="", nullable=False),
        sa.Column("candidate", sa.Text(), server_default="", nullable=False),
        sa.Column("share", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("salt", sa.Text(), server_default="", nullable=False),
    ):
        op.add_column("routes", column)
    op.create_index(
        "ux_deployments_trial",
        "deployments",
        ["deployment"],
        unique=True,
        sqlite_where=_ON_TRIAL,
        postgresql_where=_ON_TRIAL,
    )
