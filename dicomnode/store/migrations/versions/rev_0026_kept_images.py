"""An index of the images that are still kept, so that retention does not go through those that are gone"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

KEPT = sa.text("status <> 'purged'")


def upgrade() -> None:
    """Forward."""
    # Nothing but an index: a node of the version before, which shares the database, need not know of it.
    columns = ["received_at", "id"]
    op.create_index("ix_instance_kept", "instance", columns, sqlite_where=KEPT, postgresql_where=KEPT)


def downgrade() -> None:
    """Back."""
    op.drop_index("ix_instance_kept", "instance")
