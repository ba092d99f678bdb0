"""The platform's own part in workloads' networks: settings as values, and the resolver that they ask."""

import asyncio
import sys
from ipaddress import IPv4Network
from pathlib import Path

import structlog

from gongfang.domain.egress import parse_target
from gongfang.domain.errors import Unavailable
from gongfang.main.embedded import ENVOY_UID
from gongfang.main.home import Home
from gongfang.reconcile.servers import Server
from gongfang.runtimes.interface import Limits, Mount, Network, NetworkKind, WorkloadKind, WorkloadSpec
from gongfang.runtimes.local.net import files, names
from gongfang.runtimes.local.net.network import RESOLVER_PORT, NetworkSettings
from gongfang.settings import Settings

NAMES_UID = 199_003
UPSTREAMS_EVERY_S = 10.0
_log = structlog.get_logger()


def network_settings(settings: Settings) -> NetworkSettings:
    wanted = settings.network != "host"
    return NetworkSettings(
        wanted=wanted,
        subnet=IPv4Network(settings.network) if wanted and settings.network != "auto" else None,
        edge_ports=tuple(port for port in (settings.edge_port, settings.https_port) if port is not None),
        edge_hosts=(settings.edge_host,),
        edge_uid=ENVOY_UID,
        open=tuple(parse_target(text) for text in settings.egress_allow),
    )


def names_server(home: Home, gateway: str, base_domain: str) -> Server:
    """The resolver at the gateway. It needs a Python and its library: the one that the platform itself runs with."""
    python = Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()
    library = Path(sys.base_prefix).resolve()
    shown = () if library.is_relative_to("/usr") else (Mount(library, str(library)),)
    spec = WorkloadSpec(
        id="names",
        kind=WorkloadKind.platform,
        command=(
            *(str(python), "-I", "-S", "/names.py", gateway, str(RESOLVER_PORT), base_domain),
            "/upstreams/list",
        ),
        mounts=(
            *shown,
            Mount(Path(names.__file__), "/names.py"),
            Mount(_upstreams(home), "/upstreams"),
        ),
        limits=Limits(memory_bytes=256 << 20, processes=16, cpu_weight=1000),
        network=Network(NetworkKind.host),
        uid=NAMES_UID,
    )

    async def ready() -> None:
        try:
            _, writer = await asyncio.open_connection(gateway, RESOLVER_PORT)
        except OSError as error:
            raise Unavailable("server_not_ready", server="names", output=str(error)) from error
        writer.close()

    write_upstreams(home)
    return Server("names", spec, ready, grace_s=1.0, ready_timeout_s=20.0)


def _upstreams(home: Home) -> Path:
    """A folder: a file that is replaced would stay the old one in the sandbox."""
    folder = home.run / "names"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # the resolver is another user; the folder above lets nobody else in
    return folder


def write_upstreams(home: Home, source: Path = Path("/etc/resolv.conf")) -> None:
    """The machine's resolvers, for the resolver. Written only where they have changed."""
    try:
        found = files.upstreams(source.read_text("utf-8", "replace"))
    except OSError:
        found = []
    text = "".join(f"{each}\n" for each in found or ["127.0.0.1"])  # what the C library does where none is named
    file = _upstreams(home) / "list"
    if file.exists() and file.read_text() == text:
        return
    draft = file.with_suffix(".new")
    draft.write_text(text)
    draft.chmod(0o644)
    draft.replace(file)


async def follow_upstreams(home: Home) -> None:
    """Until cancelled: a machine that moves to another network has other resolvers."""
    while True:
        await asyncio.sleep(UPSTREAMS_EVERY_S)
        try:
            write_upstreams(home)
        except OSError as error:
            _log.warning("resolvers not written down", error=str(error))
