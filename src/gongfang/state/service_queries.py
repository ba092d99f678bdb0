"""What services' reconcilers ask the database, wider than equality: which bindings an app has, and where servers are.

Bindings *count* for an app where they are ready, not deleting, and no successor (rotation) has taken over. The digest
of them is what an app's instances are compared with at every look, so it reads no sealed column.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from gongfang.domain.attachments import BoundService
from gongfang.domain.services import BUILTIN, Offering, ServiceBinding, ServiceBroker, ServiceInstance, ServicePlan
from gongfang.state.database import Reading

_COUNTING = """
    b.state = 'ready' AND NOT b.deleting AND NOT EXISTS (
        SELECT 1 FROM service_bindings s WHERE s.predecessor_id = b.id AND s.state = 'ready' AND NOT s.deleting
    )
"""
_BOUND_OF = text(
    f"""
    SELECT b.app_id, count(*) AS number,
        md5(string_agg(b.id || ':' || b.revision, ',' ORDER BY b.id COLLATE "C") FILTER (WHERE {_COUNTING})) AS digest
    FROM service_bindings b WHERE b.app_id = ANY(CAST(:ids AS varchar[])) GROUP BY b.app_id
    """  # noqa: S608  (this module's own text)
)
_COUNTING_IDS = text(f"SELECT b.id FROM service_bindings b WHERE b.app_id = :app AND {_COUNTING} ORDER BY b.id")  # noqa: S608
_BOUND_SERVERS = text(
    """
    SELECT DISTINCT h.host, unnest(h.open_ports) AS port
    FROM service_bindings b JOIN hosted_instances h ON h.owner = '' AND h.instance_id = b.service_instance_id
    WHERE b.app_id = :app AND b.state = 'ready' AND NOT b.deleting AND h.host IS NOT NULL
    ORDER BY 1, 2
    """
)
_UNSETTLED_SERVICES = text(
    """
    SELECT id FROM service_instances
        WHERE state IN ('creating', 'updating', 'deleting') OR deleting OR generation <> observed_generation
        OR call IS NOT NULL
    UNION SELECT o.service_instance_id FROM operations o JOIN service_instances i ON i.id = o.service_instance_id
        WHERE o.status IN ('pending', 'running') AND o.service_instance_id IS NOT NULL AND o.binding_id IS NULL
    """
)
_UNSETTLED_BINDINGS = text(
    """
    SELECT id FROM service_bindings WHERE state <> 'ready' OR deleting OR call IS NOT NULL
    UNION SELECT b.id FROM service_bindings b
        JOIN hosted_instances h ON h.owner = '' AND h.instance_id = b.service_instance_id
        WHERE h.host IS NOT NULL AND cardinality(b.endpoints) > 0
            AND NOT EXISTS (SELECT 1 FROM unnest(b.endpoints) AS e WHERE split_part(e, ':', 1) = h.host)
    UNION SELECT binding_id FROM operations
        WHERE status IN ('pending', 'running') AND service_instance_id IS NOT NULL AND binding_id IS NOT NULL
    """
)
_WORKLOADS = text("SELECT workload_id FROM hosted_instances WHERE workload_id IS NOT NULL")
_PORTS = text("SELECT port FROM hosted_instances")


@dataclass(frozen=True, slots=True)
class AppBindings:
    """`digest`: of the bindings that count; empty where none does. `count`: all that are there, deleting ones too."""

    digest: str
    count: int


async def bound_of(tx: Reading, app_ids: Sequence[str]) -> dict[str, AppBindings]:
    """By app; apps without a binding are left out."""
    rows = (await tx.connection.execute(_BOUND_OF, {"ids": list(app_ids)})).all()
    return {row.app_id: AppBindings(row.digest or "", int(row.number)) for row in rows}


async def bound_services(tx: Reading, app_id: str) -> list[BoundService]:
    """What counts for an app, with credentials. For a launch, and for whoever may see them."""
    ids = [row.id for row in (await tx.connection.execute(_COUNTING_IDS, {"app": app_id})).all()]
    bindings = await tx.find(ServiceBinding, id=ids) if ids else []
    if not bindings:
        return []
    instances = {i.id: i for i in await tx.find(ServiceInstance, id={b.service_instance_id for b in bindings})}
    offered = {i.offering_id for i in instances.values() if i.offering_id}
    offerings = {o.id: o for o in await tx.find(Offering, id=offered)}
    plans = {p.id: p for p in await tx.find(ServicePlan, id=_plans(instances.values()))}
    brokers = {b.id: b for b in await tx.find(ServiceBroker, id={o.broker_id for o in offerings.values()})}
    found: list[BoundService] = []
    for binding in bindings:
        instance = instances[binding.service_instance_id]
        offering = offerings.get(instance.offering_id or "")
        plan = plans.get(instance.plan_seen or instance.plan_id or "")
        broker = brokers.get(offering.broker_id) if offering else None
        found.append(
            BoundService(
                binding_id=binding.id,
                revision=binding.revision,
                name=binding.name,
                service=offering.name if offering else "user-provided",
                instance_id=instance.id,
                instance_name=instance.name,
                plan=plan.name if plan else None,
                tags=(*(offering.tags if offering else ()), *instance.tags),
                provider="gongfang" if broker is None or broker.id == BUILTIN else broker.name,
                credentials=json.loads(binding.credentials or "{}"),
                variables=binding.variables,
                endpoints=binding.endpoints,
                syslog_drain_url=binding.syslog_drain_url,
                volume_mounts=binding.volume_mounts,
            )
        )
    return found


def _plans(instances: Iterable[ServiceInstance]) -> set[str]:
    return {plan for i in instances if (plan := i.plan_seen or i.plan_id)}


async def unsettled_services(tx: Reading) -> list[str]:
    """Ids of service instances that are not as they should be, or of which an operation has not ended."""
    return [row.id for row in (await tx.connection.execute(_UNSETTLED_SERVICES)).all()]


async def unsettled_bindings(tx: Reading) -> list[str]:
    """The same of bindings; of some only the operation is left, and of some the server has moved."""
    return [row.id for row in (await tx.connection.execute(_UNSETTLED_BINDINGS)).all()]


async def bound_servers(tx: Reading, app_id: str) -> list[tuple[str, int]]:
    """Address and port of each server of ours that an app is bound to: what the firewall lets it reach."""
    rows = (await tx.connection.execute(_BOUND_SERVERS, {"app": app_id})).all()
    return [(row.host, int(row.port)) for row in rows]


async def hosted_workloads(tx: Reading) -> set[str]:
    """Ids of the workloads that servers are, whoever's."""
    return {row.workload_id for row in (await tx.connection.execute(_WORKLOADS)).all()}


async def ports_taken(tx: Reading) -> set[int]:
    """The first port of each server's block."""
    return {int(row.port) for row in (await tx.connection.execute(_PORTS)).all()}
