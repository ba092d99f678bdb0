"""The nouns of middleware as the platform sees them: brokers, what they offer, service instances and bindings.

The servers that our own broker runs are other nouns (`gongfang.domain.hosting`): the two meet only in the protocol of
brokers. Operations write desired state, `reconcile/services.py` and `reconcile/bindings.py` what they observe.
Parameters and credentials are JSON texts, since they are sealed at rest; nothing else in here is secret.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from gongfang.domain.errors import Reason
from gongfang.domain.values import JsonObject, OperationKind, Place

BUILTIN = "builtin"
"""Id (and name) of the broker that the platform itself is."""

USER_PROVIDED = "user-provided"
"""The service of no broker: somebody else runs it, and says what apps need to know."""

VERBS = {
    OperationKind.create_service: "create",
    OperationKind.configure_service: "configure",
    OperationKind.delete_service: "delete",
    OperationKind.bind: "bind",
    OperationKind.unbind: "unbind",
    OperationKind.rotate: "rotate",
    OperationKind.backup_service: "backup",
    OperationKind.restore_service: "restore",
}
"""What a service's operation is called in tags of events: `service:{verb}:{end}`."""


class ServiceState(StrEnum):
    """Of a service instance, as the platform sees it."""

    creating = "creating"  # asked for; not there yet
    ready = "ready"  # usable. With a reason: the last change failed, the service is as before
    updating = "updating"
    broken = "broken"  # there, and said to be unusable, or its deletion was refused
    failed = "failed"  # never came to be; nothing is there (or an orphan row takes it away). Only deletion is left
    deleting = "deleting"


class BindingState(StrEnum):
    creating = "creating"
    ready = "ready"
    failed = "failed"
    deleting = "deleting"


class CallKind(StrEnum):
    provision = "provision"
    update = "update"
    deprovision = "deprovision"
    bind = "bind"
    unbind = "unbind"


@dataclass(frozen=True, slots=True)
class BrokerCall:
    """What was asked of a broker and has not ended. Written *before* the request leaves, so that whoever comes after a
    crash knows that it may have arrived.

    `until`: polling is given up then. `accepted`: a 202 came, `operation` is its string (None: it had none).
    `attempts`: sent or polled without a definite answer. `next_at`: not before.
    """

    kind: CallKind
    began_at: datetime
    until: datetime
    accepted: bool = False
    operation: str | None = None
    attempts: int = 0
    next_at: datetime | None = None

    def looked_at(self, now: datetime, deadline: datetime | None) -> datetime:
        """When it is looked at again: the first of its moments that is still to come (`deadline`: of who asked for it),
        else at once."""
        moments = [moment for moment in (self.next_at, self.until, deadline) if moment is not None and moment > now]
        return min(moments, default=now)


@dataclass(frozen=True, slots=True)
class ServiceBroker:
    """`url` None: built-in. `tenant_id`, `organization_id` both None: the platform's. `private`: an administrator of
    the platform registered it, so it may lie in private networks."""

    id: str
    tenant_id: str | None
    organization_id: str | None
    name: str
    url: str | None
    username: str | None
    password: str | None = field(repr=False)
    private: bool
    created_at: datetime
    created_by: str | None
    catalog_etag: str | None = None
    refreshed_at: datetime | None = None
    reason: Reason | None = None
    removing: bool = False


@dataclass(frozen=True, slots=True)
class Offering:
    """A service of a broker's catalogue. `gone`: no longer in it; kept while something is of it. `unavailable`: a
    built-in one that this machine can't run, and why."""

    id: str
    broker_id: str
    catalog_id: str
    name: str
    description: str
    tags: tuple[str, ...]
    requires: tuple[str, ...]
    bindable: bool
    instances_retrievable: bool
    bindings_retrievable: bool
    allow_context_updates: bool
    plan_updateable: bool
    metadata: JsonObject
    gone: bool = False
    unavailable: Reason | None = None


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """`schemas`: as in the catalogue. `position`: its place there. `memory_mb`: of built-in ones."""

    id: str
    offering_id: str
    catalog_id: str
    name: str
    description: str
    position: int
    free: bool
    bindable: bool | None
    binding_rotatable: bool
    plan_updateable: bool | None
    schemas: JsonObject
    maximum_polling_s: int | None
    maintenance_version: str | None
    maintenance_description: str | None
    metadata: JsonObject
    gone: bool = False
    memory_mb: int = 0


@dataclass(frozen=True, slots=True)
class ServiceAccess:
    """That an organisation may use an offering: "the service" of the API. `plans`: ids of those that it sees; None:
    all."""

    id: str
    tenant_id: str
    organization_id: str
    offering_id: str
    plans: tuple[str, ...] | None
    created_at: datetime
    created_by: str | None


@dataclass(frozen=True, slots=True)
class ServiceInstance:
    """A service that a space has. `offering_id` None: user-provided, with `credentials` of its own and no broker.

    `parameters`: a JSON object, all that holds. `sent`: a provision may have reached the broker, so a deletion must ask
    it. `plan_seen`, `parameters_seen`: what the broker has confirmed.
    """

    id: str
    tenant_id: str
    organization_id: str
    space_id: str
    name: str
    offering_id: str | None
    plan_id: str | None
    parameters: str = field(repr=False)
    credentials: str | None = field(repr=False)
    tags: tuple[str, ...]
    generation: int
    deleting: bool
    created_at: datetime
    updated_at: datetime
    created_by: str | None  # name of the user
    # observed
    state: ServiceState = ServiceState.creating
    reason: Reason | None = None
    observed_generation: int = 0
    sent: bool = False
    plan_seen: str | None = None
    parameters_seen: str | None = field(default=None, repr=False)
    maintenance_seen: str | None = None
    dashboard_url: str | None = None
    call: BrokerCall | None = None

    @property
    def place(self) -> Place:
        return Place(self.tenant_id, self.organization_id, self.space_id)


@dataclass(frozen=True, slots=True)
class ServiceBinding:
    """An app's access to a service instance; `app_id` None: a service key for people.

    `name`: its folder below /bindings and `binding_name`. `variables`: variable → key of the credentials; empty until
    ready where not `variables_given`. `predecessor_id`: the binding that this one takes over from (rotation).
    `revision`: raised when the credentials change in place, so that running instances are replaced.
    """

    id: str
    service_instance_id: str
    app_id: str | None
    tenant_id: str  # of the app; of the instance for a key
    organization_id: str
    space_id: str
    name: str
    variables: Mapping[str, str]
    variables_given: bool
    parameters: str | None = field(repr=False)
    predecessor_id: str | None
    deleting: bool
    created_at: datetime
    created_by: str | None  # name of the user
    # observed
    state: BindingState = BindingState.creating
    reason: Reason | None = None
    sent: bool = False
    credentials: str | None = field(default=None, repr=False)
    syslog_drain_url: str | None = None
    route_service_url: str | None = None
    volume_mounts: tuple[JsonObject, ...] = ()
    endpoints: tuple[str, ...] = ()
    expires_at: datetime | None = None
    renew_before: datetime | None = None
    revision: int = 0
    call: BrokerCall | None = None

    @property
    def place(self) -> Place:
        return Place(self.tenant_id, self.organization_id, self.space_id)


@dataclass(frozen=True, slots=True)
class Orphan:
    """What may be left at a broker after a request was given up: deleted there until it is said to be gone.

    `service_id`, `plan_id` are the catalogue's, so that our rows may go.
    """

    id: str
    broker_id: str
    instance_id: str
    binding_id: str | None
    service_id: str
    plan_id: str
    since: datetime
    attempts: int = 0
    next_at: datetime | None = None
    operation: str | None = None
    accepted: bool = False
    reason: Reason | None = None
