"""Which process sends the audit messages that wait: one at a time"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    with op.batch_alter_table("audit_reader") as table:
        table.add_column(sa.Column("sender", sa.String(64), nullable=False, server_default=""))
        table.add_column(sa.Column("sends_until", sa.Double(), nullable=False, server_default="0"))
    with op.batch_alter_table("audit_reader") as table:
        table.alter_column("sender", server_default=None)
        table.alter_column("sends_until", server_default=None)


def downgrade() -> None:
    """Back."""
    with op.batch_alter_table("audit_reader") as table:
        table.drop_column("sends_until")
        table.drop_column("sender")
