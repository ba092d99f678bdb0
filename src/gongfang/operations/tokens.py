"""API tokens: each user's own, and others' by those who administer them. A token never makes one that may more.

A token that is cut down to scopes makes only such as have no more scopes, live no longer and end with it; of its user's
tokens it sees and ends only itself and those it made, unless it may `user:write`.
"""

from datetime import timedelta

from gongfang.domain.errors import Forbidden, NotFound
from gongfang.domain.ids import new_id
from gongfang.domain.values import Permission, Token, User
from gongfang.operations.access import IssuedToken, end_tokens, issue
from gongfang.operations.context import Context
from gongfang.operations.users import find_user, require_administers
from gongfang.wire.models import TokenRequest


async def list_tokens(
    context: Context, *, user_id: str | None = None, after: str | None = None, limit: int = 50
) -> list[Token]:
    """The caller's own tokens, or those of a user whom the caller administers."""
    async with context.database.reading() as tx:
        if user_id in (None, context.caller.user.id) and _cut_down(context):
            family = [t for t in await tx.find(Token, user_id=context.caller.user.id) if _of_family(context, t)]
            return [t for t in family if after is None or t.id > after][:limit]
        if user_id is not None and user_id != context.caller.user.id:
            await require_administers(tx, context, await find_user(tx, context, user_id))
        return await tx.find(Token, user_id=user_id or context.caller.user.id, after=after, limit=limit)


def _cut_down(context: Context) -> bool:
    scopes = context.caller.token.scopes
    return bool(scopes) and Permission.user_write not in scopes


def _of_family(context: Context, token: Token) -> bool:
    return context.caller.token.id in (token.id, token.parent_id)


async def create_token(context: Context, request: TokenRequest) -> IssuedToken:
    """A token with at most the scopes of the caller's own. Raises `Forbidden("scopes_exceed")`."""
    own = context.caller.token.scopes
    if own and not (request.scopes and set(request.scopes) <= set(own)):
        raise Forbidden("scopes_exceed", scopes=", ".join(own))
    async with context.database.writing() as tx:
        user_id = request.user_id or context.caller.user.id
        if user_id != context.caller.user.id:
            user = await find_user(tx, context, user_id)
            await tx.lock(User, user_id)  # nobody gives this user a role while it is asked who administers it
            await require_administers(tx, context, await tx.one(User, user_id) or user)
        now = context.clock()
        expires_at = now + timedelta(seconds=request.expires_in_s) if request.expires_in_s is not None else None
        parent = context.caller.token if own else None
        if parent is not None and parent.expires_at is not None:
            expires_at = min(expires_at or parent.expires_at, parent.expires_at)
        scopes = tuple(dict.fromkeys(request.scopes))
        token = Token(
            id=new_id("tok"),
            user_id=user_id,
            name=request.name,
            scopes=scopes,
            created_at=now,
            expires_at=expires_at,
            last_used_at=None,
            parent_id=parent.id if parent else None,
        )
        issued = await issue(tx, token)
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
        elif _cut_down(context) and not _of_family(context, token):
            raise missing
        await end_tokens(tx, [token])
        await context.event(tx, "token:delete", object_id=token.id, data={"user": token.user_id, "name": token.name})
