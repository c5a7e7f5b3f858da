"""What destinations refuse: SOP classes in place of which something else is sent"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "refused_class",
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("sop_class_uid", sa.String(length=128), nullable=False),
        sa.Column("learned_at", sa.Double(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.INTEGER(), "sqlite"), autoincrement=True, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refused_class")),
        sa.UniqueConstraint("destination", "sop_class_uid", name=op.f("uq_refused_class_destination_sop_class_uid")),
    )


def downgrade() -> None:
    """Back."""
    op.drop_table("refused_class")
