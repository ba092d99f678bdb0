"""Any broker, served over HTTP as the Open Service Broker API has it: for tests of the client. Run as a program, it
serves the pretending broker on a port of loopback that it prints.

Written after the specification and not after the client: statuses, headers and bodies are its own.
"""

import asyncio
import base64
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gongfang.brokers.interface import (
    Accepted,
    Bind,
    Bound,
    Broker,
    Catalog,
    CatalogOffering,
    CatalogPlan,
    Deprovision,
    Done,
    Gone,
    Poll,
    Polled,
    Provision,
    Refused,
    Target,
    Unbind,
    Unsure,
    Update,
    Where,
    Who,
)

USER, PASSWORD = "platform", "s3cret-of-the-broker"
_INSTANCE = "/v2/service_instances/{instance_id}"
_BINDING = _INSTANCE + "/service_bindings/{binding_id}"


class OsbServer:
    """`asked`: method, path and headers of each request. `version`: the newest that it takes."""

    def __init__(self, broker: Broker, version: str = "2.17") -> None:
        self.broker = broker
        self.version = version
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self._known: dict[str, Target] = {}
        self.app = Starlette(
            routes=[
                Route("/v2/catalog", self._catalog),
                Route(_INSTANCE, self._instance, methods=["PUT", "PATCH", "DELETE", "GET"]),
                Route(_BINDING, self._binding, methods=["PUT", "DELETE", "GET"]),
                Route(_INSTANCE + "/last_operation", self._poll),
                Route(_BINDING + "/last_operation", self._poll),
            ]
        )

    def _barred(self, request: Request) -> Response | None:
        self.asked.append((request.method, request.url.path, dict(request.headers)))
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {token}":
            return JSONResponse({"description": "who are you?"}, 401)
        wanted = request.headers.get("x-broker-api-version")
        if wanted is None or _number(wanted) > _number(self.version):
            return JSONResponse({"description": f"speaks {self.version}"}, 412)
        if request.method != "GET" and request.query_params.get("accepts_incomplete") != "true":
            return JSONResponse({"error": "AsyncRequired", "description": "it takes its time"}, 422)
        return None

    async def _catalog(self, request: Request) -> Response:
        if (barred := self._barred(request)) is not None:
            return barred
        catalog = await self.broker.catalog(request.headers.get("if-none-match"))
        if catalog is None:
            return Response(status_code=304)
        headers = {"etag": catalog.etag} if catalog.etag is not None else {}
        return JSONResponse(catalog_body(catalog), headers=headers)

    async def _instance(self, request: Request) -> Response:
        if (barred := self._barred(request)) is not None:
            return barred
        body = await _body(request)
        ids = body if request.method in ("PUT", "PATCH") else dict(request.query_params)
        instance_id = request.path_params["instance_id"]
        match request.method:
            case "PUT":
                version = body.get("maintenance_info", {}).get("version")
                target = self._known[instance_id] = Target(instance_id, body["service_id"], body["plan_id"])
                asked = Provision(target, body.get("parameters", {}), _where(body), _who(request), "req", version)
                return _answer(await self.broker.provision(asked))
            case "PATCH":
                previous = body["previous_values"]["plan_id"]
                target = Target(instance_id, body["service_id"], body.get("plan_id", previous))
                parameters = body.get("parameters")
                asked = Update(target, previous, "plan_id" in body, parameters, _where(body), _who(request), "req")
                return _answer(await self.broker.update(asked))
            case "DELETE":
                target = Target(instance_id, ids["service_id"], ids["plan_id"])
                return _answer(await self.broker.deprovision(Deprovision(target, _who(request), "req")))
            case _:
                return _answer(await self.broker.fetch_instance(_asked(request)))

    async def _binding(self, request: Request) -> Response:
        if (barred := self._barred(request)) is not None:
            return barred
        body = await _body(request)
        path = request.path_params
        match request.method:
            case "PUT":
                target, app = self._of_binding(path, body), body.get("bind_resource", {}).get("app_guid")
                return _answer(
                    await self.broker.bind(
                        Bind(
                            target=target,
                            binding_id=path["binding_id"],
                            app_id=app,
                            app_name=None,
                            parameters=body.get("parameters", {}),
                            predecessor_id=body.get("predecessor_binding_id"),
                            where=_where(body),
                            who=_who(request),
                            request_id="req",
                        )
                    )
                )
            case "DELETE":
                ids = request.query_params
                target = Target(path["instance_id"], ids["service_id"], ids["plan_id"])
                return _answer(await self.broker.unbind(Unbind(target, path["binding_id"], _who(request), "req")))
            case _:
                return _answer(await self.broker.fetch_binding(_asked(request)))

    def _of_binding(self, path: dict[str, str], body: dict[str, Any]) -> Target:
        """A rotation names the binding before it alone; what it is of is looked up by the instance."""
        if "predecessor_binding_id" in body:
            return self._known[path["instance_id"]]
        return Target(path["instance_id"], body["service_id"], body["plan_id"])

    async def _poll(self, request: Request) -> Response:
        if (barred := self._barred(request)) is not None:
            return barred
        told = await self.broker.last_operation(_asked(request))
        if not isinstance(told, Polled):
            return _answer(told)
        if told.state == "gone":
            return JSONResponse({}, 410)
        said = {"state": told.state, "description": told.description}
        return JSONResponse({k: v for k, v in said.items() if v is not None}, headers={"retry-after": "1"})


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


async def _body(request: Request) -> dict[str, Any]:
    raw = await request.body()
    return json.loads(raw) if raw else {}


def _where(body: dict[str, Any]) -> Where:
    told = body.get("context", {})
    names = ("tenant_guid", "organization_guid", "organization_name", "space_guid", "space_name", "instance_name")
    return Where(*(told.get(name, "") for name in names))


def _who(request: Request) -> Who | None:
    told = request.headers.get("x-broker-api-originating-identity")
    if told is None:
        return None
    found = json.loads(base64.b64decode(told.split(" ")[1]))
    return Who(found["user_id"], found["user_name"])


def _asked(request: Request) -> Poll:
    ids, path = request.query_params, request.path_params
    target = Target(path["instance_id"], ids["service_id"], ids["plan_id"])
    return Poll(target, path.get("binding_id"), ids.get("operation"), "req")


def _answer(said: Any) -> Response:
    match said:
        case Done(Gone()):
            return JSONResponse({}, 410)
        case Done(body, created):
            return JSONResponse(_of(body), 201 if created and type(body).__name__ != "Updated" else 200)
        case Accepted(operation, _, retry_after):
            headers = {"retry-after": str(round(retry_after))} if retry_after else {}
            return JSONResponse({"operation": operation} if operation else {}, 202, headers=headers)
        case Refused():
            told = {
                "error": said.error,
                "description": said.description,
                "instance_usable": said.usable,
                "update_repeatable": said.repeatable,
            }
            return JSONResponse({k: v for k, v in told.items() if v is not None}, said.status)
        case Unsure():
            return JSONResponse({"description": "broken"}, 500)
        case _:
            return JSONResponse(_of(said), 200)


def _of(body: Any) -> dict[str, Any]:
    if not isinstance(body, Bound):
        return {"dashboard_url": body.dashboard_url} if body.dashboard_url else {}
    return {
        "credentials": body.credentials,
        "endpoints": [{"host": e.rpartition(":")[0], "ports": [e.rpartition(":")[2]]} for e in body.endpoints],
    }


def catalog_body(catalog: Catalog) -> dict[str, Any]:
    return {"services": [_offering(offering) for offering in catalog.offerings]}


def _offering(offering: CatalogOffering) -> dict[str, Any]:
    names = ("id", "name", "description", "bindable", "instances_retrievable", "bindings_retrievable", "metadata")
    more = {"tags": list(offering.tags), "plan_updateable": offering.plan_updateable}
    plans = [_plan(plan) for plan in offering.plans]
    return {name: getattr(offering, name) for name in names} | more | {"plans": plans}


def _plan(plan: CatalogPlan) -> dict[str, Any]:
    names = ("id", "name", "description", "free", "binding_rotatable", "schemas", "metadata")
    return {name: getattr(plan, name) for name in names}


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """An application on a port of loopback, in this event loop; its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        config = uvicorn.Config(app, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


def main() -> None:
    from gongfang.brokers.memory import MemoryBroker

    listening = socket.socket()
    listening.bind(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0))
    listening.listen(64)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(OsbServer(MemoryBroker(asynchronous=True)).app, log_config=None, lifespan="off")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
