"""Indexes of the images that are still kept, and of the beginnings of what a study is looked for by"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

KEPT = sa.text("status <> 'purged'")
LOOKED_FOR = ("study_uid", "accession_number")


def upgrade() -> None:
    """Forward."""
    # Nothing but indexes: a node of the version before, which shares the database, need not know of them.
    columns = ["received_at", "id"]
    op.create_index("ix_instance_kept", "instance", columns, sqlite_where=KEPT, postgresql_where=KEPT)
    _index_anew("varchar_pattern_ops")


def downgrade() -> None:
    """Back."""
    _index_anew(None)
    op.drop_index("ix_instance_kept", "instance")


def _index_anew(kind: str | None) -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for column in LOOKED_FOR:
        op.drop_index(f"ix_series_{column}", "series")
        op.create_index(f"ix_series_{column}", "series", [column], postgresql_ops={column: kind} if kind else {})
