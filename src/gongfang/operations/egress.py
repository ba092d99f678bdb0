"""What a space's workloads may reach: shown to everybody in it, changed by its administrators.

They may close the internet and open it again, and name public targets. What lies in private ranges is the plant's own
network, where others' machines are: to open any of it takes an administrator of the platform. One that is open
already may be kept by whoever changes the rest. What no policy can open (`domain.egress.NEVER`) is refused rather
than ignored.
"""

from gongfang.domain.egress import EgressPolicy, Target, parse_target
from gongfang.domain.errors import FieldError, Forbidden, Invalid, NotFound
from gongfang.domain.values import Permission, Place, Space
from gongfang.operations.context import Context
from gongfang.operations.tree import place_of_node
from gongfang.state import Reading
from gongfang.wire.egress import EgressRequest


async def show_egress(context: Context, space_id: str) -> EgressPolicy:
    """The policy that holds; a space without one of its own has the internet and nothing else."""
    async with context.database.reading() as tx:
        await _space(tx, context, space_id, Permission.tree_read)
        return await tx.one(EgressPolicy, space_id) or EgressPolicy(space_id)


async def set_egress(context: Context, space_id: str, request: EgressRequest) -> EgressPolicy:
    """Raises `Invalid` naming the targets that are none, and `Forbidden("egress_private")`."""
    async with context.database.writing() as tx:
        space = await _space(tx, context, space_id, Permission.tree_write)
        if await tx.lock(Space, space_id) is None:
            raise NotFound("space_not_found", id=space_id)
        kept = await tx.one(EgressPolicy, space_id)
        before = kept or EgressPolicy(space_id)
        targets = _targets(request.allow)
        opened = [t for t in targets if not t.public and t not in before.targets]
        if opened and not context.caller.may(Permission.tree_write, Place()):
            raise Forbidden("egress_private", target=str(opened[0]))
        policy = EgressPolicy(space_id, request.internet, tuple(map(str, targets)), context.clock())
        if (policy.internet, policy.allow) == (before.internet, before.allow):
            return before
        if kept is None:
            await tx.insert(policy)
        else:
            await tx.update(
                EgressPolicy, space_id, internet=policy.internet, allow=policy.allow, changed_at=policy.changed_at
            )
        await context.event(
            tx,
            "space:egress:change",
            place=place_of_node(space),
            object_id=space_id,
            object_kind="space",
            object_name=space.name,
            before={"internet": before.internet, "allow": list(before.allow)},
            after={"internet": policy.internet, "allow": list(policy.allow)},
        )
        tx.wake("egress", space_id)
        return policy


async def _space(tx: Reading, context: Context, space_id: str, permission: Permission) -> Space:
    missing = NotFound("space_not_found", id=space_id)
    space = await tx.one(Space, space_id)
    if space is None:
        raise missing
    context.require(permission, place_of_node(space), missing=missing)
    return space


def _targets(texts: list[str]) -> list[Target]:
    """Each once, in order. Raises `Invalid` with all that are none."""
    found: list[Target] = []
    faults: list[FieldError] = []
    for place, text in enumerate(texts):
        try:
            target = parse_target(text)
        except ValueError:
            faults.append(FieldError(f"allow.{place}", "egress_target_wrong", {"target": text}))
            continue
        if target.hopeless:
            faults.append(FieldError(f"allow.{place}", "egress_never", {"target": text}))
        found.append(target)
    if faults:
        raise Invalid("validation_failed", details=faults)
    return sorted(dict.fromkeys(found))
