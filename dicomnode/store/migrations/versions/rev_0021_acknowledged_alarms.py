"""Alarms that somebody has seen, and what urgent findings are about"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("alarm", sa.Column("acknowledged_at", sa.Double(), nullable=True))
    op.add_column("alarm", sa.Column("acknowledged_by", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("alarm", sa.Column("job_id", sa.BigInteger(), nullable=True))
    op.add_column("alarm", sa.Column("detail", sa.JSON(), nullable=False, server_default="{}"))
    with op.batch_alter_table("alarm") as table:
        table.alter_column("acknowledged_by", server_default=None)
        table.alter_column("detail", server_default=None)


def downgrade() -> None:
    """Back."""
    with op.batch_alter_table("alarm") as table:
        table.drop_column("detail")
        table.drop_column("job_id")
        table.drop_column("acknowledged_by")
        table.drop_column("acknowledged_at")
