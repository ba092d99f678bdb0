"""An API server over a database that is there: the platform's own API, or bare endpoints with the same queries.

    python -m bench.api_server ours|bare URL KEYS PORT

Both are FastAPI under uvicorn with uvloop and httptools, one process, the same engine and pool. The bare endpoints ask
the database what the platform's operations ask it, in as many statements and the same transactions, and give the rows
to FastAPI as they are. They know no token, no permission, no language, no envelope; they check nothing.
"""

import asyncio
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI
from sqlalchemy import text

from bench.lab import HOST
from gongfang.api import ApiServices, PlatformState, create_api
from gongfang.blobs import ObjectBlobs
from gongfang.domain.clock import utc_now
from gongfang.domain.ids import new_id
from gongfang.runtimes.memory import MemoryRuntime
from gongfang.state import Database, Hub, Keyring

_APP = "SELECT * FROM apps WHERE id = $1"
_APPS = "SELECT * FROM apps ORDER BY id LIMIT $1"
_LOCKED = text("SELECT * FROM apps WHERE id = :id FOR UPDATE")
_INSTANCES = "SELECT * FROM instances WHERE app_id = ANY($1::varchar[]) ORDER BY id"
_DOMAINS = "SELECT * FROM domains WHERE app_id = ANY($1::varchar[]) ORDER BY id"
_NUMBERS = "SELECT id, number FROM releases WHERE id = ANY($1::varchar[])"
_RELEASE = "SELECT * FROM releases WHERE id = $1"
_PACKAGE = "SELECT * FROM packages WHERE app_id = $1 ORDER BY seq DESC LIMIT 1"
_ACTIVE = "SELECT * FROM operations WHERE app_id = $1 AND status IN ('pending', 'running') ORDER BY id"
_QUOTAS = "SELECT * FROM quotas WHERE id = ANY($1::varchar[]) ORDER BY id"
_OPERATION = text(
    "INSERT INTO operations (id, kind, app_id, app_name, tenant_id, organization_id, space_id, status, params, steps,"
    " created_at, deadline, created_by, cancel_requested, sequence) VALUES (:id, 'start', :app_id, :app_name, :tenant,"
    " :organization, :space, 'pending', '{}', '[]', :now, :deadline, 'admin', false, 0)"
)
_WANTED = text(
    "UPDATE apps SET generation = :generation, updated_at = :now, desired = 'started' WHERE id = :id RETURNING *"
)
_EVENT = text(
    "INSERT INTO events (at, tag, actor_name, tenant_id, organization_id, space_id, app_id, object_id, data)"
    " VALUES (:now, 'app:start:requested', 'admin', :tenant, :organization, :space, :app_id, :id, '{}')"
)


def bare(database: Database) -> FastAPI:
    app = FastAPI()

    async def rows(connection: Any, statement: str, value: Any) -> list[dict[str, Any]]:
        driver = (await connection.get_raw_connection()).driver_connection
        return [dict(row) for row in await driver.fetch(statement, value)]

    async def written(connection: Any, statement: Any, **values: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in (await connection.execute(statement, values)).mappings()]

    async def beside(connection: Any, apps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        ids = [app["id"] for app in apps]
        instances = await rows(connection, _INSTANCES, ids)
        domains = await rows(connection, _DOMAINS, ids)
        named = {i["release_id"] for i in instances} | {a["current_release_id"] for a in apps}
        numbers = await rows(connection, _NUMBERS, list(named))
        return {"apps": apps, "instances": instances, "domains": domains, "releases": numbers}

    @app.get("/api/v1/apps/{app_id}")
    async def show(app_id: str) -> Any:
        async with database._reading.connect() as connection:
            return await beside(connection, await rows(connection, _APP, app_id))

    @app.get("/api/v1/apps")
    async def list_apps(limit: int = 50) -> Any:
        async with database._reading.connect() as connection:
            return await beside(connection, await rows(connection, _APPS, limit + 1))

    @app.post("/api/v1/apps/{app_id}/start", status_code=202)
    async def start(app_id: str) -> Any:
        async with database._engine.begin() as connection:
            await rows(connection, _APP, app_id)
            (held,) = await written(connection, _LOCKED, id=app_id)
            await rows(connection, _RELEASE, held["target_release_id"])
            await rows(connection, _PACKAGE, app_id)
            await rows(connection, _QUOTAS, [held["organization_id"], held["space_id"]])
            await rows(connection, _ACTIVE, app_id)
            now = datetime.now(UTC)
            where = {
                "tenant": held["tenant_id"],
                "organization": held["organization_id"],
                "space": held["space_id"],
                "app_id": app_id,
                "now": now,
            }
            operation = {"id": new_id("op"), "app_name": held["name"], "deadline": now + timedelta(minutes=30), **where}
            await connection.execute(_OPERATION, operation)
            changed = await written(connection, _WANTED, id=app_id, generation=held["generation"] + 1, now=now)
            await connection.execute(_EVENT, {"id": operation["id"], **where})
            return {**await beside(connection, changed), "operation": operation}

    return app


def ours(database: Database, folder: Path) -> FastAPI:
    async def nothing() -> Any:
        return PlatformState("0", (), (), 0, 0)

    async def send(*_: Any) -> Any:
        raise NotImplementedError("no webhook is tried here")

    async def ready() -> Mapping[str, tuple[bool, None]]:
        return {}

    return create_api(
        ApiServices(
            database=database,
            clock=utc_now,
            blobs=ObjectBlobs(folder / "spool", folder=folder / "blobs"),
            runtime=MemoryRuntime(),
            base_domain="apps.localhost",
            edge_url=lambda host: f"http://{host}/",
            platform=nothing,
            ready=ready,
            upload_limit=1 << 20,
            send_webhook=send,
        )
    )


async def serve(which: str, url: str, keys: Path, port: int) -> None:
    database = Database(url, Keyring.load(keys), Hub())
    bound = socket.create_server((HOST, port))
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with tempfile.TemporaryDirectory() as folder:
        app = ours(database, Path(folder)) if which == "ours" else bare(database)
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=75, server_header=False
        )
        await uvicorn.Server(config).serve(sockets=[bound])
    await database.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])))
