"""Runs tell with which context and earlier findings they succeeded"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("run", sa.Column("inputs_digest", sa.String(length=64), nullable=False, server_default=""))
    with op.batch_alter_table("run") as table:
        table.alter_column("inputs_digest", server_default=None)


def downgrade() -> None:
    """Back."""
    with op.batch_alter_table("run") as table:
        table.drop_column("inputs_digest")
