"""Searches for later CTs of patients of whom something was foretold"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import sqlite

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "later_search",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("study_uid", sa.String(128), nullable=False),
        sa.Column("later_study_uid", sa.String(128), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("next_try_at", sa.Double(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_later_search")),
        sa.UniqueConstraint("study_uid", name=op.f("uq_later_search_study_uid")),
    )
    op.create_index("ix_later_search_later_study_uid", "later_search", ["later_study_uid"])
    op.create_index("ix_later_search_next_try_at", "later_search", ["next_try_at"])


def downgrade() -> None:
    """Back."""
    op.drop_table("later_search")
