"""Runs tell what their findings come to"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("run", sa.Column("outcomes", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("run") as table:
        table.alter_column("outcomes", server_default=None)


def downgrade() -> None:
    """Back."""
    with op.batch_alter_table("run") as table:
        table.drop_column("outcomes")
