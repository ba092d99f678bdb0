"""The platform itself: its parts and guarantees, and whether it is alive and ready."""

from typing import Any

from starlette.responses import Response

from gongfang.api.answers import envelope
from gongfang.api.call import Anybody, Call
from gongfang.api.endpoint import Routes
from gongfang.domain.errors import Forbidden
from gongfang.domain.messages import words
from gongfang.domain.values import Permission, Place
from gongfang.wire.models import GuaranteeOut, PartOut, PlatformOut

routes = Routes("platform")
bare = Routes("platform", base="")


@routes.add("GET", "/platform", PlatformOut, "Show the platform", "查看平台状态")
async def show_platform(call: Call) -> Response:
    """Its parts, what this machine can and can't promise, and how much runs."""
    if not call.context.caller.may(Permission.platform_read, Place()):
        raise Forbidden("forbidden", permission=Permission.platform_read.value)
    services = call.services
    state = await services.platform()

    def say(code: str, facts: dict[str, Any]) -> str:
        return words(code, facts, call.language)

    parts = [
        PartOut(
            name=part.name,
            state=part.state,
            message=say(part.reason.code, part.reason.facts) if part.reason else say("OK", {}),
            facts=part.facts,
        )
        for part in state.parts
    ]
    guarantees = [
        GuaranteeOut(name=g.name, enforced=g.enforced, message=say(g.why, dict(g.facts)) if g.why else "")
        for g in state.guarantees
    ]
    data = PlatformOut(
        version=state.version,
        base_domain=services.base_domain,
        edge_url=services.edge_url(services.base_domain),
        edge_https_url=services.https_url(services.base_domain) if services.https_url is not None else None,
        parts=parts,
        guarantees=guarantees,
        apps=state.apps,
        instances=state.instances,
    )
    return call.ok(data)


@bare.add("GET", "/healthz", None, "Is it alive", "存活检查", public=True)
async def healthz(call: Anybody) -> Response:
    """The control plane answers; nothing more is looked at."""
    return call.ok({"status": "ok", "checks": {}})


@bare.add("GET", "/readyz", None, "Is it ready", "就绪检查", public=True)
async def readyz(call: Anybody) -> Response:
    """Ready: the database answers, the edge has acknowledged its configuration, the reconciler swept recently."""
    checks = {
        name: {"ok": fine, "message": words(reason.code, reason.facts, call.language) if reason else None}
        for name, (fine, reason) in (await call.services.ready()).items()
    }
    ready = all(check["ok"] for check in checks.values())
    data = {"status": "ok" if ready else "not_ready", "checks": checks}
    if ready:
        return call.ok(data)
    return envelope(call.visit, 503, "not_ready", data, headers={"retry-after": "1"})
