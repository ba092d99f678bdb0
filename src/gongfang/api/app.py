"""The application: routes, the envelope around everything, and the OpenAPI document. Made once, by `main`.

FastAPI's own documentation pages load scripts from elsewhere, so they are off; the document is at
`/api/v1/openapi.json`.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

from gongfang import __version__
from gongfang.api.answers import error_answer
from gongfang.api.broker import BROKER, BrokerEndpoint
from gongfang.api.call import visit_of
from gongfang.api.endpoint import BASE, http_answer
from gongfang.api.idempotency import Replays
from gongfang.api.middleware import Requests
from gongfang.api.refusals import Refusals
from gongfang.api.routes import ROUTES
from gongfang.api.services import ApiServices
from gongfang.domain.errors import GongfangError
from gongfang.operations.throttle import Throttle

_TITLE = "Gongfang (工坊) API"
_DESCRIPTION = """The application workshop of industrial internet platforms, after AII/002-2018.
工业互联网平台应用管理接口，依据 AII/002-2018；实现标准条款的接口带有 `x-aii-clause`。

Every answer is an envelope: `success`, `code`, `message`, `data`, `request_id`; an error has `details` where fields
are at fault. Messages are in the language of `Accept-Language` (`zh-CN`, the default, or `en`).
"""


def create_api(services: ApiServices) -> FastAPI:
    """The ASGI application over these services."""
    app = FastAPI(
        title=_TITLE,
        version=__version__,
        openapi_url=f"{BASE}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.replays = Replays()
    app.state.throttle = Throttle()
    app.state.refusals = Refusals()
    app.router.routes.extend(ROUTES)
    app.router.routes.append(Mount(BROKER, app=BrokerEndpoint()))
    app.add_middleware(Requests)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(GongfangError, _refused)
    app.openapi = lambda: _document(app)  # the framework's own hook for a changed document
    return app


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return http_answer(request, error)
    if isinstance(error, GongfangError):
        return error_answer(visit_of(request), error)
    raise error


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=_TITLE, version=__version__, description=_DESCRIPTION, routes=app.routes, tags=_TAGS
        )
        document.setdefault("components", {})["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "`POST /api/v1/auth/login` gives one"}
        }
        document["security"] = [{"token": []}]
        app.openapi_schema = document
    return app.openapi_schema


_TAGS = [
    {"name": "apps", "description": "Apps 应用"},
    {"name": "lifecycle", "description": "Start, stop, scale, roll back, destroy 应用生命周期"},
    {"name": "packages", "description": "Uploads and builds 上传与构建"},
    {"name": "tasks", "description": "One-off tasks 一次性任务"},
    {"name": "logs", "description": "Logs 日志"},
    {"name": "domains", "description": "Domains and ICP filings 域名与备案"},
    {"name": "certificates", "description": "Certificates 证书"},
    {"name": "operations", "description": "What is being done 操作"},
    {"name": "events", "description": "What happened 事件"},
    {"name": "webhooks", "description": "Where events are sent to 事件推送"},
    {"name": "access", "description": "Log-in and tokens 登录与令牌"},
    {"name": "users", "description": "Users and roles 用户与角色"},
    {"name": "tree", "description": "Tenants, organisations, spaces 租户、组织与空间"},
    {"name": "services", "description": "Middleware services and bindings 中间件服务与绑定"},
    {"name": "platform", "description": "The platform itself 平台"},
]
