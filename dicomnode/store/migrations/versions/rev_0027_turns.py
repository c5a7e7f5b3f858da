"""Whose turn it is to do what one process does for all that share the database"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import sqlite

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "turn",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("what", sa.String(32), nullable=False),
        sa.Column("holder", sa.String(255), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_turn")),
        sa.UniqueConstraint("what", name=op.f("uq_turn_what")),
    )


def downgrade() -> None:
    """Back."""
    op.drop_table("turn")
