"""The class of workers that a job asks for."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("runs_on", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "runs_on")
