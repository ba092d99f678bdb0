"""Certificates, and how a domain is served over HTTPS"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "certificates",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=True),
        sa.Column("names", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("serial_number", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("key_type", sa.String(length=32), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=True),
        sa.Column("told", sa.Integer(), nullable=True),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("sealed_key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_certificates_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_certificates")),
    )
    op.create_index(op.f("ix_certificates_tenant_id"), "certificates", ["tenant_id"], unique=False)
    op.add_column("domains", sa.Column("https", sa.String(length=16), server_default="optional", nullable=False))
    op.add_column("domains", sa.Column("hsts_max_age_s", sa.Integer(), nullable=True))
    op.add_column(
        "domains", sa.Column("hsts_subdomains", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("domains", sa.Column("certificate_id", sa.String(length=40), nullable=True))
    op.add_column("domains", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_domains_certificate_id"), "domains", ["certificate_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_domains_certificate_id"), table_name="domains")
    for name in ("expires_at", "certificate_id", "hsts_subdomains", "hsts_max_age_s", "https"):
        op.drop_column("domains", name)
    op.drop_table("certificates")
