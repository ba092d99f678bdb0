"""The log of events: outcome, object, before and after, who by; append-only. And webhooks"""

# pyright: reportUnknownArgumentType=false

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Nobody changes what the log says, the platform's own mistakes included; what is younger than 180 days stays.
_APPEND_ONLY = """
CREATE FUNCTION events_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND OLD.at < now() - interval '180 days' THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'events are only ever added' USING ERRCODE = 'restrict_violation';
END $$
"""
_ROWS = """
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON events
FOR EACH ROW EXECUTE FUNCTION events_append_only()
"""
_WHOLE = """
CREATE TRIGGER events_not_truncated BEFORE TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION events_append_only()
"""


def upgrade() -> None:
    # A constant default is no rewrite of the table.
    op.add_column("events", sa.Column("outcome", sa.String(16), server_default="succeeded", nullable=False))
    op.add_column("events", sa.Column("object_kind", sa.String(32)))
    op.add_column("events", sa.Column("object_name", sa.String(255)))
    op.add_column("events", sa.Column("before", postgresql.JSONB()))
    op.add_column("events", sa.Column("after", postgresql.JSONB()))
    op.add_column("events", sa.Column("token_id", sa.String(40)))
    op.add_column("events", sa.Column("user_agent", sa.String(200)))
    for word, outcome in (("failed", "failed"), ("crashed", "failed"), ("requested",) * 2, ("cancelled",) * 2):
        ends = sa.text("UPDATE events SET outcome = :outcome WHERE tag LIKE :tag")
        op.execute(ends.bindparams(outcome=outcome, tag=f"%:{word}"))
    op.execute("UPDATE events SET actor_name = 'platform' WHERE actor_name IS NULL")
    op.execute(_APPEND_ONLY)
    op.execute(_ROWS)
    op.execute(_WHOLE)
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("tenant_id", sa.String(40)),
        sa.Column("organization_id", sa.String(40)),
        sa.Column("space_id", sa.String(40)),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("tags", postgresql.ARRAY(sa.String(64)), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(64)),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True)),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True)),
        sa.Column("reason", postgresql.JSONB()),
        *(
            sa.ForeignKeyConstraint(
                [f"{level}_id"], [f"{level}s.id"], name=op.f(f"fk_webhooks_{level}_id"), ondelete="CASCADE"
            )
            for level in ("tenant", "organization", "space")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    for level in ("tenant", "organization", "space"):
        op.create_index(op.f(f"ix_webhooks_{level}_id"), "webhooks", [f"{level}_id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("webhook_id", sa.String(40), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger()),
        sa.Column("tag", sa.String(64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("delivered", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("took_ms", sa.Integer(), nullable=False),
        sa.Column("reason", postgresql.JSONB()),
        sa.Column("response", sa.String(200)),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name=op.f("fk_webhook_deliveries_webhook_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(op.f("ix_webhook_deliveries_webhook_id"), "webhook_deliveries", ["webhook_id"])


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
    op.execute("DROP TRIGGER events_not_truncated ON events")
    op.execute("DROP TRIGGER events_append_only ON events")
    op.execute("DROP FUNCTION events_append_only()")
    for column in ("user_agent", "token_id", "after", "before", "object_name", "object_kind", "outcome"):
        op.drop_column("events", column)
