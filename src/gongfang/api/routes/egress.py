"""What a space's apps may reach."""

from starlette.responses import Response

from gongfang.api.call import Call
from gongfang.api.endpoint import Routes
from gongfang.domain.egress import EgressPolicy
from gongfang.operations import egress
from gongfang.wire.egress import EgressOut, EgressRequest

routes = Routes("tree")


def _present(call: Call, policy: EgressPolicy) -> Response:
    enforced = call.services.runtime.capabilities().enforces("own_network")
    return call.ok(
        EgressOut(
            space_id=policy.id,
            internet=policy.internet,
            allow=list(policy.allow),
            changed_at=policy.changed_at,
            enforced=enforced,
        )
    )


@routes.add("GET", "/spaces/{space_id}/egress", EgressOut, "Show what a space's apps may reach", "查看空间的出站策略")
async def show_egress(call: Call, space_id: str) -> Response:
    return _present(call, await egress.show_egress(call.context, space_id))


@routes.add("PUT", "/spaces/{space_id}/egress", EgressOut, "Set what a space's apps may reach", "设置空间的出站策略")
async def set_egress(call: Call, space_id: str, body: EgressRequest) -> Response:
    """Holds at once, for what runs too. Private ranges are opened by an administrator of the platform only."""
    return _present(call, await egress.set_egress(call.context, space_id, body))
