"""Valkey as a service: keys and values in memory, one server an instance, one user a binding.

What the server is and who may use it stands in the launch's configuration, which is made anew at each start: users are
told to a server that runs, and to the next one by that file. So nothing that is kept with the data can bring back a
binding that is gone, and a change made while it runs need not be written down by the server.

Hard cases. The plan without persistence becomes one with it: what a planned stop has written becomes the base of the
log of writes, so that at no moment data are without one. A server that is said to hold data, but holds none, does not
start. An app's script runs for ever: the server answers nobody, and unbinding ends the script first.
"""

import hashlib
import re
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from gongfang.brokers.interface import CatalogOffering, CatalogPlan
from gongfang.brokers.kinds import resp
from gongfang.brokers.kinds.interface import Change, Figures, Launch, Seed, Server, Site, Size, Wanted
from gongfang.brokers.kinds.parts import catalog_id, only_grows, schemas, user_of
from gongfang.domain.errors import Rejected, Unavailable
from gongfang.domain.values import JsonObject

ADMIN = "svcadmin"
SPARE_CONNECTIONS = 8  # beside the clients': the administrator's
_CONNECT_S = 5.0
_COMMAND_S = 10.0
_KILLS = 5

_SIZES = {
    "small": Size(memory_mb=128, storage_mb=512, cpu=None, connections=50),
    "standard": Size(memory_mb=512, storage_mb=2 * 1024, cpu=None, connections=500),
    "large": Size(memory_mb=4096, storage_mb=16 * 1024, cpu=None, connections=2000),
}
_IN_MEMORY = frozenset({"small"})

EVICTION = (
    *("noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random"),
    *("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"),
)

_START = r"""
set -eu
umask 077
cd /data
missing() { echo "the data of this server are missing" >&2; exit 78; }
if [ "$1" = memory ]; then
  [ "${GONGFANG_FRESH:-}" = 1 ] || [ -e volatile ] || missing
  : > volatile
  rm -f last.rdb
  [ ! -e dump.rdb ] || mv dump.rdb last.rdb
  sync volatile .
  exec valkey-server /gongfang/valkey.conf
fi
if [ ! -d log ]; then
  [ "${GONGFANG_FRESH:-}" = 1 ] || [ -e volatile ] || missing
  rm -rf log.new
  mkdir log.new
  if [ -e dump.rdb ]; then
    ln dump.rdb log.new/writes.1.base.rdb
    echo "file writes.1.base.rdb seq 1 type b" > log.new/writes.manifest
    sync log.new/*
  fi
  mv log.new log
  sync log .
fi
rm -f volatile dump.rdb
exec valkey-server /gongfang/valkey.conf
"""
"""`volatile`: the last start was one of a plan that promises nothing, so that having no data is no loss. `dump.rdb`:
what such a server wrote at its last planned stop. It is loaded under another name, and once only: after a crash a cache
is empty, and never as it was long ago."""

_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_PREFIX_SCHEMA: JsonObject = {
    "type": "string",
    "pattern": r"^[A-Za-z0-9_.:-]{1,64}$",
    "description": "only keys and channels that begin with this",
}
_EVENTS = re.compile(r"[KEg$lszxetdmnA]{0,16}")

_ALLOWED = (
    *("+@all", "-@admin", "-@dangerous"),
    *("+info", "+role", "+sort", "+sort_ro", "-script|debug"),
)
_WHOLE = ("~*", "&*", *_ALLOWED, "+keys", "+flushdb", "+flushall")
_PART = (
    *_ALLOWED,
    # Names of all keys, whoever's they are.
    *("-scan", "-randomkey", "-dbsize"),
    # Scripts are everybody's.
    *("-function", "+function|list", "-script|flush", "-script|kill"),
)


class Valkey:
    """Implements `ServiceKind`. Without TLS: its traffic does not leave the machine."""

    name = "valkey"
    tools = ("valkey",)
    needs: frozenset[str] = frozenset()
    ports: Mapping[str, int] = {"client": 0}

    def offering(self) -> CatalogOffering:
        return CatalogOffering(
            id=catalog_id(self.name),
            name=self.name,
            description="Valkey: keys and values in memory, queues and messages; speaks Redis's protocol",
            tags=("valkey", "redis", "key-value", "cache"),
            bindable=True,
            instances_retrievable=True,
            bindings_retrievable=True,
            plan_updateable=True,
            plans=tuple(self._plan(name, size) for name, size in _SIZES.items()),
        )

    def _plan(self, name: str, size: Size) -> CatalogPlan:
        kept = "in memory only: a crash loses all" if name in _IN_MEMORY else "every write is logged to disk"
        return CatalogPlan(
            id=catalog_id(f"{self.name}.{name}"),
            name=name,
            description=f"{_data_mb(size)} MiB of data, {kept}, {size.connections} connections",
            binding_rotatable=True,
            schemas=schemas(_properties(name, size), {"prefix": _PREFIX_SCHEMA}),
            metadata={
                "data_mb": _data_mb(size),
                "storage_mb": size.storage_mb,
                "connections": size.connections,
                "persistent": name not in _IN_MEMORY,
            },
            memory_mb=size.memory_mb,
        )

    def size(self, plan: str) -> Size:
        return _SIZES[plan]

    def fresh_admin(self) -> JsonObject:
        return {"password": secrets.token_urlsafe(24)}

    def fresh_seed(self, parameters: JsonObject) -> JsonObject:
        return {"username": f"b_{secrets.token_hex(6)}", "password": secrets.token_urlsafe(24)}

    def launch(self, site: Site) -> Launch:
        memory = site.wanted.plan in _IN_MEMORY
        return Launch(
            command=("/bin/sh", "-c", _START, "valkey", "memory" if memory else "log"),
            environment={"HOME": "/data", "LC_ALL": "C.UTF-8", **({"GONGFANG_FRESH": "1"} if site.fresh else {})},
            files={"/gongfang/valkey.conf": _configuration(site).encode()},
            processes=64,
        )

    # --- a server that runs -----------------------------------------------------------------------------------------

    async def ready(self, server: Server) -> None:
        async with _session(server) as session:
            await session.ask("PING")

    async def prepare(self, server: Server) -> None:
        """What was written at the last stop is loaded: the next stop writes elsewhere."""
        if server.wanted.plan in _IN_MEMORY:
            async with _session(server) as session:
                await session.ask("CONFIG", "SET", "dbfilename", "dump.rdb")

    async def bind(self, server: Server, seed: Seed) -> None:
        async with _session(server) as session:
            await session.ask("ACL", "SETUSER", user_of(seed), "reset", *_rules(seed))

    async def unbind(self, server: Server, seed: Seed) -> None:
        user = user_of(seed)
        async with _session(server) as session:
            for _ in range(_KILLS):
                try:
                    await session.ask("ACL", "DELUSER", user)
                except resp.ReplyError as error:
                    if error.code != "BUSY":
                        raise
                    await _end_script(session)
                else:
                    return
            raise Unavailable("service_script_runs")

    def credentials(self, server: Server, seed: Seed) -> JsonObject:
        user, password = user_of(seed), str(seed.secret["password"])
        prefix = _prefix(seed)
        return {
            "host": server.host,
            "port": server.port,
            "username": user,
            "password": password,
            "uri": f"redis://{user}:{quote(password, safe='')}@{server.host}:{server.port}/0",
            **({"prefix": prefix} if prefix else {}),
        }

    def variables(self) -> Mapping[str, str]:
        return {"REDIS_URL": "uri", "VALKEY_URL": "uri"}

    def change(self, before: Wanted, after: Wanted) -> Change:
        only_grows(before, after)
        if (before.plan, before.size) != (after.plan, after.size):
            return Change.restart  # a sandbox's memory is fixed at its start
        return Change.none if _settings(before) == _settings(after) else Change.live

    async def reconfigure(self, server: Server, after: Wanted) -> None:
        async with _session(server) as session:
            words = [word for pair in _settings(after).items() for word in pair]
            await session.ask("CONFIG", "SET", *words)

    async def figures(self, server: Server) -> Figures:
        async with _session(server) as session:
            said = await session.ask("INFO")
        info = _info(said)
        return Figures(
            connections=max(0, info.get("connected_clients", 1) - 1),
            storage_bytes=info.get("aof_current_size", 0),
            more={name: float(info[name]) for name in _TOLD if name in info},
        )


_TOLD = ("used_memory", "maxmemory", "evicted_keys", "expired_keys", "keyspace_hits", "keyspace_misses")


# --- values ----------------------------------------------------------------------------------------------------------


def _data_mb(size: Size) -> int:
    """Half of the memory: while the log is written anew, what changes meanwhile is there twice."""
    return size.memory_mb // 2


def _properties(plan: str, size: Size) -> JsonObject:
    properties: JsonObject = {
        "maxmemory_policy": {
            "type": "string",
            "enum": list(EVICTION),
            "description": "what gives way when memory is full; noeviction: writes are refused",
        },
        "max_connections": {
            "type": "integer",
            "minimum": 5,
            "maximum": size.connections,
            "description": "clients at a time",
        },
        "notify_keyspace_events": {
            "type": "string",
            "pattern": f"^{_EVENTS.pattern}$",
            "description": "events of keys that are published, e.g. Ex",
        },
    }
    if plan not in _IN_MEMORY:
        properties["appendfsync"] = {
            "type": "string",
            "enum": ["everysec", "always"],
            "description": "when a write is on disk: within a second, or before it is answered",
        }
    return properties


def _settings(wanted: Wanted) -> dict[str, str]:
    """What can be changed while it runs, in the server's words."""
    parameters = wanted.parameters
    connections = min(int(parameters.get("max_connections", wanted.size.connections)), wanted.size.connections)
    events = str(parameters.get("notify_keyspace_events", ""))
    policy = str(parameters.get("maxmemory_policy", "noeviction"))
    return {
        "maxclients": str(connections + SPARE_CONNECTIONS),
        "maxmemory-policy": policy if policy in EVICTION else "noeviction",
        "notify-keyspace-events": events if _EVENTS.fullmatch(events) else "",
        "appendfsync": "always" if parameters.get("appendfsync") == "always" else "everysec",
    }


def _prefix(seed: Seed) -> str:
    """It goes into patterns and a file as it is, so it may not hold what means something there."""
    prefix = str(seed.parameters.get("prefix", ""))
    if prefix and _PREFIX.fullmatch(prefix) is None:
        raise Rejected("service_seed_invalid")
    return prefix


def _hash(password: Any) -> str:
    """Passwords are random and long: there is nothing to be tried, and nothing that salt would help."""
    return f"#{hashlib.sha256(str(password).encode()).hexdigest()}"


def _rules(seed: Seed) -> tuple[str, ...]:
    """Of a binding's user. Only what the password is checked against is told."""
    prefix = _prefix(seed)
    may = (f"~{prefix}*", f"&{prefix}*", *_PART) if prefix else _WHOLE
    return ("on", _hash(seed.secret["password"]), *may)


def _configuration(site: Site) -> str:
    wanted = site.wanted
    settings = {name: value or '""' for name, value in _settings(wanted).items()}
    users = [
        "user default off resetpass -@all",
        f"user {ADMIN} on {_hash(site.admin['password'])} ~* &* +@all",
        *(f"user {user_of(seed)} {' '.join(_rules(seed))}" for seed in site.bindings),
    ]
    memory = wanted.plan in _IN_MEMORY
    lines = [
        "bind 127.0.0.1",
        f"port {site.port}",
        "protected-mode no",  # who comes through the namespace's redirect is not from loopback
        "tcp-backlog 128",
        "tcp-keepalive 15",  # a connection that was cut by the firewall is soon given up
        "dir /data",
        'save ""',
        "dbfilename last.rdb",
        f"appendonly {'no' if memory else 'yes'}",
        "appenddirname log",
        "appendfilename writes",
        f"shutdown-on-sigterm {'save force' if memory else 'default'}",
        f"maxmemory {_data_mb(wanted.size)}mb",
        "maxmemory-clients 25%",
        *(f"{name} {value}" for name, value in settings.items()),
        "busy-reply-threshold 2000",
        "slowlog-log-slower-than -1",
        "crash-log-enabled no",  # it would show arguments
        "hide-user-data-from-log yes",
        "enable-protected-configs yes",  # for whom CONFIG is not refused: the administrator
        "enable-debug-command no",
        "enable-module-command no",
        'logfile ""',
        *users,
    ]
    return "".join(f"{line}\n" for line in lines)


def _info(said: resp.Reply) -> dict[str, int]:
    """The whole numbers of `INFO`."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else ""
    pairs = [line.split(":", 1) for line in text.splitlines() if ":" in line]
    return {name: int(value) for name, value in pairs if value.isdecimal()}


# --- the administrator's sessions ------------------------------------------------------------------------------------

_AWAY = (OSError, TimeoutError, EOFError, resp.ProtocolError)
_NOT_NOW = {"BUSY": "service_script_runs", "MAXCLIENTS": "service_connections_full"}


@asynccontextmanager
async def _session(server: Server) -> AsyncGenerator[resp.Session]:
    """One connection for one call. No error's text holds more than the server's code."""
    try:
        async with resp.connect(server.host, server.port, connect_s=_CONNECT_S, timeout_s=_COMMAND_S) as session:
            await session.ask("AUTH", ADMIN, str(server.admin["password"]))
            yield session
    except resp.ReplyError as error:
        if error.code == "WRONGPASS":
            raise Rejected("service_admin_refused") from None
        if error.code in _NOT_NOW:
            raise Unavailable(_NOT_NOW[error.code]) from None
        if error.code == "LOADING":
            raise Unavailable("service_server_away", what=error.code) from None
        raise Unavailable("service_server_failed", what=error.code) from None
    except _AWAY as error:
        raise Unavailable("service_server_away", what=type(error).__name__) from None


async def _end_script(session: resp.Session) -> None:
    """One that has written can't be ended: then only a restart helps."""
    for what in ("SCRIPT", "FUNCTION"):
        try:
            await session.ask(what, "KILL")
        except resp.ReplyError as error:
            if error.code not in {"NOTBUSY", "BUSY"}:
                raise Unavailable("service_script_runs") from None
