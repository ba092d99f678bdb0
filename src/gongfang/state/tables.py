"""The tables. Columns carry the names of the domain values' fields; nested values are JSONB."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[str]:
    return Column("id", String(40), primary_key=True)


def _time(name: str, *, nullable: bool = True) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _ref(name: str, target: str, *, nullable: bool = False, cascade: bool = False) -> Column[str]:
    return Column(
        name,
        String(40),
        ForeignKey(f"{target}.id", ondelete="CASCADE" if cascade else None),
        nullable=nullable,
        index=True,
    )


tenants = Table(
    "tenants",
    metadata,
    _id(),
    Column("name", String(64), nullable=False, unique=True),
    Column("timezone", String(64), nullable=False),
    _time("created_at", nullable=False),
)
organizations = Table(
    "organizations",
    metadata,
    _id(),
    _ref("tenant_id", "tenants"),
    Column("name", String(64), nullable=False),
    _time("created_at", nullable=False),
    UniqueConstraint("tenant_id", "name"),
)
spaces = Table(
    "spaces",
    metadata,
    _id(),
    _ref("tenant_id", "tenants"),
    _ref("organization_id", "organizations"),
    Column("name", String(64), nullable=False),
    _time("created_at", nullable=False),
    UniqueConstraint("organization_id", "name"),
)
users = Table(
    "users",
    metadata,
    _id(),
    Column("name", String(64), nullable=False, unique=True),
    Column("display_name", String(128), nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("failed_logins", Integer, nullable=False, server_default=text("0")),
    _time("locked_until"),
    _time("created_at", nullable=False),
)
role_bindings = Table(
    "role_bindings",
    metadata,
    _id(),
    _ref("user_id", "users", cascade=True),
    Column("role", String(32), nullable=False),
    Column("level", String(16), nullable=False),
    Column("scope_id", String(40), index=True),
    UniqueConstraint("user_id", "role", "level", "scope_id", postgresql_nulls_not_distinct=True),
)
tokens = Table(
    "tokens",
    metadata,
    _id(),
    _ref("user_id", "users", cascade=True),
    Column("name", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("scopes", ARRAY(String(32)), nullable=False),
    _time("created_at", nullable=False),
    _time("expires_at"),
    _time("last_used_at"),
    Column("from_login", Boolean, nullable=False, server_default=text("false")),
    Column("parent_id", String(40), ForeignKey("tokens.id", ondelete="CASCADE"), index=True),
)
apps = Table(
    "apps",
    metadata,
    _id(),
    _ref("tenant_id", "tenants"),
    _ref("organization_id", "organizations"),
    _ref("space_id", "spaces"),
    Column("name", String(63), nullable=False),
    Column("type", String(16), nullable=False),
    Column("runtime", String(16), nullable=False),
    Column("labels", JSONB, nullable=False),
    Column("desired", String(16), nullable=False),
    Column("scale", JSONB, nullable=False),
    Column("config", JSONB, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("destroying", Boolean, nullable=False),
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
    # written by the reconciler
    Column("target_release_id", String(40)),
    Column("current_release_id", String(40)),
    Column("state", String(16), nullable=False),
    Column("reason", JSONB(none_as_null=True)),
    Column("observed_generation", BigInteger, nullable=False),
    UniqueConstraint("space_id", "name"),
    Index("ix_apps_labels", "labels", postgresql_using="gin"),
)
packages = Table(
    "packages",
    metadata,
    _id(),
    _ref("app_id", "apps", cascade=True),
    Column("seq", Integer, nullable=False),
    Column("filename", String(255), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    _time("created_at", nullable=False),
    Column("created_by", String(64)),
    UniqueConstraint("app_id", "seq"),
)
builds = Table(
    "builds",
    metadata,
    _id(),
    _ref("app_id", "apps", cascade=True),
    Column("package_id", String(40), nullable=False, index=True),
    Column("runtime", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    _time("created_at", nullable=False),
    _time("started_at"),
    _time("finished_at"),
    Column("droplet_id", String(40)),
    Column("reason", JSONB(none_as_null=True)),
    Column("detected", String(255)),
)
droplets = Table(
    "droplets",
    metadata,
    _id(),
    _ref("app_id", "apps", cascade=True),
    Column("build_id", String(40), nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("runtime", String(16), nullable=False),
    Column("processes", JSONB, nullable=False),
    Column("environment", JSONB, nullable=False),
    Column("tools", JSONB, nullable=False),
    _time("created_at", nullable=False),
)
releases = Table(
    "releases",
    metadata,
    _id(),
    _ref("app_id", "apps", cascade=True),
    Column("number", Integer, nullable=False),
    Column("droplet_id", String(40), nullable=False),
    Column("package_id", String(40), nullable=False),
    Column("package_seq", Integer, nullable=False),
    Column("config", JSONB, nullable=False),
    Column("cause", String(32), nullable=False),
    Column("from_release", Integer),
    _time("created_at", nullable=False),
    Column("created_by", String(64)),
    _time("healthy_at"),
    Column("failed", JSONB(none_as_null=True)),
    UniqueConstraint("app_id", "number"),
)
instances = Table(
    "instances",
    metadata,
    _id(),
    _ref("app_id", "apps", cascade=True),
    Column("release_id", String(40), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("process", String(32), nullable=False),
    Column("index", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("restarts", Integer, nullable=False),
    _time("created_at", nullable=False),
    _time("started_at"),
    _time("ready_at"),
    _time("leaving_at"),
    _time("ended_at"),
    Column("host", String(64)),
    Column("port", Integer),
    Column("exit", JSONB(none_as_null=True)),
    Column("reason", JSONB(none_as_null=True)),
    Column("last_output", Text),
)
tasks = Table(
    "tasks",
    metadata,
    _id(),
    _ref("app_id", "apps", cascade=True),
    Column("release_id", String(40), nullable=False),
    Column("command", Text, nullable=False),
    Column("memory_mb", Integer, nullable=False),
    Column("timeout_s", Double, nullable=False),
    Column("state", String(16), nullable=False),
    _time("created_at", nullable=False),
    Column("created_by", String(64)),
    _time("started_at"),
    _time("finished_at"),
    Column("exit", JSONB(none_as_null=True)),
    Column("reason", JSONB(none_as_null=True)),
    Column("cancel_requested", Boolean, nullable=False),
)
domains = Table(
    "domains",
    metadata,
    _id(),
    _ref("tenant_id", "tenants"),
    Column("domain", String(253), nullable=False, unique=True),
    Column("icp_number", String(64)),
    _ref("app_id", "apps", nullable=True),
    Column("status", String(16), nullable=False),
    Column("tls", String(16), nullable=False),
    Column("default", Boolean, nullable=False),
    _time("created_at", nullable=False),
    Column("https", String(16), nullable=False, server_default="optional"),
    Column("hsts_max_age_s", Integer),
    Column("hsts_subdomains", Boolean, nullable=False, server_default=text("false")),
    Column("certificate_id", String(40), index=True),
    _time("expires_at"),
)
operations = Table(
    "operations",
    metadata,
    _id(),
    Column("kind", String(32), nullable=False),
    Column("app_id", String(40), index=True),
    Column("app_name", String(63)),
    Column("tenant_id", String(40)),
    Column("organization_id", String(40)),
    Column("space_id", String(40)),
    Column("status", String(16), nullable=False),
    Column("params", JSONB, nullable=False),
    Column("steps", JSONB, nullable=False),
    _time("created_at", nullable=False),
    _time("deadline", nullable=False),
    Column("created_by", String(64)),
    _time("started_at"),
    _time("finished_at"),
    Column("reason", JSONB(none_as_null=True)),
    Column("output", Text),
    Column("cancel_requested", Boolean, nullable=False),
    Column("release_id", String(40)),
    Column("build_id", String(40)),
    Column("sequence", Integer, nullable=False),
    Index("ix_operations_active", "app_id", postgresql_where=text("status IN ('pending', 'running')")),
)
events = Table(
    "events",
    metadata,
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    _time("at", nullable=False),
    Column("tag", String(64), nullable=False, index=True),
    Column("actor_id", String(40)),
    Column("actor_name", String(64)),
    Column("source", String(64)),
    Column("tenant_id", String(40)),
    Column("organization_id", String(40)),
    Column("space_id", String(40)),
    Column("app_id", String(40), index=True),
    Column("object_id", String(40)),
    Column("data", JSONB, nullable=False),
    Column("request_id", String(40)),
    Index("ix_events_at", "at", postgresql_using="brin"),
)
idempotency = Table(
    "idempotency",
    metadata,
    Column("key", String(300), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("status", Integer),
    Column("body", Text),  # sealed: an answer may hold a fresh token
    Column("owner", String(40)),
    Column("done", String(40)),
    Column("created_at", DateTime(timezone=True), nullable=False, index=True),
)
certificates = Table(
    "certificates",
    metadata,
    _id(),
    _ref("tenant_id", "tenants", nullable=True, cascade=True),  # none: the platform's own
    Column("names", ARRAY(Text), nullable=False),
    Column("subject", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("serial_number", String(64), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("key_type", String(32), nullable=False),
    _time("not_before", nullable=False),
    _time("not_after", nullable=False),
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
    Column("created_by", String(64)),
    Column("told", Integer),
    Column("chain", Text, nullable=False),
    Column("sealed_key", Text, nullable=False),
)
quotas = Table(
    "quotas",
    metadata,
    _id(),  # of the organisation or space
    Column("apps", BigInteger),
    Column("instances", BigInteger),
    Column("memory_mb", BigInteger),
    _time("updated_at", nullable=False),
)
login_failures = Table(
    "login_failures",
    metadata,
    Column("name_hash", String(64), primary_key=True),  # of any name, known or not: both must look and take the same
    Column("source", String(64), primary_key=True),
    Column("failed", Integer, nullable=False),
    _time("locked_until"),
    Column("at", DateTime(timezone=True), nullable=False, index=True),
)
