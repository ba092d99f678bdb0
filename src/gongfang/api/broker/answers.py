"""The one table from a broker's answers to statuses and bodies of the Open Service Broker API. Pure.

An operation is called `KIND.ID`, so that a poll says what it is of: only a delete that has ended is `410`, and anything
else that is not there is `404`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gongfang.brokers.interface import (
    Accepted,
    Answer,
    Bound,
    Catalog,
    CatalogOffering,
    CatalogPlan,
    Done,
    Failure,
    Gone,
    NotSent,
    Polled,
    Provisioned,
    Refused,
    Unsure,
    Updated,
)
from gongfang.domain.messages import words
from gongfang.domain.services import CallKind
from gongfang.domain.values import JsonObject
from gongfang.reconcile.builtin import KnownInstance

DELETES = frozenset({CallKind.deprovision, CallKind.unbind})
POLL_AGAIN_S = 1
_NEAR = (
    "Addresses in its credentials are of the platform's own machine: what is bound must run there, or the endpoint "
    "must be opened to it."
)


@dataclass(frozen=True, slots=True)
class Said:
    """One answer over HTTP."""

    status: int
    body: JsonObject = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def said(kind: CallKind, answer: Answer) -> Said:
    """Of a request that changes something."""
    match answer:
        case Done(Gone()):
            return Said(410, {})
        case Done(body, created):
            return Said(201 if created and kind in (CallKind.provision, CallKind.bind) else 200, _body(body))
        case Accepted(operation, dashboard_url):
            told = {"operation": f"{kind.value}.{operation}" if operation is not None else None}
            return Said(202, _present({**told, "dashboard_url": dashboard_url}))
        case _:
            return failed(answer)


def failed(answer: Failure) -> Said:
    match answer:
        case Refused(status, error, description, usable, repeatable, retry_after):
            body = {"error": error, "description": description}
            return Said(
                status,
                _present({**body, "instance_usable": usable, "update_repeatable": repeatable}),
                _retry(retry_after),
            )
        case Unsure(reason, _, retry_after):
            return Said(500, {"description": words(reason.code, reason.facts, "en")}, _retry(retry_after))
        case NotSent(reason, retry_after):
            return Said(503, {"description": words(reason.code, reason.facts, "en")}, _retry(retry_after))


def polled(operation: CallKind, known: KnownInstance | None, binding_id: str | None, answer: Polled | Failure) -> Said:
    """Of a poll. A delete has ended where what it was of is not there, or is there anew."""
    if not isinstance(answer, Polled):
        return failed(answer)
    there = known if binding_id is None or known is None else known.bindings.get(binding_id)
    anew = operation in DELETES and there is not None and not there.deleting
    if anew or answer.state == "gone":
        return Said(410, {}) if operation in DELETES else absent()
    body = _present(
        {
            "state": answer.state,
            "description": answer.description,
            "instance_usable": answer.usable,
            "update_repeatable": answer.repeatable,
        }
    )
    return Said(200, body, _retry(POLL_AGAIN_S) if answer.state == "in progress" else {})


def absent() -> Said:
    return Said(404, {"description": words("osb_absent", {}, "en")})


def fetched_instance(known: KnownInstance | None, answer: Provisioned | Failure) -> Said:
    if not isinstance(answer, Provisioned):
        return failed(answer)
    if known is None or not known.there:
        return absent()
    if known.at_work:
        return failed(Refused(422, "ConcurrencyError", words("osb_at_work", {}, "en"), retry_after=POLL_AGAIN_S))
    own = {"service_id": known.service_id, "plan_id": known.plan_id, "parameters": known.parameters}
    return Said(200, {**own, **_body(answer)})


def fetched_binding(known: KnownInstance | None, binding_id: str, answer: Bound | Failure) -> Said:
    if not isinstance(answer, Bound):
        return failed(answer)
    binding = known.bindings.get(binding_id) if known is not None else None
    return Said(200, {**_body(answer), **({"parameters": binding.parameters} if binding is not None else {})})


# --- bodies ----------------------------------------------------------------------------------------------------------


def _body(body: Provisioned | Updated | Bound | Gone) -> JsonObject:
    match body:
        case Gone():
            return {}
        case Bound():
            return _bound(body)
        case Provisioned() | Updated():
            metadata = _present({"labels": dict(body.labels) or None, "attributes": body.attributes or None})
            return _present({"dashboard_url": body.dashboard_url, "metadata": metadata or None})


def _bound(body: Bound) -> JsonObject:
    moments = {"expires_at": body.expires_at, "renew_before": body.renew_before}
    metadata = {name: at.isoformat() for name, at in moments.items() if at is not None}
    return _present(
        {
            "credentials": body.credentials,
            "endpoints": _endpoints(body.endpoints) or None,
            "syslog_drain_url": body.syslog_drain_url,
            "route_service_url": body.route_service_url,
            "volume_mounts": list(body.volume_mounts) or None,
            "metadata": metadata or None,
        }
    )


def _endpoints(endpoints: tuple[str, ...]) -> list[JsonObject]:
    by_host: dict[str, list[str]] = {}
    for endpoint in endpoints:
        host, _, port = endpoint.rpartition(":")
        by_host.setdefault(host, []).append(port)
    return [{"host": host, "ports": ports, "protocol": "tcp"} for host, ports in by_host.items()]


def catalogue(catalog: Catalog) -> JsonObject:
    return {"services": [_offering(offering) for offering in catalog.offerings]}


def _offering(offering: CatalogOffering) -> JsonObject:
    why = offering.unavailable
    unavailable = words(why.code, why.facts, "en") if why is not None else ""
    long = " ".join(part for part in (f"{offering.description}.", _NEAR, unavailable) if part)
    return _present(
        {
            "id": offering.id,
            "name": offering.name,
            "description": offering.description,
            "tags": list(offering.tags),
            "requires": list(offering.requires),
            "bindable": offering.bindable,
            "instances_retrievable": offering.instances_retrievable,
            "bindings_retrievable": offering.bindings_retrievable,
            "allow_context_updates": offering.allow_context_updates,
            "plan_updateable": offering.plan_updateable,
            "metadata": {"longDescription": long, **offering.metadata},
            "plans": [_plan(plan) for plan in offering.plans],
        }
    )


def _plan(plan: CatalogPlan) -> JsonObject:
    maintenance = {"version": plan.maintenance_version, "description": plan.maintenance_description}
    return _present(
        {
            "id": plan.id,
            "name": plan.name,
            "description": plan.description,
            "free": plan.free,
            "bindable": plan.bindable,
            "binding_rotatable": plan.binding_rotatable,
            "plan_updateable": plan.plan_updateable,
            "schemas": plan.schemas or None,
            "maximum_polling_duration": plan.maximum_polling_s,
            "maintenance_info": _present(maintenance) if plan.maintenance_version is not None else None,
            "metadata": plan.metadata or None,
        }
    )


def _present(fields: Mapping[str, Any]) -> JsonObject:
    return {name: value for name, value in fields.items() if value is not None}


def _retry(after: float | None) -> Mapping[str, str]:
    return {"retry-after": f"{max(1, round(after))}"} if after is not None else {}
