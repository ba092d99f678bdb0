"""Which calls were done"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("idempotency", sa.Column("owner", sa.String(length=40), nullable=True))
    op.add_column("idempotency", sa.Column("done", sa.String(length=40), nullable=True))
