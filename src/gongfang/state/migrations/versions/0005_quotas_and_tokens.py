"""Quotas; where a token comes from; failed log-ins by source.

Revision ID: 0002
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quotas",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("apps", sa.BigInteger(), nullable=True),
        sa.Column("instances", sa.BigInteger(), nullable=True),
        sa.Column("memory_mb", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quotas")),
    )
    op.create_table(
        "login_failures",
        sa.Column("name_hash", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name_hash", "source", name=op.f("pk_login_failures")),
    )
    op.create_index(op.f("ix_login_failures_at"), "login_failures", ["at"])
    op.add_column("tokens", sa.Column("from_login", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("tokens", sa.Column("parent_id", sa.String(length=40), nullable=True))
    op.create_index(op.f("ix_tokens_parent_id"), "tokens", ["parent_id"])
    op.create_foreign_key(op.f("fk_tokens_parent_id"), "tokens", "tokens", ["parent_id"], ["id"], ondelete="CASCADE")
