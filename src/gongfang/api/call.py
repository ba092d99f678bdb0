"""What an endpoint is called with: who calls, in which language, and how to answer."""

from dataclasses import dataclass
from typing import Annotated, Any

from starlette.requests import Request
from starlette.responses import Response

from gongfang.api.answers import Visit, envelope
from gongfang.api.services import ApiServices
from gongfang.api.source import client_address
from gongfang.domain.errors import Unauthenticated
from gongfang.domain.messages import Language
from gongfang.operations.access import authenticate, confirm
from gongfang.operations.context import Caller, Context


@dataclass(frozen=True, slots=True)
class PublicCall:
    """A call by anybody."""

    request: Request
    services: ApiServices
    visit: Visit

    @property
    def language(self) -> Language:
        return self.visit.language

    @property
    def source(self) -> str | None:
        """The client's address, behind the proxies that are trusted."""
        return source_of(self.request)

    @property
    def user_agent(self) -> str | None:
        """What the client calls itself, as text that fits everywhere."""
        given = self.request.headers.get("user-agent", "")
        return "".join(c for c in given if c.isprintable())[:200] or None

    def ok(self, data: Any = None, *, status: int = 200, etag: str | None = None) -> Response:
        """The answer of a call that went well; 202 says that the work goes on."""
        headers = {"etag": etag} if etag else None
        return envelope(self.visit, status, "accepted" if status == 202 else "OK", data, headers=headers)


@dataclass(frozen=True, slots=True)
class KnownCall(PublicCall):
    """A call by somebody known."""

    context: Context

    async def confirm(self) -> None:
        """Raises `Unauthenticated` where the caller is no longer who may call: asked during what takes long."""
        caller = self.context.caller
        await confirm(self.services.database, self.services.clock, caller.user, caller.token)


def visit_of(request: Request) -> Visit:
    return request.state.visit


def source_of(request: Request) -> str | None:
    peer = request.client.host if request.client else None
    return client_address(peer, request.headers.getlist("x-forwarded-for"), services_of(request).trusted_proxies)


def services_of(request: Request) -> ApiServices:
    return request.app.state.services


async def known_call(request: Request) -> KnownCall:
    """Raises `Unauthenticated`; the header is `Authorization: Bearer TOKEN`."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not bearer.strip():
        raise Unauthenticated("token_missing")
    return await call_with(request, bearer.strip())


async def call_with(request: Request, bearer: str) -> KnownCall:
    """The call by whose token this is. Raises `Unauthenticated`."""
    services = services_of(request)
    visit = visit_of(request)
    user, token = await authenticate(services.database, services.clock, bearer)
    anybody = PublicCall(request, services, visit)
    caller = Caller(user, token, anybody.source, visit.request_id, user_agent=anybody.user_agent)
    context = Context(
        database=services.database.audited,
        clock=services.clock,
        caller=caller,
        base_domain=services.base_domain,
        edge_url=services.edge_url,
        room=services.room,
        icp=services.icp,
        quota_defaults=services.quota_defaults,
    )
    return KnownCall(request, services, visit, context)


def public_call(request: Request) -> PublicCall:
    return PublicCall(request, services_of(request), visit_of(request))


Call = Annotated[KnownCall, "given"]
Anybody = Annotated[PublicCall, "given"]
"""The first parameter of every endpoint, given by `endpoint.Routes`: the call by somebody known, or by anybody."""
