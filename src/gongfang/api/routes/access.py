"""Log-in, who one is, and API tokens."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from gongfang.api.call import Anybody, Call
from gongfang.api.endpoint import Routes
from gongfang.api.paging import Pages
from gongfang.api.present import issued_token_out, token_out, user_out
from gongfang.operations import access, tokens, tree
from gongfang.wire.envelope import Page
from gongfang.wire.models import LoginRequest, TokenOut, TokenRequest, WhoAmI

routes = Routes("access")


@routes.add("POST", "/auth/login", TokenOut, "Log in", "登录", status=201, public=True)
async def login(call: Anybody, body: LoginRequest) -> Response:
    """A token for a name and a password. After five failures in a row the name is locked for this source address
    for 15 minutes or more."""
    services = call.services
    issued = await access.login(
        services.database.audited,
        services.clock,
        body,
        call.request.app.state.throttle,
        source=call.source,
        request_id=call.visit.request_id,
        user_agent=call.user_agent,
    )
    return call.ok(issued_token_out(issued), status=201)


@routes.add("GET", "/whoami", WhoAmI, "Show the caller", "查看当前用户")
async def whoami(call: Call) -> Response:
    token = call.context.caller.token
    data = WhoAmI(
        user=user_out(await access.own_user(call.context)),
        token_id=token.id,
        scopes=list(token.scopes),
        default_space_id=await tree.default_space_id(call.context),
    )
    return call.ok(data)


@routes.add("GET", "/tokens", Page[TokenOut], "List tokens", "令牌列表")
async def list_tokens(
    call: Call,
    pages: Pages,
    user_id: Annotated[str | None, Query(description="Another user's, by an administrator")] = None,
) -> Response:
    """The caller's own ones. The text of a token is never shown again."""
    found = await tokens.list_tokens(call.context, user_id=user_id, after=pages.after, limit=pages.one_more)
    return call.ok(pages.page(found, lambda t: t.id, token_out))


@routes.add("POST", "/tokens", TokenOut, "Make a token", "创建令牌", status=201)
async def create_token(call: Call, body: TokenRequest) -> Response:
    """The answer holds the token's text, this once."""
    return call.ok(issued_token_out(await tokens.create_token(call.context, body)), status=201)


@routes.add("DELETE", "/tokens/{token_id}", None, "Revoke a token", "吊销令牌")
async def delete_token(call: Call, token_id: str) -> Response:
    await tokens.delete_token(call.context, token_id)
    return call.ok()
