"""What an operator has paused"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import sqlite

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "paused",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("part", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("since_at", sa.Double(), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paused")),
        sa.UniqueConstraint("part", "name", name=op.f("uq_paused_part_name")),
    )


def downgrade() -> None:
    """Back."""
    op.drop_table("paused")
