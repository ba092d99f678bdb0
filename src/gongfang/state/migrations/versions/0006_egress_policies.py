"""What spaces' workloads may reach"""

# pyright: reportUnknownArgumentType=false

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "egress_policies",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("internet", sa.Boolean(), nullable=False),
        sa.Column("allow", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["id"], ["spaces.id"], name=op.f("fk_egress_policies_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_egress_policies")),
    )


def downgrade() -> None:
    op.drop_table("egress_policies")
