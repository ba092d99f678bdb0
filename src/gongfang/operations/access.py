"""Who is calling: tokens, log-in, and the first administrator of a fresh platform.

A token is `gf_` and 43 random characters, 256 bits; only its SHA-256 is kept. Unlike a password it can't be guessed,
so a plain hash is enough and looking one up is one index read.

Log-in failures are counted a name and source address: from the fifth on the name is locked for that source for 15
minutes, twice as long after each further failure. Who guesses from one place so locks out only that place. Fifty
failures of a user from anywhere lock it for everybody for 15 minutes: guessing from many places is slow, too, and
never ends in a lock for good. A locked user, an unknown one and a wrong password get the same answer after the same
work; before any work, a source with too many failures of whatever names is sent away (`throttle`).
"""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gongfang.domain.clock import Clock
from gongfang.domain.errors import NotFound, Unauthenticated
from gongfang.domain.ids import new_id
from gongfang.domain.values import Level, Organization, Role, RoleBinding, Space, Tenant, Token, User
from gongfang.operations.context import Context
from gongfang.operations.passwords import NO_PASSWORD, matches
from gongfang.operations.throttle import Throttle, source_of
from gongfang.operations.tree import DEFAULT
from gongfang.state import Database, LoginRecord, Reading, Writing
from gongfang.wire.models import LoginRequest

ADMIN = "admin"
NOBODY = "-"  # an id that nobody has
FAILURES_ALLOWED = 5
FAILURES_FROM_EVERYWHERE = 50
FIRST_LOCK = timedelta(minutes=15)
LONGEST_LOCK = timedelta(hours=24)
_USED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token and, this once, its text."""

    token: Token
    text: str


def hash_token(text: str) -> str:
    """What is kept of a token's text: SHA-256 in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def fresh_token() -> str:
    """The text of a new token."""
    return f"gf_{secrets.token_urlsafe(32)}"


async def issue(tx: Writing, token: Token) -> IssuedToken:
    """Writes a token with a fresh text."""
    text = fresh_token()
    await tx.insert(token, hash=hash_token(text))
    return IssuedToken(token, text)


async def end_tokens(tx: Writing, tokens: Iterable[Token]) -> None:
    """Ends them and what was made with them, which the database would end without a word; streams end, too."""
    ended = list(tokens)
    newest = ended
    while newest:
        newest = await tx.find(Token, parent_id=[t.id for t in newest])
        ended += newest
    if ended:
        await tx.delete(Token, id={t.id for t in ended})
    for user_id in {t.user_id for t in ended}:
        tx.wake("access", user_id)


async def authenticate(database: Database, clock: Clock, bearer: str) -> tuple[User, Token]:
    """The user and the token of this text. `last_used_at` is written at most once a minute.

    Raises `Unauthenticated`: `token_invalid`, `token_expired`, `user_disabled`.
    """
    found = await database.token(hash_token(bearer))
    if found is None:
        raise Unauthenticated("token_invalid")
    now = clock()
    if found.token.expires_at is not None and found.token.expires_at <= now:
        raise Unauthenticated("token_expired")
    if found.user.disabled:
        raise Unauthenticated("user_disabled")
    used = found.token.last_used_at
    if used is None or now - used >= _USED_EVERY:
        async with database.writing() as tx:
            await tx.update(Token, found.token.id, last_used_at=now)
    return found.user, found.token


def lock_time(failures: int) -> timedelta | None:
    """How long a user is locked after so many failures in a row; None while it is not."""
    if failures < FAILURES_ALLOWED:
        return None
    return min(LONGEST_LOCK, FIRST_LOCK * 2 ** min(failures - FAILURES_ALLOWED, 16))


async def login(
    database: Database,
    clock: Clock,
    request: LoginRequest,
    throttle: Throttle,
    *,
    source: str | None = None,
    request_id: str | None = None,
    user_agent: str | None = None,
) -> IssuedToken:
    """A token for a name and a password. Each failure leaves an event `user:login:failed`.

    Raises `Unauthenticated("login_failed")`, whatever was wrong; `TooMany("login_too_often")` and
    `Unavailable("login_busy")` before anything is looked at.
    """
    now = clock()
    place = source_of(source)
    throttle.check(place, now)
    async with database.reading() as tx:
        record = await tx.login(request.username)
    right = await matches(record.password_hash if record else None, request.password.get_secret_value())
    name = hash_name(request.username)
    async with database.writing() as tx:
        # Counted under the row's lock and decided by what stands there now: of many guesses at once, those behind the
        # fifth are refused even where one of them is right. An unknown name is asked for and counted all the same.
        held = await _held(tx, record, request.username)
        failed, locked_until = await tx.login_failures(name, place)
        locked = any(until is not None and until > now for until in (locked_until, held and held.locked_until))
        granted = held if right and held is not None and not locked and not held.user.disabled else None
        user = held.user if held else None
        await tx.event(
            "user:login:succeeded" if granted else "user:login:failed",
            at=now,
            actor_id=user.id if user else None,
            actor_name=request.username[:64],
            source=source,
            object_id=user.id if user else None,
            data={} if granted else {"locked": locked},
            request_id=request_id,
            user_agent=user_agent,
        )
        if granted:
            await tx.note_login(granted.user.id, failed=0, locked_until=None)
            await tx.forget_login_failures(name_hash=name, source=place)
            return await issue(tx, _login_token(granted.user, request, now))
        if not locked and not right:
            lock = lock_time(failed + 1)
            until = now + lock if lock else None
            await tx.note_login_failure(name, place, failed=failed + 1, locked_until=until, now=now)
            everywhere = (held.failed_logins if held else 0) + 1
            full = everywhere >= FAILURES_FROM_EVERYWHERE
            await tx.note_login(
                user.id if user else NOBODY,
                failed=0 if full else everywhere,
                locked_until=now + FIRST_LOCK if full else None,
            )
        await tx.forget_login_failures(before=now - 2 * LONGEST_LOCK)
    throttle.note(place, now)
    raise Unauthenticated("login_failed")


def _login_token(user: User, request: LoginRequest, now: datetime) -> Token:
    return Token(
        id=new_id("tok"),
        user_id=user.id,
        name=request.name,
        scopes=(),
        created_at=now,
        expires_at=now + timedelta(seconds=request.expires_in_s),
        last_used_at=None,
        from_login=True,
    )


async def _held(tx: Writing, record: LoginRecord | None, name: str) -> LoginRecord | None:
    held = await tx.lock(User, record.user.id if record else NOBODY)
    again = await tx.login(name)
    return again if held is not None else None


def hash_name(name: str) -> str:
    """Under what the failures of a name are counted: whatever was typed, of one length."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


async def confirm(database: Database, clock: Clock, user: User, token: Token) -> None:
    """Whether somebody who was known when a long call began still is: asked while it waits, streams or uploads.

    Raises `Unauthenticated`: as `authenticate`, and `roles_changed` where a role was taken away in the meantime.
    """
    async with database.reading() as tx:
        now_token = await tx.one(Token, token.id)
        now_user = await tx.one(User, user.id)
    if now_token is None or now_user is None:
        raise Unauthenticated("token_invalid")
    if now_token.expires_at is not None and now_token.expires_at <= clock():
        raise Unauthenticated("token_expired")
    if now_user.disabled:
        raise Unauthenticated("user_disabled")
    if not {b.id for b in user.bindings} <= {b.id for b in now_user.bindings}:
        raise Unauthenticated("roles_changed")


async def own_user(context: Context) -> User:
    """The caller, as stored now."""
    async with context.database.reading() as tx:
        user = await tx.one(User, context.caller.user.id)
    if user is None:
        raise NotFound("user_not_found", user=context.caller.user.id)
    return user


async def bootstrap(database: Database, clock: Clock, timezone: str) -> str | None:
    """Fills a fresh platform: tenant, organisation and space `default`, the user `admin` (without a password until
    one is set), and its token, which is answered this once. On any other platform it does nothing and answers None.
    """
    async with database.writing() as tx:
        if await tx.find(User, limit=1):
            return None
        now = clock()
        tenant = Tenant(new_id("ten"), DEFAULT, timezone, now)
        organization = Organization(new_id("org"), tenant.id, DEFAULT, now)
        space = Space(new_id("spc"), tenant.id, organization.id, DEFAULT, now)
        for node in (tenant, organization, space):
            await tx.insert(node)
        await tx.event("platform:bootstrap", at=now, actor_name="platform", tenant_id=tenant.id)
        return await _admin_token(tx, await _make_admin(tx, now), now)


async def mint_admin_token(database: Database, clock: Clock) -> str:
    """A new token of `admin`, for a lost one; the user is made again, or enabled and bound again, where need be.

    For the machine's own administrator: whoever can call this can read the database anyway.
    """
    async with database.writing() as tx:
        now = clock()
        found = await tx.find(User, name=ADMIN, limit=1)
        user = found[0] if found else await _make_admin(tx, now)
        if user.disabled:
            await tx.update(User, user.id, disabled=False)
        if not is_platform_admin(user):
            await tx.insert(_admin_binding(user))
        await tx.event("user:token:recovered", at=now, actor_name="platform", object_id=user.id)
        return await _admin_token(tx, user, now)


def is_platform_admin(user: User) -> bool:
    return any(b.role is Role.administrator and b.level is Level.platform for b in user.bindings)


def _admin_binding(user: User) -> RoleBinding:
    return RoleBinding(new_id("rol"), user.id, Role.administrator, Level.platform, None)


async def _make_admin(tx: Writing, now: datetime) -> User:
    user = User(new_id("usr"), ADMIN, "", disabled=False, created_at=now)
    await tx.insert(user, password_hash=NO_PASSWORD)
    binding = _admin_binding(user)
    await tx.insert(binding)
    return replace(user, bindings=(binding,))


async def _admin_token(tx: Writing, user: User, now: datetime) -> str:
    token = Token(new_id("tok"), user.id, "admin-token", (), now, expires_at=None, last_used_at=None)
    return (await issue(tx, token)).text


async def enabled_platform_admins(tx: Reading) -> list[str]:
    """Ids of the users who could still do everything, in one order for all (they are locked in it)."""
    bindings = await tx.find(RoleBinding, role=Role.administrator, level=Level.platform)
    if not bindings:
        return []
    users = await tx.find(User, id=[b.user_id for b in bindings], disabled=False)
    return [u.id for u in users]
