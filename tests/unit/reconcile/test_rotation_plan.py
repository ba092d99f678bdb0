"""New credentials take over from old ones only when nobody needs those any more."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from gongfang.domain.services import BindingState, ServiceBinding
from gongfang.domain.values import InstanceState, OperationKind, OperationStatus
from gongfang.reconcile.plans.bindings import BindingDecision, BindingPicture, SettleBinding, decide_binding
from gongfang.reconcile.plans.operations import MAX_CRASHES
from gongfang.reconcile.plans.picture import Picture
from tests.unit.reconcile.test_app_plan import START, operation, running

DEADLINE = START + timedelta(minutes=15)


def successor(**changes: Any) -> ServiceBinding:
    values: dict[str, Any] = {
        **{"id": "bnd_2", "service_instance_id": "sin_1", "app_id": "app_1", "tenant_id": "t", "organization_id": "o"},
        **{"space_id": "s", "name": "db", "variables": {}, "variables_given": False, "parameters": None},
        **{"predecessor_id": "bnd_1", "deleting": False, "created_at": START, "created_by": None},
        **{"state": BindingState.ready, "sent": True},
    }
    return ServiceBinding(**(values | changes))


def decided(app: Picture, binding: ServiceBinding | None = None, *, after_s: float = 60) -> BindingDecision:
    kind = OperationKind.rotate if binding is None else OperationKind.bind
    under_way = replace(operation(kind), deadline=DEADLINE)
    now = START + timedelta(seconds=after_s)
    return decide_binding(BindingPicture(binding or successor(), now, under_way, app=app))


def with_one_leaving() -> Picture:
    """All that is wanted runs with what counts now; one of before still answers what it has begun."""
    app = running(2).picture
    new = tuple(replace(i, bound="new") for i in app.instances)
    old = replace(app.instances[0], id="ins_old", state=InstanceState.draining, bound="old")
    return replace(app, bound="new", instances=(*new, old))


def takes_over(decision: BindingDecision) -> bool:
    return isinstance(decision.action, SettleBinding) and decision.action.outcome.take_over


def test_an_instance_that_leaves_keeps_the_old_ones_to_its_end() -> None:
    app = with_one_leaving()
    waits = decided(app)
    assert waits.action is None and waits.wake_at is not None
    assert takes_over(decided(replace(app, instances=app.instances[:-1])))
    assert takes_over(decided(app, after_s=15 * 60))  # and nobody waits for one for ever


def test_a_first_binding_waits_for_no_one_that_leaves() -> None:
    decision = decided(with_one_leaving(), successor(predecessor_id=None))
    assert isinstance(decision.action, SettleBinding) and not decision.action.outcome.take_over


def test_an_app_that_does_not_come_up_keeps_the_old_ones() -> None:
    app = running(1).picture
    ends = (START + timedelta(seconds=n) for n in range(1, MAX_CRASHES + 1))
    crashed = tuple(
        replace(app.instances[0], id=f"ins_{end.second}", state=InstanceState.crashed, bound="new", ended_at=end)
        for end in ends
    )
    decision = decided(replace(app, bound="new", instances=(*app.instances, *crashed)))
    assert isinstance(decision.action, SettleBinding)
    outcome = decision.action.outcome
    assert outcome.end is not None and outcome.end[0] is OperationStatus.failed
    assert outcome.changes["deleting"] and not outcome.take_over
