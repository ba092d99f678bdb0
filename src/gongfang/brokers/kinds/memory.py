"""A service that only pretends, for tests of all that stands on kinds: its command is in the language of the pretending
runtime, and its servers remember their users here."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gongfang.brokers.interface import CatalogOffering, CatalogPlan
from gongfang.brokers.kinds.interface import Change, Figures, Launch, Seed, Server, Site, Size, Wanted
from gongfang.brokers.kinds.parts import catalog_id
from gongfang.domain.errors import GongfangError, Rejected
from gongfang.domain.values import JsonObject

_SIZES = {
    "small": Size(memory_mb=16, storage_mb=64, cpu=None, connections=5),
    "large": Size(memory_mb=64, storage_mb=256, cpu=1.0, connections=50),
}
_SCHEMA: JsonObject = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "colour": {"type": "string", "maxLength": 20},
        "speed": {"type": "integer", "minimum": 1, "maximum": 9},
    },
}


@dataclass
class MemoryKind:
    """Implements `ServiceKind`. `users`: by the server's administrator's password, which only one server has.

    `colour` can be changed while it runs, `speed` can't. `fails`: what the next calls of a method raise, in order.
    `calls`: what was done, in order.
    """

    name: str = "pretend"
    tools: tuple[str, ...] = ()
    needs: frozenset[str] = frozenset()
    ports: Mapping[str, int] = field(default_factory=lambda: {"client": 0, "other": 1})
    command: tuple[str, ...] = ("serve",)
    users: dict[str, dict[str, JsonObject]] = field(default_factory=dict[str, dict[str, JsonObject]])
    fails: dict[str, list[GongfangError]] = field(default_factory=dict[str, list[GongfangError]])
    calls: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    sites: list[Site] = field(default_factory=list[Site])

    def offering(self) -> CatalogOffering:
        schemas = {
            "service_instance": {"create": {"parameters": _SCHEMA}, "update": {"parameters": _SCHEMA}},
            "service_binding": {"create": {"parameters": _SCHEMA}},
        }
        return CatalogOffering(
            id=catalog_id(self.name),
            name=self.name,
            description="Pretends to be a service",
            tags=("pretend",),
            instances_retrievable=True,
            bindings_retrievable=True,
            plan_updateable=True,
            plans=tuple(
                CatalogPlan(
                    id=catalog_id(f"{self.name}.{name}"),
                    name=name,
                    description=name,
                    binding_rotatable=True,
                    schemas=schemas,
                    memory_mb=size.memory_mb,
                )
                for name, size in _SIZES.items()
            ),
        )

    def size(self, plan: str) -> Size:
        return _SIZES[plan]

    def fresh_admin(self) -> JsonObject:
        return {"password": secrets.token_urlsafe(12)}

    def fresh_seed(self, parameters: JsonObject) -> JsonObject:
        return {"username": f"u_{secrets.token_hex(4)}", "password": secrets.token_urlsafe(12)}

    def launch(self, site: Site) -> Launch:
        self.sites.append(site)
        return Launch(
            command=self.command,
            environment={"HOME": "/data"},
            files={"/gongfang/admin": str(site.admin["password"]).encode()},
        )

    async def ready(self, server: Server) -> None:
        self._do("ready", "")

    async def prepare(self, server: Server) -> None:
        """Leaves something in its data folder, as a real one does."""
        self._do("prepare", "")
        if server.conf is not None:
            (server.conf.parent / "data" / "pretended").touch()
        self.users.setdefault(str(server.admin["password"]), {})

    async def bind(self, server: Server, seed: Seed) -> None:
        self._do("bind", seed.binding_id)
        self.users[str(server.admin["password"])][seed.binding_id] = seed.secret

    async def unbind(self, server: Server, seed: Seed) -> None:
        self._do("unbind", seed.binding_id)
        self.users[str(server.admin["password"])].pop(seed.binding_id, None)

    def credentials(self, server: Server, seed: Seed) -> JsonObject:
        at = {"host": server.host, "port": server.port}
        return {**at, "username": seed.secret["username"], "password": seed.secret["password"]}

    def variables(self) -> Mapping[str, str]:
        return {"PRETEND_URL": "host"}

    def change(self, before: Wanted, after: Wanted) -> Change:
        if after.size.storage_mb < before.size.storage_mb:
            raise Rejected(
                "service_cannot_shrink", plan=after.plan, storage_mb=after.size.storage_mb, now=before.size.storage_mb
            )
        if before == after:
            return Change.none
        rest = [{**wanted.parameters, "colour": None} for wanted in (before, after)]
        return Change.live if before.plan == after.plan and rest[0] == rest[1] else Change.restart

    async def reconfigure(self, server: Server, after: Wanted) -> None:
        self._do("reconfigure", str(after.parameters.get("colour")))

    async def figures(self, server: Server) -> Figures:
        self._do("figures", "")
        return Figures(connections=len(self.users.get(str(server.admin["password"]), {})), storage_bytes=1)

    def _do(self, what: str, whom: str) -> Any:
        failing = self.fails.get(what)
        if failing:
            raise failing.pop(0)
        self.calls.append((what, whom))
