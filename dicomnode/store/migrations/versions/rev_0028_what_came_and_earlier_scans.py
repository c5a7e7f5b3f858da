"""Predicted scans held against the CT that came, and searches for earlier CTs"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import sqlite

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "comparison",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("job_id", ROW_ID, nullable=False),
        sa.Column("later_job_id", ROW_ID, nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_comparison_job_id")),
        sa.ForeignKeyConstraint(["later_job_id"], ["job.id"], name=op.f("fk_comparison_later_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comparison")),
        sa.UniqueConstraint("job_id", "later_job_id", "model", name=op.f("uq_comparison_job_id_later_job_id_model")),
    )
    op.create_index("ix_comparison_job_id", "comparison", ["job_id"])
    op.create_index("ix_comparison_later_job_id", "comparison", ["later_job_id"])
    op.create_table(
        "prior_search",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("study_uid", sa.String(128), nullable=False),
        sa.Column("prior_study_uid", sa.String(128), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("next_try_at", sa.Double(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prior_search")),
        sa.UniqueConstraint("study_uid", name=op.f("uq_prior_search_study_uid")),
    )
    op.create_index("ix_prior_search_prior_study_uid", "prior_search", ["prior_study_uid"])
    op.create_index("ix_prior_search_next_try_at", "prior_search", ["next_try_at"])


def downgrade() -> None:
    """Back."""
    op.drop_table("prior_search")
    op.drop_table("comparison")
