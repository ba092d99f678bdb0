"""Upkeep of the whole platform, for its administrators."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from gongfang.api.call import Call
from gongfang.api.endpoint import Routes
from gongfang.domain.messages import words
from gongfang.operations.housekeeping import done, may_keep_house
from gongfang.reconcile.gc import GcActor, GcItem
from gongfang.wire.housekeeping import GcItemOut, GcOut, KeysOut

routes = Routes("platform")


def _actor(call: Call) -> GcActor:
    caller = call.context.caller
    return GcActor(caller.user.id, caller.user.name, caller.source, caller.request_id)


@routes.add("POST", "/platform/gc", GcOut, "Clear away what is no longer needed", "清理不再需要的内容")
async def collect(
    call: Call, dry_run: Annotated[bool, Query(description="Only say what would be removed, and why")] = False
) -> Response:
    """Releases, packages, droplets and builds beyond those that are kept; files that nothing refers to; unpacked
    droplets and caches that were not used for long. What is in use is never removed. It also runs by itself."""
    may_keep_house(call.context)
    run = call.services.gc
    report = await done(run(dry_run, _actor(call)) if run else None)

    def out(item: GcItem) -> GcItemOut:
        return GcItemOut(
            kind=item.kind,
            id=item.id,
            app_id=item.app_id,
            app=item.app,
            size=item.size,
            why=words(item.why, {}, call.language),
            reason=item.why,
        )

    data = GcOut(
        dry_run=report.dry_run,
        at=report.at,
        items=[out(item) for item in report.items],
        freed=report.freed,
        problems=[words(p.code, p.facts, call.language) for p in report.problems],
    )
    return call.ok(data)


@routes.add("POST", "/platform/keys/rotate", KeysOut, "Rotate the keys of secrets", "轮换机密密钥")
async def rotate_keys(call: Call) -> Response:
    """A fresh key seals from now on; all secrets in the database are sealed anew with it, and the older keys are thrown
    away. Where an earlier rotation was broken off, that one is ended instead. Nothing stops meanwhile."""
    may_keep_house(call.context)
    run = call.services.rotate_keys
    rotation = await done(run(_actor(call)) if run else None)
    return call.ok(KeysOut(resealed=rotation.resealed, resumed=rotation.resumed))
