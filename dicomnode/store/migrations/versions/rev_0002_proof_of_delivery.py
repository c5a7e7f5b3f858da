"""Proof of delivery: what is asked for, what it was proven by, and how often a result was missing"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.add_column(sa.Column("proof", sa.String(length=16), nullable=False, server_default="query"))
        batch_op.add_column(sa.Column("proven_by", sa.String(length=16), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("proven_at", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("proof_attempts", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("losses", sa.Integer(), nullable=False, server_default="0"))
    # The defaults were for the rows that exist; new rows get theirs from the code.
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        for column in ("proof", "proven_by", "proof_attempts", "losses"):
            batch_op.alter_column(column, server_default=None)


def downgrade() -> None:
    """Back."""
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        for column in ("losses", "proof_attempts", "proven_at", "proven_by", "proof"):
            batch_op.drop_column(column)
