"""Services: brokers and what they offer, service instances and bindings, and the servers of the built-in broker"""

# pyright: reportUnknownArgumentType=false

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hosted_instances",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=40), nullable=False),
        sa.Column("instance_id", sa.String(length=255), nullable=False),
        sa.Column("service", sa.String(length=63), nullable=False),
        sa.Column("plan", sa.String(length=63), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("admin_secret", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("observed_generation", sa.BigInteger(), nullable=False),
        sa.Column("plan_seen", sa.String(length=63), nullable=True),
        sa.Column("parameters_seen", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("initialized", sa.Boolean(), nullable=False),
        sa.Column("workload_id", sa.String(length=40), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("host", sa.String(length=64), nullable=True),
        sa.Column("open_ports", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("restarts", sa.Integer(), nullable=False),
        sa.Column("next_start_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_output", sa.Text(), nullable=True),
        sa.Column("version", sa.String(length=64), nullable=True),
        sa.Column("last_operation", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hosted_instances")),
        sa.UniqueConstraint("owner", "instance_id", name=op.f("uq_hosted_instances_owner_instance_id")),
        sa.UniqueConstraint("port", name=op.f("uq_hosted_instances_port")),
    )
    op.create_index(op.f("ix_hosted_instances_workload_id"), "hosted_instances", ["workload_id"], unique=False)
    op.create_table(
        "hosted_bindings",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("hosted_id", sa.String(length=40), nullable=False),
        sa.Column("binding_id", sa.String(length=255), nullable=False),
        sa.Column("predecessor", sa.String(length=255), nullable=True),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seed_secret", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("last_operation", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(
            ["hosted_id"], ["hosted_instances.id"], name=op.f("fk_hosted_bindings_hosted_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hosted_bindings")),
        sa.UniqueConstraint("hosted_id", "binding_id", name=op.f("uq_hosted_bindings_hosted_id_binding_id")),
    )
    op.create_index(op.f("ix_hosted_bindings_hosted_id"), "hosted_bindings", ["hosted_id"], unique=False)
    op.create_table(
        "service_brokers",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=True),
        sa.Column("organization_id", sa.String(length=40), nullable=True),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("username", sa.Text(), nullable=True),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("private", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=True),
        sa.Column("catalog_etag", sa.Text(), nullable=True),
        sa.Column("refreshed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("removing", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_service_brokers_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_service_brokers_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_brokers")),
        sa.UniqueConstraint(
            "organization_id",
            "name",
            name=op.f("uq_service_brokers_organization_id_name"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(op.f("ix_service_brokers_organization_id"), "service_brokers", ["organization_id"], unique=False)
    op.create_index(op.f("ix_service_brokers_tenant_id"), "service_brokers", ["tenant_id"], unique=False)
    op.create_table(
        "broker_orphans",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("broker_id", sa.String(length=40), nullable=False),
        sa.Column("instance_id", sa.String(length=40), nullable=False),
        sa.Column("binding_id", sa.String(length=40), nullable=True),
        sa.Column("service_id", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("operation", sa.Text(), nullable=True),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("reason", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(
            ["broker_id"], ["service_brokers.id"], name=op.f("fk_broker_orphans_broker_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_broker_orphans")),
        sa.UniqueConstraint(
            "broker_id",
            "instance_id",
            "binding_id",
            name=op.f("uq_broker_orphans_broker_id_instance_id_binding_id"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(op.f("ix_broker_orphans_broker_id"), "broker_orphans", ["broker_id"], unique=False)
    op.create_table(
        "service_offerings",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("broker_id", sa.String(length=40), nullable=False),
        sa.Column("catalog_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("requires", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("bindable", sa.Boolean(), nullable=False),
        sa.Column("instances_retrievable", sa.Boolean(), nullable=False),
        sa.Column("bindings_retrievable", sa.Boolean(), nullable=False),
        sa.Column("allow_context_updates", sa.Boolean(), nullable=False),
        sa.Column("plan_updateable", sa.Boolean(), nullable=False),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("gone", sa.Boolean(), nullable=False),
        sa.Column("unavailable", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(
            ["broker_id"], ["service_brokers.id"], name=op.f("fk_service_offerings_broker_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_offerings")),
        sa.UniqueConstraint("broker_id", "catalog_id", name=op.f("uq_service_offerings_broker_id_catalog_id")),
    )
    op.create_index(op.f("ix_service_offerings_broker_id"), "service_offerings", ["broker_id"], unique=False)
    op.create_index(op.f("ix_service_offerings_name"), "service_offerings", ["name"], unique=False)
    op.create_table(
        "service_access",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("offering_id", sa.String(length=40), nullable=False),
        sa.Column("plans", postgresql.ARRAY(sa.String(length=40)), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["offering_id"], ["service_offerings.id"], name=op.f("fk_service_access_offering_id")),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_service_access_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_service_access_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_access")),
        sa.UniqueConstraint(
            "organization_id", "offering_id", name=op.f("uq_service_access_organization_id_offering_id")
        ),
    )
    op.create_index(op.f("ix_service_access_offering_id"), "service_access", ["offering_id"], unique=False)
    op.create_index(op.f("ix_service_access_organization_id"), "service_access", ["organization_id"], unique=False)
    op.create_index(op.f("ix_service_access_tenant_id"), "service_access", ["tenant_id"], unique=False)
    op.create_table(
        "service_instances",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("space_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("offering_id", sa.String(length=40), nullable=True),
        sa.Column("plan_id", sa.String(length=40), nullable=True),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("credentials", sa.Text(), nullable=True),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("observed_generation", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.Boolean(), nullable=False),
        sa.Column("plan_seen", sa.String(length=40), nullable=True),
        sa.Column("parameters_seen", sa.Text(), nullable=True),
        sa.Column("maintenance_seen", sa.Text(), nullable=True),
        sa.Column("dashboard_url", sa.Text(), nullable=True),
        sa.Column("call", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(
            ["offering_id"], ["service_offerings.id"], name=op.f("fk_service_instances_offering_id")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_service_instances_organization_id")
        ),
        sa.ForeignKeyConstraint(["space_id"], ["spaces.id"], name=op.f("fk_service_instances_space_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_service_instances_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_instances")),
        sa.UniqueConstraint("space_id", "name", name=op.f("uq_service_instances_space_id_name")),
    )
    op.create_index(op.f("ix_service_instances_offering_id"), "service_instances", ["offering_id"], unique=False)
    op.create_index(
        op.f("ix_service_instances_organization_id"), "service_instances", ["organization_id"], unique=False
    )
    op.create_index(op.f("ix_service_instances_space_id"), "service_instances", ["space_id"], unique=False)
    op.create_index(op.f("ix_service_instances_tenant_id"), "service_instances", ["tenant_id"], unique=False)
    op.create_index(
        "ix_service_instances_unsettled",
        "service_instances",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state <> 'ready'"),
    )
    op.create_table(
        "service_plans",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("offering_id", sa.String(length=40), nullable=False),
        sa.Column("catalog_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("free", sa.Boolean(), nullable=False),
        sa.Column("bindable", sa.Boolean(), nullable=True),
        sa.Column("binding_rotatable", sa.Boolean(), nullable=False),
        sa.Column("plan_updateable", sa.Boolean(), nullable=True),
        sa.Column("schemas", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("maximum_polling_s", sa.Integer(), nullable=True),
        sa.Column("maintenance_version", sa.Text(), nullable=True),
        sa.Column("maintenance_description", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("gone", sa.Boolean(), nullable=False),
        sa.Column("memory_mb", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["offering_id"], ["service_offerings.id"], name=op.f("fk_service_plans_offering_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_plans")),
        sa.UniqueConstraint("offering_id", "catalog_id", name=op.f("uq_service_plans_offering_id_catalog_id")),
    )
    op.create_index(op.f("ix_service_plans_offering_id"), "service_plans", ["offering_id"], unique=False)
    op.create_table(
        "service_bindings",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("service_instance_id", sa.String(length=40), nullable=False),
        sa.Column("app_id", sa.String(length=40), nullable=True),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("space_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("variables", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("variables_given", sa.Boolean(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=True),
        sa.Column("predecessor_id", sa.String(length=40), nullable=True),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("sent", sa.Boolean(), nullable=False),
        sa.Column("credentials", sa.Text(), nullable=True),
        sa.Column("syslog_drain_url", sa.Text(), nullable=True),
        sa.Column("route_service_url", sa.Text(), nullable=True),
        sa.Column("volume_mounts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("endpoints", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("renew_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("call", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_service_bindings_app_id")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_service_bindings_organization_id")
        ),
        sa.ForeignKeyConstraint(
            ["service_instance_id"], ["service_instances.id"], name=op.f("fk_service_bindings_service_instance_id")
        ),
        sa.ForeignKeyConstraint(["space_id"], ["spaces.id"], name=op.f("fk_service_bindings_space_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_service_bindings_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_bindings")),
    )
    op.create_index(op.f("ix_service_bindings_app_id"), "service_bindings", ["app_id"], unique=False)
    op.create_index(op.f("ix_service_bindings_organization_id"), "service_bindings", ["organization_id"], unique=False)
    op.create_index(
        op.f("ix_service_bindings_service_instance_id"), "service_bindings", ["service_instance_id"], unique=False
    )
    op.create_index(op.f("ix_service_bindings_space_id"), "service_bindings", ["space_id"], unique=False)
    op.create_index(op.f("ix_service_bindings_tenant_id"), "service_bindings", ["tenant_id"], unique=False)
    op.create_index(
        "uq_service_bindings_app_id_service_instance_id",
        "service_bindings",
        ["app_id", "service_instance_id"],
        unique=True,
        postgresql_where=sa.text("predecessor_id IS NULL AND app_id IS NOT NULL AND NOT deleting"),
    )
    op.create_index(
        "uq_service_bindings_service_instance_id_name",
        "service_bindings",
        ["service_instance_id", "name"],
        unique=True,
        postgresql_where=sa.text("app_id IS NULL"),
    )
    op.add_column("instances", sa.Column("bound", sa.String(length=64), server_default="", nullable=False))
    op.add_column("operations", sa.Column("service_instance_id", sa.String(length=40), nullable=True))
    op.add_column("operations", sa.Column("service_name", sa.String(length=63), nullable=True))
    op.add_column("operations", sa.Column("binding_id", sa.String(length=40), nullable=True))
    op.create_index(
        "ix_operations_service_active",
        "operations",
        ["service_instance_id"],
        unique=False,
        postgresql_where=sa.text("status IN ('pending', 'running')"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_operations_service_active",
        table_name="operations",
        postgresql_where=sa.text("status IN ('pending', 'running')"),
    )
    op.drop_column("operations", "binding_id")
    op.drop_column("operations", "service_name")
    op.drop_column("operations", "service_instance_id")
    op.drop_column("instances", "bound")
    op.drop_index(
        "uq_service_bindings_service_instance_id_name",
        table_name="service_bindings",
        postgresql_where=sa.text("app_id IS NULL"),
    )
    op.drop_index(
        "uq_service_bindings_app_id_service_instance_id",
        table_name="service_bindings",
        postgresql_where=sa.text("predecessor_id IS NULL AND app_id IS NOT NULL AND NOT deleting"),
    )
    op.drop_index(op.f("ix_service_bindings_tenant_id"), table_name="service_bindings")
    op.drop_index(op.f("ix_service_bindings_space_id"), table_name="service_bindings")
    op.drop_index(op.f("ix_service_bindings_service_instance_id"), table_name="service_bindings")
    op.drop_index(op.f("ix_service_bindings_organization_id"), table_name="service_bindings")
    op.drop_index(op.f("ix_service_bindings_app_id"), table_name="service_bindings")
    op.drop_table("service_bindings")
    op.drop_index(op.f("ix_service_plans_offering_id"), table_name="service_plans")
    op.drop_table("service_plans")
    op.drop_index(
        "ix_service_instances_unsettled", table_name="service_instances", postgresql_where=sa.text("state <> 'ready'")
    )
    op.drop_index(op.f("ix_service_instances_tenant_id"), table_name="service_instances")
    op.drop_index(op.f("ix_service_instances_space_id"), table_name="service_instances")
    op.drop_index(op.f("ix_service_instances_organization_id"), table_name="service_instances")
    op.drop_index(op.f("ix_service_instances_offering_id"), table_name="service_instances")
    op.drop_table("service_instances")
    op.drop_index(op.f("ix_service_access_tenant_id"), table_name="service_access")
    op.drop_index(op.f("ix_service_access_organization_id"), table_name="service_access")
    op.drop_index(op.f("ix_service_access_offering_id"), table_name="service_access")
    op.drop_table("service_access")
    op.drop_index(op.f("ix_service_offerings_name"), table_name="service_offerings")
    op.drop_index(op.f("ix_service_offerings_broker_id"), table_name="service_offerings")
    op.drop_table("service_offerings")
    op.drop_index(op.f("ix_broker_orphans_broker_id"), table_name="broker_orphans")
    op.drop_table("broker_orphans")
    op.drop_index(op.f("ix_service_brokers_tenant_id"), table_name="service_brokers")
    op.drop_index(op.f("ix_service_brokers_organization_id"), table_name="service_brokers")
    op.drop_table("service_brokers")
    op.drop_index(op.f("ix_hosted_bindings_hosted_id"), table_name="hosted_bindings")
    op.drop_table("hosted_bindings")
    op.drop_index(op.f("ix_hosted_instances_workload_id"), table_name="hosted_instances")
    op.drop_table("hosted_instances")
