"""PostgreSQL as a service: one server an instance, one database `app` in it, one role a binding.

All that an app makes belongs to the role `app_owner`, which nobody logs in as: a binding's role is a member of it and
becomes it at log-in. So the next binding finds the first one's tables and may change them, and a binding that goes
leaves nothing that is its own.

A tenant owns the database `app`, and may set what every session in it starts with, the administrator's too: a search
path that puts the tenant's functions before PostgreSQL's, a role, a time limit. Each of the administrator's sessions
therefore says for itself what such settings are, and what is asked names its schema.

The password of a binding is never sent to the server, only what it is checked against: a statement that fails stands
in the server's log, which others may read than those who may see credentials.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import quote

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from gongfang.brokers.interface import CatalogOffering, CatalogPlan
from gongfang.brokers.kinds.interface import Change, Figures, Launch, Seed, Server, Site, Size, Wanted
from gongfang.brokers.kinds.parts import catalog_id, only_grows, schemas, user_of
from gongfang.domain.errors import Rejected, Unavailable
from gongfang.domain.values import JsonObject

ADMIN = "svcadmin"
OWNER = "app_owner"
DATABASE = "app"
SPARE_CONNECTIONS = 5  # beside the clients': the administrator's, and autovacuum's neighbours
_ITERATIONS = 4096
_CONNECT_S = 5.0
_COMMAND_S = 30.0
_TERMINATE_MS = 5000

EXTENSIONS = (
    *("bloom", "btree_gin", "btree_gist", "citext", "cube", "dict_int", "fuzzystrmatch", "hstore", "intarray", "isn"),
    *("lo", "ltree", "pg_stat_statements", "pg_trgm", "seg", "tablefunc", "tcn", "tsm_system_rows", "tsm_system_time"),
    *("unaccent", "vector"),
)
"""Those that reach nothing outside of the database: no files, no other server, no pages of the disk."""

_SIZES = {
    "small": Size(memory_mb=256, storage_mb=1024, cpu=None, connections=20),
    "medium": Size(memory_mb=1024, storage_mb=10 * 1024, cpu=None, connections=60),
    "large": Size(memory_mb=4096, storage_mb=50 * 1024, cpu=None, connections=200),
}

_START = r"""
set -eu
if [ ! -s /data/db/PG_VERSION ]; then
  [ "${GONGFANG_FRESH:-}" = 1 ] || { echo "the data of this database is missing" >&2; exit 78; }
  rm -rf /data/db.new
  initdb -D /data/db.new -U svcadmin --pwfile=/gongfang/admin -A scram-sha-256 -E UTF8 \
    --locale-provider=builtin --locale=C.UTF-8 --data-checksums
  mv /data/db.new /data/db
fi
exec postgres -D /data/db -c config_file=/gongfang/postgresql.conf -c hba_file=/gongfang/pg_hba.conf
"""

_HBA = b"host all all all scram-sha-256\n"  # clients' own addresses are seen, not 127.0.0.1

_SESSION = {
    "search_path": "pg_catalog",
    "role": "none",
    "default_transaction_read_only": "off",
    "statement_timeout": "0",
    "lock_timeout": "10000",
    "client_min_messages": "error",
}

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)


class PostgreSQL:
    """Implements `ServiceKind`. The server is the toolbox's `postgres`: without TLS, its traffic does not leave the
    machine."""

    name = "postgresql"
    tools = ("postgres",)
    needs: frozenset[str] = frozenset()
    ports: Mapping[str, int] = {"client": 0}

    def offering(self) -> CatalogOffering:
        return CatalogOffering(
            id=catalog_id(self.name),
            name=self.name,
            description="PostgreSQL: a relational database, a server of its own for each instance",
            tags=("postgresql", "postgres", "relational", "sql"),
            bindable=True,
            instances_retrievable=True,
            bindings_retrievable=True,
            plan_updateable=True,
            plans=tuple(self._plan(name, size) for name, size in _SIZES.items()),
        )

    def _plan(self, name: str, size: Size) -> CatalogPlan:
        return CatalogPlan(
            id=catalog_id(f"{self.name}.{name}"),
            name=name,
            description=f"{size.memory_mb} MiB memory, {size.storage_mb} MiB storage, {size.connections} connections",
            binding_rotatable=True,
            schemas=schemas(_parameters(size), {}),
            metadata={"storage_mb": size.storage_mb, "connections": size.connections},
            memory_mb=size.memory_mb,
        )

    def size(self, plan: str) -> Size:
        return _SIZES[plan]

    def fresh_admin(self) -> JsonObject:
        return {"password": secrets.token_urlsafe(24)}

    def fresh_seed(self, parameters: JsonObject) -> JsonObject:
        return {
            "username": f"b_{secrets.token_hex(6)}",
            "password": secrets.token_urlsafe(24),
            "salt": base64.b64encode(secrets.token_bytes(16)).decode(),
        }

    def launch(self, site: Site) -> Launch:
        return Launch(
            command=("/bin/sh", "-c", _START, "postgresql"),
            environment={"HOME": "/data", "LC_ALL": "C.UTF-8", **({"GONGFANG_FRESH": "1"} if site.fresh else {})},
            files={
                "/gongfang/admin": f"{site.admin['password']}\n".encode(),
                "/gongfang/pg_hba.conf": _HBA,
                "/gongfang/postgresql.conf": _configuration(site.port, site.wanted).encode(),
            },
            processes=site.wanted.size.connections + 64,
        )

    # --- a server that runs -----------------------------------------------------------------------------------------

    async def ready(self, server: Server) -> None:
        async with _session(server, "postgres") as session:
            await session.fetchval("SELECT 1")

    async def prepare(self, server: Server) -> None:
        async with _session(server, "postgres") as session:
            if not await session.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", OWNER):
                await session.execute(f"CREATE ROLE {OWNER} NOLOGIN")
            await _open_database(session, make=True)
            for database in (DATABASE, "postgres", "template1"):
                await session.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
        async with _session(server, DATABASE) as session:
            await session.execute(f"ALTER SCHEMA public OWNER TO {OWNER}")
            await _add_extensions(session, server.wanted)

    async def bind(self, server: Server, seed: Seed) -> None:
        role = user_of(seed)
        verifier = scram_verifier(seed.secret["password"], base64.b64decode(seed.secret["salt"]))
        most = _connections(server.wanted)
        attributes = f"LOGIN NOINHERIT PASSWORD '{verifier}' CONNECTION LIMIT {most}"
        async with _session(server, "postgres") as session, session.transaction():
            there = await session.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role)
            await session.execute(f"{'ALTER' if there else 'CREATE'} ROLE {role} {attributes}")
            await session.execute(f"GRANT {OWNER} TO {role}")
            await session.execute(f"ALTER ROLE {role} IN DATABASE {DATABASE} SET role TO {OWNER}")
            await session.execute(f"GRANT CONNECT ON DATABASE {DATABASE} TO {role}")

    async def unbind(self, server: Server, seed: Seed) -> None:
        role = user_of(seed)
        async with _session(server, "postgres") as session:
            if not await session.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
                return
            await session.execute(f"ALTER ROLE {role} NOLOGIN")
            ended = await session.fetch(
                "SELECT pg_terminate_backend(pid, $2) AS ended FROM pg_stat_activity WHERE usename = $1",
                role,
                _TERMINATE_MS,
            )
            if not all(row["ended"] for row in ended):
                raise Unavailable("service_server_busy")
            await _open_database(session, make=False)
            async with _session(server, DATABASE) as inside, inside.transaction():
                await inside.execute(f"REASSIGN OWNED BY {role} TO {OWNER}")
                await inside.execute(f"DROP OWNED BY {role}")
            async with session.transaction():
                await session.execute(f"DROP OWNED BY {role}")
                await session.execute(f"DROP ROLE {role}")

    def credentials(self, server: Server, seed: Seed) -> JsonObject:
        user, password = user_of(seed), str(seed.secret["password"])
        at = f"{server.host}:{server.port}/{DATABASE}"
        return {
            "host": server.host,
            "port": server.port,
            "username": user,
            "password": password,
            "database": DATABASE,
            "uri": f"postgresql://{user}:{quote(password, safe='')}@{at}",
            "jdbc_url": f"jdbc:postgresql://{at}?user={user}&password={quote(password, safe='')}",
        }

    def variables(self) -> Mapping[str, str]:
        return {"DATABASE_URL": "uri"}

    def change(self, before: Wanted, after: Wanted) -> Change:
        only_grows(before, after)
        if (before.size, _settings(before)) != (after.size, _settings(after)):
            return Change.restart
        return Change.none if _extensions(before) >= _extensions(after) else Change.live

    async def reconfigure(self, server: Server, after: Wanted) -> None:
        """Extensions are added while it runs. One that is no longer asked for stays: data may be of its types."""
        async with _session(server, DATABASE) as session:
            await _add_extensions(session, after)

    async def figures(self, server: Server) -> Figures:
        async with _session(server, "postgres") as session:
            row = await session.fetchrow(
                "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename <> $1)"
                " AS connections, (SELECT sum(pg_database_size(oid)) FROM pg_database)"
                " + (SELECT sum(size) FROM pg_ls_waldir()) AS storage",
                ADMIN,
            )
        return Figures(connections=int(row["connections"]), storage_bytes=int(row["storage"]))


# --- values ----------------------------------------------------------------------------------------------------------


def scram_verifier(password: str, salt: bytes) -> str:
    """What PostgreSQL keeps of a password (RFC 5803), made as the server would make it."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    words = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${_ITERATIONS}:{words[0]}${words[1]}:{words[2]}"


def _parameters(size: Size) -> JsonObject:
    return {
        "extensions": {
            "type": "array",
            "items": {"type": "string", "enum": list(EXTENSIONS)},
            "uniqueItems": True,
            "description": "extensions that are made in the database",
        },
        "max_connections": {
            "type": "integer",
            "minimum": 5,
            "maximum": size.connections,
            "description": "clients at a time",
        },
        "statement_timeout_ms": {
            "type": "integer",
            "minimum": 0,
            "maximum": 86_400_000,
            "description": "a statement is ended after this time; 0: never",
        },
    }


def _connections(wanted: Wanted) -> int:
    return min(int(wanted.parameters.get("max_connections", wanted.size.connections)), wanted.size.connections)


def _extensions(wanted: Wanted) -> set[str]:
    return set(wanted.parameters.get("extensions", ())) & set(EXTENSIONS)


def _settings(wanted: Wanted) -> tuple[int, int]:
    return _connections(wanted), int(wanted.parameters.get("statement_timeout_ms", 0))


def _configuration(port: int, wanted: Wanted) -> str:
    size = wanted.size
    connections, timeout_ms = _settings(wanted)
    log_mb = max(64, min(size.storage_mb // 8, 1024))  # of changes kept until the next checkpoint
    return f"""\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = {connections + SPARE_CONNECTIONS}
superuser_reserved_connections = 3
shared_buffers = {size.memory_mb // 8}MB
work_mem = 2MB
maintenance_work_mem = 16MB
wal_buffers = 1MB
min_wal_size = 32MB
max_wal_size = {log_mb}MB
max_worker_processes = 2
max_parallel_workers = 0
max_logical_replication_workers = 0
autovacuum_max_workers = 1
io_method = sync
wal_level = minimal
max_wal_senders = 0
huge_pages = off
jit = off
ssl = off
password_encryption = scram-sha-256
shared_preload_libraries = 'pg_stat_statements'
statement_timeout = {timeout_ms}
logging_collector = off
log_checkpoints = off
log_min_error_statement = panic
timezone = 'UTC'
log_timezone = 'UTC'
"""


# --- the administrator's sessions ------------------------------------------------------------------------------------


@asynccontextmanager
async def _session(server: Server, database: str) -> AsyncGenerator[Any]:
    """One connection for one call. No error's text holds more than PostgreSQL's code: it may hold the statement."""
    connect = cast(Any, asyncpg).connect
    session: Any = None
    try:
        async with asyncio.timeout(_CONNECT_S):
            session = await connect(
                host=server.host,
                port=server.port,
                user=ADMIN,
                password=str(server.admin["password"]),
                database=database,
                ssl=False,
                timeout=_CONNECT_S,
                command_timeout=_COMMAND_S,
                statement_cache_size=0,
                server_settings=_SESSION,
            )
        yield session
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError):
        raise Rejected("service_admin_refused") from None
    except _AWAY as error:
        raise Unavailable("service_server_away", what=type(error).__name__) from None
    except asyncpg.PostgresError as error:
        raise Unavailable("service_server_failed", what=_code(error)) from None
    finally:
        if session is not None:
            await _end(session)


def _code(error: Any) -> str:
    return str(error.sqlstate)


async def _end(session: Any) -> None:
    try:
        await session.close(timeout=_CONNECT_S)
    except (*_AWAY, asyncpg.PostgresError):
        session.terminate()


_HALF_MADE = -2  # the server ended while the database was being made: it holds nothing


async def _open_database(session: Any, *, make: bool) -> None:
    """The database is there and lets the administrator in, whatever its owner did to it."""
    row = await session.fetchrow("SELECT datallowconn, datconnlimit FROM pg_database WHERE datname = $1", DATABASE)
    if row is not None and row["datconnlimit"] == _HALF_MADE:
        await session.execute(f"DROP DATABASE {DATABASE}")
        row = None
    if row is None:
        if make:
            await session.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
    elif not row["datallowconn"] or row["datconnlimit"] != -1:
        await session.execute(f"ALTER DATABASE {DATABASE} WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1")


async def _add_extensions(session: Any, wanted: Wanted) -> None:
    """Into `public`, where apps look for them; made by the administrator, since not all are for everybody to make."""
    for name in sorted(_extensions(wanted)):
        await session.execute(f'CREATE EXTENSION IF NOT EXISTS "{name}" SCHEMA public')
