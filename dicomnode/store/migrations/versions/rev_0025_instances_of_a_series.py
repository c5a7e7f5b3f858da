"""How many files a series has, so that nobody has to count them for each that comes"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    # The default stays: a node of the version before, which shares the database, does not know the column.
    op.add_column("series", sa.Column("instances", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE series SET instances = (SELECT count(*) FROM instance WHERE instance.series_id = series.id)")


def downgrade() -> None:
    """Back."""
    # Not in a batch, which would make the table anew: others refer to it.
    op.drop_column("series", "instances")
