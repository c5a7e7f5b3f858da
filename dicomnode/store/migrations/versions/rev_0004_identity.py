"""Identity at the destination: under whose identity a result goes, and who decided that"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.add_column(sa.Column("identity", sa.String(length=160), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("identity_at", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("identity_by", sa.String(length=8), nullable=False, server_default=""))
    # The defaults were for the rows that exist; new rows get theirs from the code.
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        for column in ("identity", "identity_by"):
            batch_op.alter_column(column, server_default=None)


def downgrade() -> None:
    """Back."""
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        for column in ("identity_by", "identity_at", "identity"):
            batch_op.drop_column(column)
