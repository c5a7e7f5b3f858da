"""What HL7 messages say again about the same observation"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import sqlite

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "statement",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("patient_id", sa.String(length=64), nullable=False),
        sa.Column("issuer", sa.String(length=64), nullable=False),
        sa.Column("birth_date", sa.String(length=8), nullable=False),
        sa.Column("sex", sa.String(length=1), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("told_at", sa.Double(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("arrived_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statement")),
        sa.UniqueConstraint("key", name=op.f("uq_statement_key")),
    )
    op.create_index(op.f("ix_statement_arrived_at"), "statement", ["arrived_at"])
    for table in ("clinical_value", "clinical_text"):
        op.add_column(table, sa.Column("statement", sa.String(length=64), nullable=False, server_default=""))
        with op.batch_alter_table(table) as changed:
            changed.alter_column("statement", server_default=None)
        op.create_index(op.f(f"ix_{table}_statement"), table, ["statement"])


def downgrade() -> None:
    """Back."""
    for table in ("clinical_value", "clinical_text"):
        op.drop_index(op.f(f"ix_{table}_statement"), table)
        with op.batch_alter_table(table) as changed:
            changed.drop_column("statement")
    op.drop_table("statement")
