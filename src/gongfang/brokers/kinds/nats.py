"""NATS as a service: messages, streams that are kept (JetStream), and MQTT 3.1.1, one server an instance.

All bindings are users of one account, so that what one publishes another one sees; the administrator is alone in the
system's account. Users stand in a file of the folder /conf that the server reads again when it is told to: it is made
anew at each start, from the bindings that there are then, and holds hashes only.

Hard cases. The control plane ends between the writing of the file and the word to the server: the same call writes the
same file and tells it. The file says the wrong thing: the server keeps what it had and says so, which is an error here.
The clients' connections are limited in their account, not in the server: there is always room for the administrator.
"""

import json
import re
import secrets
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bcrypt

from gongfang.brokers.interface import CatalogOffering, CatalogPlan
from gongfang.brokers.kinds import nats_wire
from gongfang.brokers.kinds.interface import Change, Figures, Launch, Seed, Server, Site, Size, Wanted
from gongfang.brokers.kinds.parts import catalog_id, only_grows, schemas, user_of
from gongfang.domain.errors import Rejected, Unavailable
from gongfang.domain.values import JsonObject

ADMIN = "svcadmin"
MQTT = 1  # its port's offset
_ROUNDS = 4  # passwords are random and long: there is nothing to be tried
_CONNECT_S = 5.0
_COMMAND_S = 15.0
_MB = 1 << 20

_SIZES = {
    "small": Size(memory_mb=128, storage_mb=1024, cpu=None, connections=100),
    "standard": Size(memory_mb=512, storage_mb=10 * 1024, cpu=None, connections=1000),
    "large": Size(memory_mb=2048, storage_mb=50 * 1024, cpu=None, connections=10000),
}
LARGEST_MESSAGE_KB = 8192

_START = r"""
set -eu
if [ ! -d /data/streams ]; then
  [ "${GONGFANG_FRESH:-}" = 1 ] || { echo "the data of this server are missing" >&2; exit 78; }
  mkdir /data/streams
  sync /data
fi
exec nats-server -c /conf/nats.conf
"""

_WORD = r"(?:[A-Za-z0-9_$/-]+|\*)"
_SUBJECT = re.compile(rf"(?:{_WORD}\.)*(?:{_WORD}|>)")
"""The server does not start with a file that has one which is none."""
_LONGEST_SUBJECT = 200
_SUBJECTS: JsonObject = {
    "type": "array",
    "maxItems": 32,
    "items": {"type": "string", "maxLength": _LONGEST_SUBJECT, "pattern": f"^{_SUBJECT.pattern}$"},
}
# What the server itself subscribes to in the name of a client that speaks MQTT.
_OF_MQTT = ("$MQTT.sub.>", "$MQTT.deliver.pubrel.>")


class Nats:
    """Implements `ServiceKind`. Without TLS: its traffic does not leave the machine."""

    name = "nats"
    tools = ("nats",)
    needs: frozenset[str] = frozenset()
    ports: Mapping[str, int] = {"client": 0, "mqtt": MQTT}

    def offering(self) -> CatalogOffering:
        return CatalogOffering(
            id=catalog_id(self.name),
            name=self.name,
            description="NATS: messages, requests, streams that are kept (JetStream), and MQTT 3.1.1 for devices",
            tags=("nats", "mqtt", "messaging", "streams"),
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
            description=f"{size.memory_mb} MiB memory, {_file_mb(size)} MiB of streams, {size.connections} connections",
            binding_rotatable=True,
            schemas=schemas(_properties(size), _BINDING),
            metadata={"storage_mb": size.storage_mb, "streams_mb": _file_mb(size), "connections": size.connections},
            memory_mb=size.memory_mb,
        )

    def size(self, plan: str) -> Size:
        return _SIZES[plan]

    def fresh_admin(self) -> JsonObject:
        return _fresh_secret()

    def fresh_seed(self, parameters: JsonObject) -> JsonObject:
        return {"username": f"b_{secrets.token_hex(6)}", **_fresh_secret()}

    def launch(self, site: Site) -> Launch:
        size = site.wanted.size
        return Launch(
            command=("/bin/sh", "-c", _START, "nats"),
            environment={
                "HOME": "/data",
                "GOMEMLIMIT": f"{size.memory_mb * 4 // 5}MiB",
                **({"GONGFANG_FRESH": "1"} if site.fresh else {}),
            },
            files={},
            conf={
                "nats.conf": _configuration(site).encode(),
                "account.conf": _account(site.wanted).encode(),
                "users.conf": _users(_user(seed) for seed in site.bindings).encode(),
            },
            processes=128,
        )

    # --- a server that runs -----------------------------------------------------------------------------------------

    async def ready(self, server: Server) -> None:
        async with _session(server) as session:
            await _ask(session, "IDZ")

    async def prepare(self, server: Server) -> None:
        """Nothing: the configuration has said all."""

    async def bind(self, server: Server, seed: Seed) -> None:
        user = _user(seed)
        await _tell_users(server, [*_others(server, seed), user])

    async def unbind(self, server: Server, seed: Seed) -> None:
        """The server ends the connections of a user that it does not know any more, those of MQTT too."""
        await _tell_users(server, _others(server, seed))

    def credentials(self, server: Server, seed: Seed) -> JsonObject:
        user, password = user_of(seed), str(seed.secret["password"])
        at = f"{user}:{quote(password, safe='')}@{server.host}"
        return {
            "host": server.host,
            "port": server.port,
            "username": user,
            "password": password,
            "uri": f"nats://{at}:{server.port}",
            "mqtt_host": server.host,
            "mqtt_port": server.port + MQTT,
            "mqtt_uri": f"mqtt://{at}:{server.port + MQTT}",
        }

    def variables(self) -> Mapping[str, str]:
        return {"NATS_URL": "uri", "MQTT_URL": "mqtt_uri"}

    def change(self, before: Wanted, after: Wanted) -> Change:
        only_grows(before, after)
        if (before.plan, before.size) != (after.plan, after.size):
            return Change.restart  # a sandbox's memory is fixed at its start
        return Change.none if _account(before) == _account(after) else Change.live

    async def reconfigure(self, server: Server, after: Wanted) -> None:
        _write(server, "account.conf", _account(after))
        async with _session(server) as session:
            await _reload(session)

    async def figures(self, server: Server) -> Figures:
        async with _session(server) as session:
            told = await _ask(session, "VARZ")
        streams = _object(_object(told, "jetstream"), "stats")
        return Figures(
            connections=max(0, _number(told, "connections") - 1),
            storage_bytes=_number(streams, "storage"),
            more={name: float(_number(told, name)) for name in _TOLD},
        )


_TOLD = ("subscriptions", "in_msgs", "out_msgs", "in_bytes", "out_bytes", "slow_consumers")


# --- values ----------------------------------------------------------------------------------------------------------

_BINDING: JsonObject = {
    "publish": {**_SUBJECTS, "description": "the only subjects that it may publish to, e.g. line1.>"},
    "subscribe": {**_SUBJECTS, "description": "the only subjects that it may receive, e.g. line1.*.alarm"},
}


def _properties(size: Size) -> JsonObject:
    return {
        "max_connections": {
            "type": "integer",
            "minimum": 5,
            "maximum": size.connections,
            "description": "clients at a time",
        },
        "max_payload_kb": {
            "type": "integer",
            "minimum": 1,
            "maximum": LARGEST_MESSAGE_KB,
            "description": "the largest message",
        },
    }


def _fresh_secret() -> JsonObject:
    """`salt`: the hash of a password is the same at each launch."""
    return {"password": secrets.token_urlsafe(24), "salt": bcrypt.gensalt(_ROUNDS).decode()}


def _hash(secret: JsonObject) -> str:
    try:
        return bcrypt.hashpw(str(secret["password"]).encode(), str(secret["salt"]).encode()).decode()
    except (ValueError, KeyError):
        raise Rejected("service_seed_invalid") from None


def _file_mb(size: Size) -> int:
    """Of streams. The rest is for their indexes, and for what is written anew when a stream is compacted."""
    return size.storage_mb * 3 // 4


def _user(seed: Seed) -> JsonObject:
    """A line of the file of users."""
    allowed: JsonObject = {}
    publish, subscribe = _subjects(seed, "publish"), _subjects(seed, "subscribe")
    if publish is not None:
        allowed["publish"] = {"allow": publish} if publish else {"deny": [">"]}
    if subscribe is not None:
        tops = [each.removesuffix(".>") for each in subscribe if each.endswith(".>")]  # MQTT's `a/#` is `a`, too
        allowed["subscribe"] = {"allow": [*subscribe, *tops, *_OF_MQTT]}
    return {"user": user_of(seed), "password": _hash(seed.secret), **({"permissions": allowed} if allowed else {})}


def _subjects(seed: Seed, what: str) -> list[str] | None:
    """None: all. They go into a file, and what they mean there was checked before a binding was made."""
    found: list[Any] | None = seed.parameters.get(what)
    if found is None:
        return None
    if not all(isinstance(each, str) and len(each) <= _LONGEST_SUBJECT and _SUBJECT.fullmatch(each) for each in found):
        raise Rejected("service_seed_invalid")
    return [str(each) for each in found]


def _users(users: Iterable[JsonObject]) -> str:
    lines = sorted(json.dumps(user) for user in users)
    return "".join(f"{line}\n" for line in ("users: [", *lines, "]"))


def _account(wanted: Wanted) -> str:
    """What can be changed while it runs."""
    size, parameters = wanted.size, wanted.parameters
    connections = min(int(parameters.get("max_connections", size.connections)), size.connections)
    message_kb = max(1, min(int(parameters.get("max_payload_kb", 1024)), LARGEST_MESSAGE_KB))
    return f"""\
limits {{ max_connections: {connections}, max_payload: {message_kb * 1024} }}
jetstream {{ max_memory: {size.memory_mb * _MB // 4}, max_file: {_file_mb(size) * _MB} }}
"""


def _configuration(site: Site) -> str:
    size = site.wanted.size
    admin = json.dumps({"user": ADMIN, "password": _hash(site.admin)})
    return f"""\
server_name: {json.dumps(site.hosted_id)}
listen: "{site.listen}:{site.port}"
mqtt {{ listen: "{site.listen}:{site.port + MQTT}" }}
max_connections: {size.connections * 2 + 64}
max_payload: {LARGEST_MESSAGE_KB * 1024}
max_pending: {max(size.memory_mb * _MB // 8, LARGEST_MESSAGE_KB * 1024)}
jetstream {{
  store_dir: "/data/streams"
  max_memory_store: {size.memory_mb * _MB // 4}
  max_file_store: {_file_mb(size) * _MB}
  sync_interval: "5s"
}}
accounts {{
  SYS {{ users: [{admin}] }}
  APP {{
    include "account.conf"
    include "users.conf"
  }}
}}
system_account: SYS
"""


def _object(told: JsonObject, name: str) -> JsonObject:
    found: Any = told.get(name)
    return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _number(told: JsonObject, name: str) -> int:
    found = told.get(name)
    return found if isinstance(found, int) else 0


# --- the folder of files that may change -----------------------------------------------------------------------------


def _folder(server: Server) -> Path:
    if server.conf is None or not server.conf.is_dir():
        raise Unavailable("service_server_away", what="conf")
    return server.conf


def _others(server: Server, seed: Seed) -> list[JsonObject]:
    """All users of the file but this one."""
    user = user_of(seed)
    try:
        lines = (_folder(server) / "users.conf").read_text().splitlines()[1:-1]
        users: list[JsonObject] = [json.loads(line) for line in lines]
    except (OSError, ValueError):
        raise Unavailable("service_server_away", what="users.conf") from None
    return [each for each in users if each["user"] != user]


def _write(server: Server, name: str, text: str) -> None:
    folder = _folder(server)
    new = folder / f"{name}.new"
    try:
        new.write_text(text)
        new.chmod(0o644)  # the server is another user; nobody else passes the folders above
        new.replace(folder / name)
    except OSError as error:
        raise Unavailable("service_server_away", what=type(error).__name__) from None


async def _tell_users(server: Server, users: Iterable[JsonObject]) -> None:
    _write(server, "users.conf", _users(users))
    async with _session(server) as session:
        await _reload(session)


# --- the administrator's sessions ------------------------------------------------------------------------------------

_AWAY = (OSError, TimeoutError, EOFError)


@asynccontextmanager
async def _session(server: Server) -> AsyncGenerator[nats_wire.Session]:
    """One connection for one call."""
    try:
        async with nats_wire.connect(
            server.host,
            server.port,
            ADMIN,
            str(server.admin["password"]),
            connect_s=_CONNECT_S,
            timeout_s=_COMMAND_S,
        ) as session:
            yield session
    except nats_wire.WireError as error:
        if error.code == "AUTH":
            raise Rejected("service_admin_refused") from None
        raise Unavailable("service_server_failed", what=error.code) from None
    except _AWAY as error:
        raise Unavailable("service_server_away", what=type(error).__name__) from None


async def _ask(session: nats_wire.Session, what: str) -> JsonObject:
    """One of the server's own requests; answers its `data`."""
    told = await session.request(f"$SYS.REQ.SERVER.{session.server_id}.{what}")
    if told.get("error"):
        raise Unavailable("service_server_failed", what=what)
    return _object(told, "data")


async def _reload(session: nats_wire.Session) -> None:
    """It has read its files again when this returns."""
    await _ask(session, "RELOAD")
