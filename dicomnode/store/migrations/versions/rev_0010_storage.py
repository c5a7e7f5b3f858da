"""Database and spool carry one identity; deliveries tell how often their outcome stayed unknown"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "storage",
        sa.Column("id", RowId, autoincrement=True, nullable=False),
        sa.Column("identity", sa.String(length=32), nullable=False),
        sa.Column("bound_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("stepped_at", sa.Double(), nullable=True),
        sa.Column("stepped_by_s", sa.Double(), nullable=False),
        sa.Column("stepped_on", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_storage")),
    )
    op.add_column("outbox", sa.Column("unanswered", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("outbox") as table:
        table.alter_column("unanswered", server_default=None)


def downgrade() -> None:
    """Back."""
    with op.batch_alter_table("outbox") as table:
        table.drop_column("unanswered")
    op.drop_table("storage")
