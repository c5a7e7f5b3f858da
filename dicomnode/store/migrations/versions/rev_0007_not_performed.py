"""One name for studies that end without a result: not performed"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    _rename("verdict_due_at", "not_performed_due_at")


def downgrade() -> None:
    """Back."""
    _rename("not_performed_due_at", "verdict_due_at")


def _rename(old: str, new: str) -> None:
    op.drop_index(f"ix_series_{old}", table_name="series")
    # Both databases know this statement; Alembic would write SQLite's table anew, to which other rows refer.
    op.execute(f"ALTER TABLE series RENAME COLUMN {old} TO {new}")
    op.create_index(f"ix_series_{new}", "series", [new], postgresql_where=sa.text(f"{new} IS NOT NULL"))
