"""At what attenuation the brain lies in the images of a job"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.add_column("job", sa.Column("brain_hu", sa.Double(), nullable=True))


def downgrade() -> None:
    """Back."""
    op.drop_column("job", "brain_hu")
