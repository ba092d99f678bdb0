"""Who is calling, and what an operation works with."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gongfang.domain.clock import Clock
from gongfang.domain.errors import Forbidden, NotFound
from gongfang.domain.permissions import granted
from gongfang.domain.policies import IcpPolicy
from gongfang.domain.quotas import Defaults
from gongfang.domain.values import App, JsonObject, Level, Outcome, Permission, Place, RoleBinding, Token, User
from gongfang.state import Database, Reading, Scope, Writing


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody known, with one token. `source`: the client's address. `claim`: its idempotency key, as stored."""

    user: User
    token: Token
    source: str | None = None
    request_id: str | None = None
    claim: str | None = None
    user_agent: str | None = None

    def permissions(self, place: Place) -> frozenset[Permission]:
        return granted(self.user.bindings, self.token.scopes, place)

    def may(self, permission: Permission, place: Place) -> bool:
        return permission in self.permissions(place)

    def scope(self, permission: Permission) -> Scope:
        """Where the caller has this permission, as the store wants to know it for lists."""

        def places(level: Level) -> frozenset[str]:
            return frozenset(
                b.scope_id for b in self.user.bindings if b.level is level and b.scope_id and permission in self._of(b)
            )

        return Scope(
            everything=any(b.level is Level.platform and permission in self._of(b) for b in self.user.bindings),
            tenants=places(Level.tenant),
            organizations=places(Level.organization),
            spaces=places(Level.space),
        )

    def _of(self, binding: RoleBinding) -> frozenset[Permission]:
        place = Place(
            tenant_id=binding.scope_id if binding.level is Level.tenant else None,
            organization_id=binding.scope_id if binding.level is Level.organization else None,
            space_id=binding.scope_id if binding.level is Level.space else None,
        )
        return granted((binding,), self.token.scopes, place)


@dataclass(slots=True)
class Trace:
    """What a call was about, as far as it came: for the event of one that is refused."""

    place: Place = field(default_factory=Place)
    app: App | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What every operation gets. `database` is the audited one: no change without its event."""

    database: Database
    clock: Clock
    caller: Caller
    base_domain: str
    edge_url: Callable[[str], str]  # host name → address that a browser can open
    trace: Trace = field(default_factory=Trace)
    room: Callable[[], None] = lambda: None  # raises `Unavailable("disk_full")` where the disk gets full
    icp: IcpPolicy = IcpPolicy.optional
    quota_defaults: Defaults = field(default_factory=Defaults)

    def require(self, permission: Permission, place: Place, *, missing: NotFound) -> None:
        """The caller may, or gets an error: `missing` (404) where they may not even read there, else `Forbidden`."""
        self.trace.place = place
        have = self.caller.permissions(place)
        if permission in have:
            return
        if not have & {Permission.app_read, Permission.tree_read, Permission.user_read}:
            raise missing
        raise Forbidden("forbidden", permission=permission.value)

    async def event(
        self,
        tx: Writing,
        tag: str,
        *,
        place: Place | None = None,
        app: App | None = None,
        object_id: str | None = None,
        object_kind: str | None = None,
        object_name: str | None = None,
        outcome: Outcome | None = None,
        before: JsonObject | None = None,
        after: JsonObject | None = None,
        data: JsonObject | None = None,
        made: str | None = None,
    ) -> None:
        """Writes down, in the caller's name, what was done; also under the call's idempotency key, so that a call which
        is sent again after a crash isn't done again. `made`: what the call made, where that isn't the object.

        `before` and `after` are those of the object's changes in this transaction, secrets masked; what is given goes
        on top. The outcome is the last word of the tag's (`requested`, `failed`, …), else `succeeded`.
        """
        at = place or (app.place if app else Place())
        await tx.event(
            tag,
            at=self.clock(),
            actor_id=self.caller.user.id,
            actor_name=self.caller.user.name,
            source=self.caller.source,
            tenant_id=at.tenant_id,
            organization_id=at.organization_id,
            space_id=at.space_id,
            app_id=app.id if app else None,
            object_id=object_id or (app.id if app else None),
            object_kind=object_kind,
            object_name=object_name or (app.name if app and object_id in (None, app.id) else None),
            outcome=outcome,
            before=before,
            after=after,
            data=data,
            request_id=self.caller.request_id,
            token_id=self.caller.token.id,
            user_agent=self.caller.user_agent,
        )
        if self.caller.claim is not None:
            await tx.mark_idempotency(self.caller.claim, made or object_id or (app.id if app else ""))


async def find_app(tx: Reading, context: Context, ref: str, permission: Permission = Permission.app_read) -> App:
    """The app with this id, or with this name where the caller sees only one. 404 where they may not read it.

    Raises `NotFound("app_not_found")`, `Forbidden("forbidden")`, `Conflict("app_name_ambiguous")`.
    """
    from gongfang.domain.errors import Conflict
    from gongfang.domain.ids import is_id

    missing = NotFound("app_not_found", app=ref)
    if is_id(ref):
        app = await tx.one(App, ref)
    else:
        seen = await tx.find(App, scope=context.caller.scope(Permission.app_read), name=ref, limit=2)
        if len(seen) > 1:
            raise Conflict("app_name_ambiguous", app=ref)
        app = seen[0] if seen else None
    if app is None:
        raise missing
    context.trace.app = app
    context.require(permission, app.place, missing=missing)
    return app
