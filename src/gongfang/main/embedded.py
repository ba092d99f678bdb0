"""How the embedded servers are run: PostgreSQL and Envoy as workloads of the runtime, in sandboxes of their own.

PostgreSQL listens on a Unix socket only, in a folder that nobody else can enter: no app reaches it. Its data folder
is locked by the sandbox, since in a fresh PID namespace PostgreSQL's own guard against a second server is blind.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from gongfang.domain.errors import Unavailable
from gongfang.edge.envoy import EnvoyConfig, bootstrap, command
from gongfang.main.home import Home
from gongfang.reconcile.servers import Server
from gongfang.runtimes.interface import Limits, Mount, Network, NetworkKind, WorkloadKind, WorkloadSpec
from gongfang.state import reachable

POSTGRES_UID = 199_001
ENVOY_UID = 199_002

_START_POSTGRES = r"""
set -eu
if [ ! -s /data/db/PG_VERSION ]; then
  rm -rf /data/db.new
  "$1" -D /data/db.new -U gongfang --pwfile=/password -A scram-sha-256 -E UTF8 \
    --locale-provider=builtin --locale=C.UTF-8 --data-checksums
  mv /data/db.new /data/db
fi
exec "$2" -D /data/db -c listen_addresses= -c unix_socket_directories=/socket -c unix_socket_permissions=0700 \
  -c max_connections=60 -c shared_buffers=32MB -c work_mem=4MB -c wal_buffers=1MB -c io_method=sync \
  -c max_wal_size=256MB -c min_wal_size=64MB -c max_worker_processes=2 -c max_parallel_workers=0 \
  -c max_logical_replication_workers=0 -c autovacuum_max_workers=1 -c wal_level=minimal -c max_wal_senders=0 \
  -c huge_pages=off -c jit=off -c logging_collector=off -c log_checkpoints=off -c timezone=UTC
"""

_START_ENVOY = 'rm -f "$0"; exec "$@"'  # the admin socket of one that was killed is in the way


def database_url(home: Home) -> str:
    """For SQLAlchemy; the socket's folder is the host."""
    return f"postgresql+asyncpg://gongfang:{home.password()}@/postgres?host={home.run / 'postgres'}"


def postgres(home: Home, executables: Mapping[str, str]) -> Server:
    data, socket = home.root / "postgres" / "data", home.run / "postgres"
    for folder in (data, socket):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    url = database_url(home)

    async def ready() -> None:
        await reachable(url)

    spec = WorkloadSpec(
        id="postgres",
        kind=WorkloadKind.platform,
        command=("/bin/sh", "-c", _START_POSTGRES, "postgres", executables["initdb"], executables["postgres"]),
        workdir="/data",
        environment={"HOME": "/data"},
        mounts=(
            Mount(data, "/data", writable=True, own=True, lock=True),
            Mount(socket, "/socket", writable=True, own=True),
            Mount(home.database_password, "/password", own=True),
        ),
        tools=("postgres",),
        network=Network(NetworkKind.none),
        limits=Limits(processes=256),
        uid=POSTGRES_UID,
    )
    return Server("postgres", spec, ready, grace_s=20.0)


def envoy_config(
    home: Home, listen_host: str, listen_port: int, tls_port: int | None = None, inside_host: str | None = None
) -> EnvoyConfig:
    run = home.run / "edge"
    run.mkdir(parents=True, exist_ok=True)
    run.chmod(0o755)  # Envoy is another user; the folder above lets nobody in but its owner and the sandbox
    config = EnvoyConfig(run, listen_host, listen_port, tls_port, inside_host)
    config.envoy_dir.mkdir(exist_ok=True, mode=0o700)
    return config


def envoy(config: EnvoyConfig, executable: str, concurrency: int) -> Server:
    """Its admin socket answers when it is up; whether it has its configuration is `Edge.status`'s to say."""
    config.bootstrap_file.write_text(bootstrap(config))
    envoy_command = command(executable, config, concurrency=concurrency)
    spec = WorkloadSpec(
        id="envoy",
        kind=WorkloadKind.platform,
        command=("/bin/sh", "-c", _START_ENVOY, str(config.admin_socket), *envoy_command),
        mounts=(
            Mount(config.run_dir, str(config.run_dir)),
            Mount(config.envoy_dir, str(config.envoy_dir), writable=True, own=True),
        ),
        tools=("envoy",),
        network=Network(NetworkKind.host),
        limits=Limits(processes=256, open_files=262144, cpu_weight=1000),  # every request passes through it twice
        uid=ENVOY_UID,
    )

    async def ready() -> None:
        await _answers(config.admin_socket)

    return Server("envoy", spec, ready, grace_s=2.0)


async def _answers(socket: Path) -> None:
    try:
        _, writer = await asyncio.open_unix_connection(str(socket))
    except OSError as error:
        raise Unavailable("edge_away") from error
    writer.close()
