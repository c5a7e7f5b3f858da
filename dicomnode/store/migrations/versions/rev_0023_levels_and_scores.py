"""At what attenuation the brain lies in the images of a job, and the scores of its runs"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("job", sa.Column("brain_hu", sa.Double(), nullable=True))
    op.add_column("run", sa.Column("scores", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("run") as table:
        table.alter_column("scores", server_default=None)


def downgrade() -> None:
    """Back."""
    op.drop_column("run", "scores")
    op.drop_column("job", "brain_hu")
