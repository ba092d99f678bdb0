"""Users and their roles.

A user belongs to no tenant; roles tie them to places. An administrator sees and changes a user only as far as the
user's roles lie within what the administrator administers: who is bound anywhere else (or nowhere) can be changed by
the platform's administrators alone, since a new password or token for them would reach beyond. What a user may
elsewhere is not shown either.

A token that is cut down to scopes gives nobody more than itself: it grants only roles whose permissions are all among
its scopes, and sets the passwords of such users only.

A new password ends the tokens that came from a log-in, but for the one that calls; API tokens stay, since programs
hang on them, unless `end_tokens` asks for their end, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from gongfang.domain.errors import Conflict, Forbidden, NotFound, invalid_field
from gongfang.domain.hosting import HostedInstance
from gongfang.domain.ids import new_id
from gongfang.domain.permissions import PERMISSIONS
from gongfang.domain.values import (
    JsonObject,
    Level,
    Organization,
    Permission,
    Place,
    Role,
    RoleBinding,
    Space,
    Tenant,
    Token,
    User,
)
from gongfang.operations.access import enabled_platform_admins, end_tokens, hash_name, is_platform_admin
from gongfang.operations.context import Context
from gongfang.operations.passwords import hashed
from gongfang.operations.tree import NODES, default_node, naming, place_of
from gongfang.state import Reading, Scope, Writing
from gongfang.wire.models import RoleRequest, UserChange, UserRequest


async def _places_below(tx: Reading, scope: Scope) -> set[str]:
    """Ids of all tenants, organisations and spaces within a scope that is not everything."""
    found = set(scope.tenants | scope.organizations | scope.spaces)
    if scope.tenants:
        found |= {o.id for o in await tx.find(Organization, tenant_id=scope.tenants)}
        found |= {s.id for s in await tx.find(Space, tenant_id=scope.tenants)}
    if scope.organizations:
        found |= {s.id for s in await tx.find(Space, organization_id=scope.organizations)}
    return found


async def list_users(context: Context, *, after: str | None = None, limit: int = 50) -> list[User]:
    """Users with a role where the caller may read users; the platform's readers see all, everybody sees themselves."""
    scope = context.caller.scope(Permission.user_read)
    async with context.database.reading() as tx:
        if scope.everything:
            return await tx.find(User, after=after, limit=limit)
        # Roles elsewhere are left out below: what a user may in another tenant is that tenant's matter.
        places = await _places_below(tx, scope)
        bindings = await tx.find(RoleBinding, scope_id=places) if places else []
        ids = {b.user_id for b in bindings} | {context.caller.user.id}
        found = await tx.find(User, id=ids, after=after, limit=limit)
        return [_shown(context, user, places) for user in found]


async def locks(context: Context, users: Sequence[User]) -> Mapping[str, datetime]:
    """Of these users, those whom failed log-ins keep out, and until when: told to those who may write them."""
    scope = context.caller.scope(Permission.user_write)
    async with context.database.reading() as tx:
        if not scope.everything:
            places = await _places_below(tx, scope)
            users = [u for u in users if any(b.scope_id in places for b in u.bindings)]
        return await tx.locks({u.id: hash_name(u.name) for u in users}, context.clock()) if users else {}


def _shown(context: Context, user: User, places: set[str]) -> User:
    """The user with the roles that the caller may know of."""
    if user.id == context.caller.user.id:
        return user
    return replace(user, bindings=tuple(b for b in user.bindings if b.scope_id in places))


async def _as_seen(tx: Reading, context: Context, user: User) -> User:
    scope = context.caller.scope(Permission.user_read)
    return user if scope.everything else _shown(context, user, await _places_below(tx, scope))


async def find_user(tx: Reading, context: Context, user_id: str) -> User:
    """A user whom the caller may read. Raises `NotFound("user_not_found")`."""
    user = await tx.one(User, user_id)
    if user is not None and user.id != context.caller.user.id:
        scope = context.caller.scope(Permission.user_read)
        if not scope.everything:
            places = await _places_below(tx, scope)
            user = user if any(b.scope_id in places for b in user.bindings) else None
    if user is None:
        raise NotFound("user_not_found", user=user_id)
    return user


async def show_user(context: Context, user_id: str) -> User:
    async with context.database.reading() as tx:
        return await _as_seen(tx, context, await find_user(tx, context, user_id))


async def require_administers(tx: Reading, context: Context, user: User) -> None:
    """The caller administers every place that the user is bound to; of a user without roles, the platform."""
    places = [await place_of(tx, b.level, b.scope_id) for b in user.bindings] or [Place()]
    if not all(context.caller.may(Permission.user_write, place or Place()) for place in places):
        raise Forbidden("forbidden", permission=Permission.user_write.value)


def _require_scopes(context: Context, roles: Iterable[Role]) -> None:
    """The caller's token is not cut down below these roles. Raises `Forbidden("scopes_below_role")`."""
    scopes = context.caller.token.scopes
    missing = frozenset[Permission]().union(*(PERMISSIONS[role] for role in roles)) - set(scopes)
    if scopes and missing:
        raise Forbidden("scopes_below_role", missing=", ".join(sorted(missing)[:3]))


async def create_user(context: Context, request: UserRequest) -> User:
    """A user with a password and first roles. Without roles only the platform's administrators may make one.

    Raises `Conflict("name_taken")`, and what `grant_role` raises.
    """
    if not request.roles or not _administers_somewhere(context):
        _require_platform(context)
    password_hash = await hashed(request.password.get_secret_value(), name=request.name)
    async with naming(context, request.name) as tx:
        user = User(new_id("usr"), request.name, request.display_name, disabled=False, created_at=context.clock())
        await tx.insert(user, password_hash=password_hash)
        for role in request.roles:
            await _grant(tx, context, await _again(tx, user.id), role)
        await context.event(tx, "user:create", object_id=user.id, data={"name": user.name})
        return await _again(tx, user.id)


def _administers_somewhere(context: Context) -> bool:
    scope = context.caller.scope(Permission.user_write)
    return bool(scope.everything or scope.tenants or scope.organizations or scope.spaces)


def _require_platform(context: Context) -> None:
    if not context.caller.may(Permission.user_write, Place()):
        raise Forbidden("forbidden", permission=Permission.user_write.value)


async def _again(tx: Reading, user_id: str) -> User:
    user = await tx.one(User, user_id)
    if user is None:
        raise NotFound("user_not_found", user=user_id)
    return user


async def change_user(context: Context, user_id: str, change: UserChange) -> User:
    """Display name, password, disabled or not. Everybody may change the first two of themselves.

    A new password (or `unlock`) also ends a lock after failed log-ins, and the tokens of log-ins. Raises
    `Conflict("last_administrator")`, `Invalid` where the password is easily guessed.
    """
    password = change.password.get_secret_value() if change.password else None
    if password is not None:
        # Who may not is told so before a hash is made for them; it is asked again beside the change itself.
        async with context.database.reading() as tx:
            user = await find_user(tx, context, user_id)
            if user.id != context.caller.user.id:
                await require_administers(tx, context, user)
        password_hash = await hashed(password, name=user.name)
    else:
        password_hash = None
    async with context.database.writing() as tx:
        user = await find_user(tx, context, user_id)
        if change.disabled:
            await _hold_administrators(tx, user)  # before the user: who disable each other at once wait in one line
        if await tx.lock(User, user.id) is None:
            raise NotFound("user_not_found", user=user_id)
        user = await _again(tx, user.id)
        own = user.id == context.caller.user.id and change.disabled is None and not context.caller.token.scopes
        if not own:
            await require_administers(tx, context, user)
        if password_hash is not None:
            _require_scopes(context, (b.role for b in user.bindings))
        changes: JsonObject = {}
        if change.display_name is not None:
            changes["display_name"] = change.display_name
        if change.disabled is not None and change.disabled != user.disabled:
            if change.disabled:
                await _not_the_last(tx, user)
            changes["disabled"] = change.disabled
        if changes:
            await tx.update(User, user.id, **changes)
        await _let_in(tx, user, password_hash, change.unlock)
        ended = await _end_tokens(tx, context, user, password=password_hash is not None, every=change.end_tokens)
        data = {
            **changes,
            **({"password": "***"} if password_hash else {}),
            **({"unlocked": True} if change.unlock else {}),
            **({"tokens_ended": ended} if ended else {}),
        }
        await context.event(tx, "user:change", object_id=user.id, data=data)
        tx.wake("access", user.id)
        return await _as_seen(tx, context, await _again(tx, user.id))


async def _let_in(tx: Writing, user: User, password_hash: str | None, unlock: bool) -> None:
    if password_hash is not None:
        await tx.set_password(user.id, password_hash)
    if password_hash is not None or unlock:
        await tx.note_login(user.id, failed=0, locked_until=None)
        await tx.forget_login_failures(name_hash=hash_name(user.name))


async def _end_tokens(tx: Writing, context: Context, user: User, *, password: bool, every: bool) -> int:
    """Ends those that a new password (or the wish to end every one) ends; how many."""
    if not (password or every):
        return 0
    kinds: JsonObject = {} if every else {"from_login": True}
    tokens = await tx.find(Token, user_id=user.id, **kinds)
    ended = [t for t in tokens if t.id != context.caller.token.id]
    await end_tokens(tx, ended)
    return len(ended)


async def delete_user(context: Context, user_id: str) -> None:
    """With roles and tokens. Raises `Conflict`: `last_administrator`, `user_has_services`."""
    async with context.database.writing() as tx:
        user = await find_user(tx, context, user_id)
        await require_administers(tx, context, user)
        await _not_the_last(tx, user)
        hosted = await tx.count(HostedInstance, owner=user.id)
        if hosted:  # of another platform, which would never reach them again
            raise Conflict("user_has_services", user=user.name, count=hosted)
        # One by one, so that the event tells of them.
        await end_tokens(tx, await tx.find(Token, user_id=user.id))
        await tx.delete(RoleBinding, user_id=user.id)
        await tx.delete(User, id=user.id)
        await context.event(tx, "user:delete", object_id=user.id, data={"name": user.name})
        tx.wake("access", user.id)


async def _hold_administrators(tx: Writing, user: User) -> None:
    """All of the platform, in one order, where the user is one."""
    if is_platform_admin(user):
        for admin_id in await enabled_platform_admins(tx):
            await tx.lock(User, admin_id)


async def _not_the_last(tx: Writing, user: User) -> None:
    """Somebody else administers the platform. All of them are locked first: of two who remove each other at the same
    time, the second sees what the first did."""
    await _hold_administrators(tx, user)
    if is_platform_admin(user) and not set(await enabled_platform_admins(tx)) - {user.id}:
        raise Conflict("last_administrator", user=user.name)


async def grant_role(context: Context, user_id: str, request: RoleRequest) -> RoleBinding:
    """Binds a role at a level; nobody can bind one where they don't administer. The same again gives the same.

    Raises `NotFound` of the user or the place, `Forbidden`.
    """
    async with context.database.writing() as tx:
        user = await find_user(tx, context, user_id)
        # Held, so that the tokens and passwords that others give meanwhile are checked against the roles there will be.
        if await tx.lock(User, user.id) is None:
            raise NotFound("user_not_found", user=user_id)
        return await _grant(tx, context, await _again(tx, user.id), request)


async def _grant(tx: Writing, context: Context, user: User, request: RoleRequest) -> RoleBinding:
    scope_id, place = await _place_asked(tx, context, request)
    missing = NotFound(f"{request.level.value}_not_found", id=scope_id or "")
    if request.level is Level.platform:
        _require_platform(context)
    else:
        context.require(Permission.user_write, place, missing=missing)
        # Held, so that it isn't deleted before the binding is there: no binding may name a place that is gone.
        if await tx.lock(NODES[request.level], scope_id or "") is None:
            raise missing
    _require_scopes(context, [request.role])
    same = [b for b in user.bindings if (b.role, b.level, b.scope_id) == (request.role, request.level, scope_id)]
    if same:
        return same[0]
    binding = RoleBinding(new_id("rol"), user.id, request.role, request.level, scope_id)
    await tx.insert(binding)
    data = {"user": user.name, "role": request.role.value, "level": request.level.value, "scope_id": scope_id}
    await context.event(tx, "role:grant", place=place, object_id=binding.id, data=data)
    return binding


async def _place_asked(tx: Reading, context: Context, request: RoleRequest) -> tuple[str | None, Place]:
    """The id and the place of a level; where no id is given, the one that calls mean by default."""
    if request.level is Level.platform:
        if request.scope_id is not None:
            raise invalid_field("scope_id", "scope_of_platform")
        return None, Place()
    scope_id = request.scope_id or await _default_id(tx, context, request.level)
    place = await place_of(tx, request.level, scope_id)
    if place is None:
        raise NotFound(f"{request.level.value}_not_found", id=scope_id)
    return scope_id, place


async def _default_id(tx: Reading, context: Context, level: Level) -> str:
    match level:
        case Level.tenant:
            return (await default_node(tx, context, Tenant, None)).id
        case Level.organization:
            return (await default_node(tx, context, Organization, None)).id
        case _:
            return (await default_node(tx, context, Space, None)).id


async def revoke_role(context: Context, user_id: str, binding_id: str) -> None:
    """Raises `NotFound("role_not_found")`, `Conflict("last_administrator")`."""
    async with context.database.writing() as tx:
        user = await find_user(tx, context, user_id)
        binding = next((b for b in user.bindings if b.id == binding_id), None)
        if binding is None:
            raise NotFound("role_not_found", id=binding_id)
        place = await place_of(tx, binding.level, binding.scope_id)
        if not context.caller.may(Permission.user_write, place or Place()):
            raise Forbidden("forbidden", permission=Permission.user_write.value)
        if binding.level is Level.platform:
            rest = [b for b in user.bindings if b.id != binding.id]
            if not any((b.role, b.level) == (binding.role, binding.level) for b in rest):
                await _not_the_last(tx, user)
        await tx.delete(RoleBinding, id=binding.id)
        data = {"user": user.name, "role": binding.role.value, "level": binding.level.value}
        await context.event(tx, "role:revoke", place=place, object_id=binding.id, data=data)
        tx.wake("access", user.id)
