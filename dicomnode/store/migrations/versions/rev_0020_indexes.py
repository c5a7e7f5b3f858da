"""Indexes for what is asked for again and again beside a long history"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0016"
branch_labels = None
depends_on = None

NOT_USED = sa.text("status = 'not_used'")


def upgrade() -> None:
    """Forward."""
    op.create_index("ix_outbox_status_lease_until", "outbox", ["status", "lease_until"])
    op.create_index("ix_job_accession_number", "job", ["accession_number"])
    op.create_index("ix_result_series_uid", "result", ["series_uid"])
    op.create_index("ix_series_status_last_instance_at", "series", ["status", "last_instance_at"])
    op.create_index(
        "ix_instance_not_used", "instance", ["received_at"], sqlite_where=NOT_USED, postgresql_where=NOT_USED
    )


def downgrade() -> None:
    """Back."""
    op.drop_index("ix_instance_not_used", "instance")
    op.drop_index("ix_series_status_last_instance_at", "series")
    op.drop_index("ix_result_series_uid", "result")
    op.drop_index("ix_job_accession_number", "job")
    op.drop_index("ix_outbox_status_lease_until", "outbox")
