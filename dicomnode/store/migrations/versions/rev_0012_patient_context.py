"""What is known of patients beside the images"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import sqlite

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")


def _patient() -> list[sa.Column[Any]]:
    return [
        sa.Column("patient_id", sa.String(length=64), nullable=False),
        sa.Column("issuer", sa.String(length=64), nullable=False),
        sa.Column("birth_date", sa.String(length=8), nullable=False),
        sa.Column("sex", sa.String(length=1), nullable=False),
    ]


def _origin() -> list[sa.Column[Any]]:
    return [
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("arrived_at", sa.Double(), nullable=False),
        sa.Column("provenance", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
    ]


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "clinical_value",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        *_patient(),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("unit", sa.String(length=16), nullable=False),
        sa.Column("observed_at", sa.Double(), nullable=True),
        *_origin(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clinical_value")),
        sa.UniqueConstraint("digest", name=op.f("uq_clinical_value_digest")),
    )
    op.create_table(
        "clinical_text",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        *_patient(),
        sa.Column("section", sa.String(length=32), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=255), nullable=False),
        sa.Column("written_at", sa.Double(), nullable=True),
        *_origin(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clinical_text")),
        sa.UniqueConstraint("digest", name=op.f("uq_clinical_text_digest")),
    )
    for table in ("clinical_value", "clinical_text"):
        op.create_index(f"ix_{table}_patient", table, ["patient_id", "issuer"])
        op.create_index(op.f(f"ix_{table}_arrived_at"), table, ["arrived_at"])
    op.create_table(
        "merged_patient",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("patient_id", sa.String(length=64), nullable=False),
        sa.Column("issuer", sa.String(length=64), nullable=False),
        sa.Column("survivor_id", sa.String(length=64), nullable=False),
        sa.Column("survivor_issuer", sa.String(length=64), nullable=False),
        sa.Column("merged_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merged_patient")),
        sa.UniqueConstraint("patient_id", "issuer", name=op.f("uq_merged_patient_patient_id_issuer")),
    )
    op.create_index(op.f("ix_merged_patient_survivor_id"), "merged_patient", ["survivor_id"])
    op.create_index(op.f("ix_merged_patient_merged_at"), "merged_patient", ["merged_at"])
    op.create_table(
        "study_patient",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("study_uid", sa.String(length=128), nullable=False),
        *_patient(),
        sa.Column("scanned_at", sa.Double(), nullable=True),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("checked_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study_patient")),
        sa.UniqueConstraint("study_uid", name=op.f("uq_study_patient_study_uid")),
    )
    op.create_index("ix_study_patient_patient", "study_patient", ["patient_id", "issuer"])
    op.create_index(op.f("ix_study_patient_seen_at"), "study_patient", ["seen_at"])
    op.create_table(
        "read_report",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("instance_id", ROW_ID, nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("read_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_read_report_instance_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_read_report")),
        sa.UniqueConstraint("instance_id", name=op.f("uq_read_report_instance_id")),
    )


def downgrade() -> None:
    """Back."""
    for table in ("read_report", "study_patient", "merged_patient", "clinical_text", "clinical_value"):
        op.drop_table(table)
