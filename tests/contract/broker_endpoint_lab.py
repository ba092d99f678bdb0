"""`/broker/v2` in process, over the built-in broker and the pretended service: asked as another platform asks."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from gongfang.api import ApiServices, PlatformState, create_api
from gongfang.blobs import ObjectBlobs
from gongfang.domain.hosting import HostedBinding, HostedInstance
from gongfang.domain.values import JsonObject, Level, Role, RoleBinding, Token, User
from gongfang.operations.access import issue
from gongfang.operations.passwords import NO_PASSWORD
from gongfang.reconcile.builtin import BuiltinBroker, Note
from gongfang.state import Database, Scope
from tests.contract.hosting_lab import HostingLab, hosting_lab

VERSION = "2.17"
EVERYTHING = Scope(everything=True)
ORIGIN = "cloudfoundry " + base64.b64encode(json.dumps({"user_id": "wang"}).encode()).decode()


@dataclass
class Platform:
    """Another platform: one user here, with one token. `asked`: every answer that it got."""

    lab: HostingLab
    http: httpx2.AsyncClient
    user_id: str
    token: str
    asked: list[httpx2.Response] = field(default_factory=list[httpx2.Response])

    @property
    def service(self) -> str:
        return self.lab.kind.offering().id

    def plan(self, name: str = "small") -> str:
        return self.lab.target(plan=name).plan_id

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
        **query: Any,
    ) -> httpx2.Response:
        login = base64.b64encode(f"anything:{self.token}".encode()).decode()
        given = {"authorization": f"Basic {login}", "x-broker-api-version": VERSION, "accept-language": "en"}
        all_given = {k: v for k, v in {**given, **(headers or {})}.items() if v is not None}
        if body is not None:
            content = json.dumps(body).encode()
        answer = await self.http.request(
            method, f"/broker/v2{path}", content=content, headers=all_given, params=query or None
        )
        self.asked.append(answer)
        return answer

    async def provision(
        self, instance: str = "i", plan: str = "small", *, waits: bool = True, **parameters: Any
    ) -> httpx2.Response:
        body: JsonObject = {"service_id": self.service, "plan_id": self.plan(plan), "parameters": parameters}
        body |= {"organization_guid": "o", "space_guid": "s", "context": {"platform": "cloudfoundry"}}
        return await self.send("PUT", f"/service_instances/{instance}", body, **_waits(waits))

    async def update(self, instance: str = "i", *, waits: bool = True, **body: Any) -> httpx2.Response:
        return await self.send(
            "PATCH", f"/service_instances/{instance}", {"service_id": self.service, **body}, **_waits(waits)
        )

    async def deprovision(self, instance: str = "i", *, waits: bool = True, **query: Any) -> httpx2.Response:
        ids = {"service_id": self.service, "plan_id": self.plan(), **_waits(waits), **query}
        return await self.send("DELETE", f"/service_instances/{instance}", **ids)

    async def bind(
        self, binding: str = "b", instance: str = "i", *, waits: bool = True, body: Any = None, **parameters: Any
    ) -> httpx2.Response:
        if body is None:
            body = {"service_id": self.service, "plan_id": self.plan(), "parameters": parameters}
            body |= {"bind_resource": {"app_guid": "a"}}
        return await self.send("PUT", _binding(instance, binding), body, **_waits(waits))

    async def unbind(self, binding: str = "b", instance: str = "i", *, waits: bool = True) -> httpx2.Response:
        ids = {"service_id": self.service, "plan_id": self.plan(), **_waits(waits)}
        return await self.send("DELETE", _binding(instance, binding), **ids)

    async def poll(
        self, operation: str | None, instance: str = "i", binding: str | None = None, **query: Any
    ) -> httpx2.Response:
        path = f"/service_instances/{instance}" if binding is None else _binding(instance, binding)
        if operation is not None:
            query["operation"] = operation
        return await self.send("GET", f"{path}/last_operation", **query)

    async def ended(self, answer: httpx2.Response, instance: str = "i", binding: str | None = None) -> str:
        """What an accepted request has come to, polled as the specification has it."""
        assert answer.status_code == 202, answer.text
        while True:
            told = await self.poll(answer.json()["operation"], instance, binding)
            if told.status_code == 410:
                return "gone"
            assert told.status_code == 200, told.text
            if told.json()["state"] != "in progress":
                return str(told.json()["state"])
            assert int(told.headers["retry-after"]) >= 1
            await self.lab.work()

    async def rows(self) -> list[Any]:
        """All that the broker keeps, of everybody."""
        async with self.lab.database.reading() as tx:
            return [*await tx.find(HostedInstance), *await tx.find(HostedBinding)]

    async def events(self, tag: str = "service:") -> list[JsonObject]:
        async with self.lab.database.reading() as tx:
            found = await tx.events(scope=EVERYTHING, limit=1000)
        return [
            {"tag": e.tag, "actor": e.actor_id, "data": e.data, "before": e.before, "after": e.after, "e": e}
            for e in found
            if e.tag.startswith(tag)
        ]


def _waits(waits: bool) -> dict[str, Any]:
    return {"accepts_incomplete": "true"} if waits else {}


def _binding(instance: str, binding: str) -> str:
    return f"/service_instances/{instance}/service_bindings/{binding}"


@dataclass(repr=False)
class EndpointLab:
    hosting: HostingLab
    http: httpx2.AsyncClient
    services: ApiServices

    async def platform(
        self, role: Role = Role.service_manager, level: Level = Level.platform, scope: str | None = None, **token: Any
    ) -> Platform:
        """Another one, with a user of its own."""
        from gongfang.domain.ids import new_id

        database, now = self.hosting.database, self.hosting.clock()
        user = User(new_id("usr"), f"platform-{new_id('usr')[4:].lower()[:20]}", "", disabled=False, created_at=now)
        made = Token(new_id("tok"), user.id, "t", token.get("scopes", ()), now, expires_at=None, last_used_at=None)
        async with database.writing() as tx:
            await tx.insert(user, password_hash=NO_PASSWORD)
            await tx.insert(RoleBinding(new_id("rol"), user.id, role, level, scope))
            text = (await issue(tx, made)).text
        return Platform(self.hosting, self.http, user.id, text)


@asynccontextmanager
async def endpoint_lab(url: str, folder: Path) -> AsyncIterator[EndpointLab]:
    async with hosting_lab(url, folder / "services") as hosting:

        def broker(database: Database, owner: str, note: Note) -> BuiltinBroker:
            return BuiltinBroker(
                database,
                (hosting.kind,),
                hosting.clock,
                owner=owner,
                ports=range(16000, 16400),
                enforces=lambda _: True,
                note=note,
            )

        async def nothing(*_: Any) -> Any:
            return {}

        async def state() -> PlatformState:
            return PlatformState("0", (), (), 0, 0)

        services = ApiServices(
            database=hosting.database,
            clock=hosting.clock,
            blobs=ObjectBlobs(folder / "spool", folder=folder / "blobs", keep_free=0),
            runtime=hosting.runtime,
            base_domain="apps.localhost",
            edge_url=lambda host: f"http://{host}/",
            platform=state,
            ready=nothing,
            upload_limit=1 << 20,
            send_webhook=nothing,
            broker=broker,
        )
        api = create_api(services)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=api), base_url="http://here") as http:
            yield EndpointLab(hosting, http, services)
        await api.state.refusals.flush()
