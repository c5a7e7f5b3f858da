"""Notes about results as jobs, rejected instances, and studies that end without a result"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    # The default stays: SQLite would have to write the table anew to drop it, and runs refer to it.
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.add_column(sa.Column("task", sa.String(length=16), nullable=False, server_default="analysis"))
        batch_op.add_column(sa.Column("about", sa.JSON(), nullable=True))
    with op.batch_alter_table("series", schema=None) as batch_op:
        batch_op.add_column(sa.Column("verdict_due_at", sa.Double(), nullable=True))
        batch_op.create_index(
            "ix_series_verdict_due_at",
            ["verdict_due_at"],
            unique=False,
            postgresql_where=sa.text("verdict_due_at IS NOT NULL"),
        )
    op.create_table(
        "rejected_instance",
        sa.Column("sop_instance_uid", sa.String(length=128), nullable=False),
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("note_uid", sa.String(length=128), nullable=False),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.INTEGER(), "sqlite"), autoincrement=True, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejected_instance")),
        sa.UniqueConstraint("sop_instance_uid", "code", name=op.f("uq_rejected_instance_sop_instance_uid_code")),
    )
    with op.batch_alter_table("rejected_instance", schema=None) as batch_op:
        batch_op.create_index("ix_rejected_instance_sop_instance_uid", ["sop_instance_uid"], unique=False)


def downgrade() -> None:
    """Back."""
    with op.batch_alter_table("rejected_instance", schema=None) as batch_op:
        batch_op.drop_index("ix_rejected_instance_sop_instance_uid")
    op.drop_table("rejected_instance")
    with op.batch_alter_table("series", schema=None) as batch_op:
        batch_op.drop_index("ix_series_verdict_due_at")
        batch_op.drop_column("verdict_due_at")
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_column("about")
        batch_op.drop_column("task")
