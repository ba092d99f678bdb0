"""API tokens: each user's own, and others' by those who administer them. A token never makes one that may more."""

from datetime import timedelta

from gongfang.domain.errors import Forbidden, NotFound
from gongfang.domain.ids import new_id
from gongfang.domain.values import Token
from gongfang.operations.access import IssuedToken, issue
from gongfang.operations.context import Context
from gongfang.operations.users import find_user, require_administers
from gongfang.wire.models import TokenRequest


async def list_tokens(
    context: Context, *, user_id: str | None = None, after: str | None = None, limit: int = 50
) -> list[Token]:
    """The caller's own tokens, or those of a user whom the caller administers."""
    async with context.database.reading() as tx:
        if user_id is not None and user_id != context.caller.user.id:
            await require_administers(tx, context, await find_user(tx, context, user_id))
        return await tx.find(Token, user_id=user_id or context.caller.user.id, after=after, limit=limit)


async def create_token(context: Context, request: TokenRequest) -> IssuedToken:
    """A token with at most the scopes of the caller's own. Raises `Forbidden("scopes_exceed")`."""
    own = context.caller.token.scopes
    if own and not (request.scopes and set(request.scopes) <= set(own)):
        raise Forbidden("scopes_exceed", scopes=", ".join(own))
    async with context.database.writing() as tx:
        user_id = request.user_id or context.caller.user.id
        if user_id != context.caller.user.id:
            await require_administers(tx, context, await find_user(tx, context, user_id))
        now = context.clock()
        expires_at = now + timedelta(seconds=request.expires_in_s) if request.expires_in_s is not None else None
        scopes = tuple(dict.fromkeys(request.scopes))
        issued = await issue(tx, Token(new_id("tok"), user_id, request.name, scopes, now, expires_at, None))
        data = {"user": user_id, "name": request.name, "scopes": list(scopes)}
        await context.event(tx, "token:create", object_id=issued.token.id, data=data)
        return issued


async def delete_token(context: Context, token_id: str) -> None:
    """Revokes it at once. Raises `NotFound("token_not_found")` where it is nobody's whom the caller administers."""
    missing = NotFound("token_not_found", id=token_id)
    async with context.database.writing() as tx:
        token = await tx.one(Token, token_id)
        if token is None:
            raise missing
        if token.user_id != context.caller.user.id:
            try:
                await require_administers(tx, context, await find_user(tx, context, token.user_id))
            except (NotFound, Forbidden) as error:
                raise missing from error
        await tx.delete(Token, id=token.id)
        await context.event(tx, "token:delete", object_id=token.id, data={"user": token.user_id, "name": token.name})
