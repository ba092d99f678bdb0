"""What a service broker is asked, and what it can answer: the Open Service Broker API 2.17 as Python values.

The platform side (what tenants asked for) and the hosting side (servers that run) meet only here: our own broker in
process, others by HTTP. Ids of services and plans are those of the broker's own catalogue, never ours.

Hard cases, which decide the shapes below. The control plane ends after a request left and before its answer was
written: every request can be sent again. A broker answers 500 to a creation that went through: `Unsure(mitigate=True)`,
and somebody has to delete what may be there. A broker refuses a change: `Refused`, and nothing has changed. The
connection was never made: `NotSent`, and nothing can have happened. What a broker *said* is therefore never an
exception: the caller looks at each of the five, or the type checker tells.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from gongfang.domain.errors import Reason
from gongfang.domain.values import JsonObject

CONCURRENCY = "ConcurrencyError"
MAINTENANCE = "MaintenanceInfoConflict"
ASYNC_REQUIRED = "AsyncRequired"
REQUIRES_APP = "RequiresApp"

# --- the catalogue ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CatalogPlan:
    """`id`, `name` as in the broker's catalogue. `schemas`: `{"service_instance": {"create": …, "update": …},
    "service_binding": {"create": …}}`, each a JSON schema; absent where anything goes. `memory_mb`: built-in plans."""

    id: str
    name: str
    description: str
    free: bool = True
    bindable: bool | None = None  # None: as the offering says
    binding_rotatable: bool = False
    plan_updateable: bool | None = None
    schemas: JsonObject = field(default_factory=dict[str, Any])
    maximum_polling_s: int | None = None
    maintenance_version: str | None = None
    maintenance_description: str | None = None
    metadata: JsonObject = field(default_factory=dict[str, Any])
    memory_mb: int = 0


@dataclass(frozen=True, slots=True)
class CatalogOffering:
    """One service of a catalogue. `unavailable`: a built-in one that this machine can't run, and why."""

    id: str
    name: str
    description: str
    plans: tuple[CatalogPlan, ...]
    tags: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    bindable: bool = True
    instances_retrievable: bool = False
    bindings_retrievable: bool = False
    allow_context_updates: bool = False
    plan_updateable: bool = False
    metadata: JsonObject = field(default_factory=dict[str, Any])
    unavailable: Reason | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    offerings: tuple[CatalogOffering, ...]
    etag: str | None = None


# --- what is asked ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Where:
    """The context object, platform `gongfang`."""

    tenant_id: str
    organization_id: str
    organization_name: str
    space_id: str
    space_name: str
    instance_name: str


@dataclass(frozen=True, slots=True)
class Who:
    """The originating identity. None in its place: the platform itself asks."""

    user_id: str | None
    user_name: str | None


@dataclass(frozen=True, slots=True)
class Target:
    """`instance_id` is ours; `service_id` and `plan_id` are the catalogue's."""

    instance_id: str
    service_id: str
    plan_id: str


@dataclass(frozen=True, slots=True)
class Provision:
    target: Target
    parameters: JsonObject = field(repr=False)
    where: Where
    who: Who | None
    request_id: str
    maintenance_version: str | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """`target.plan_id`: the wanted plan, `plan_changed`: it is another one than `previous_plan_id`. `parameters`: all
    that shall hold from now on (not only what differs); None: they stay."""

    target: Target
    previous_plan_id: str
    plan_changed: bool
    parameters: JsonObject | None = field(repr=False)
    where: Where
    who: Who | None
    request_id: str
    maintenance_version: str | None = None
    previous_maintenance_version: str | None = None


@dataclass(frozen=True, slots=True)
class Deprovision:
    target: Target
    who: Who | None
    request_id: str


@dataclass(frozen=True, slots=True)
class Bind:
    """`app_id` None: a key for people. `predecessor_id`: the binding whose credentials these take over from.
    `requires`: as the offering has it in the catalogue, against which the answer is checked; None: it is not."""

    target: Target
    binding_id: str
    app_id: str | None
    app_name: str | None
    parameters: JsonObject = field(repr=False)
    predecessor_id: str | None
    where: Where
    who: Who | None
    request_id: str
    requires: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Unbind:
    target: Target
    binding_id: str
    who: Who | None
    request_id: str


@dataclass(frozen=True, slots=True)
class Poll:
    """`binding_id` None: of the instance. `operation`: the string of the 202, None where it had none.
    `requires`: as of `Bind`, where a binding is fetched."""

    target: Target
    binding_id: str | None
    operation: str | None
    request_id: str
    requires: tuple[str, ...] | None = None


# --- what is answered ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Provisioned:
    dashboard_url: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    attributes: JsonObject = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Updated:
    dashboard_url: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    attributes: JsonObject = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Bound:
    """`endpoints`: "host:port" each, as the broker says; no secret."""

    credentials: JsonObject = field(repr=False)
    endpoints: tuple[str, ...] = ()
    syslog_drain_url: str | None = None
    route_service_url: str | None = None
    volume_mounts: tuple[JsonObject, ...] = ()
    expires_at: datetime | None = None
    renew_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """Of a delete: it is not there (any more)."""


Body = Provisioned | Updated | Bound | Gone


@dataclass(frozen=True, slots=True)
class Done:
    """200 or 201; of a delete 200 or 410. `created` False: it was there already, as asked."""

    body: Body
    created: bool = True


@dataclass(frozen=True, slots=True)
class Accepted:
    """202: poll `last_operation` with `operation`."""

    operation: str | None
    dashboard_url: str | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A 4xx: nothing was done, and nothing has to be cleaned up. `description`: in the broker's words.

    `usable` False: the instance is unusable from now on. `repeatable` False: asking the same again is of no use.
    """

    status: int
    error: str | None
    description: str
    usable: bool | None = None
    repeatable: bool | None = None
    retry_after: float | None = None

    @property
    def concurrency(self) -> bool:
        """Another request works on it: nothing has changed, try again."""
        return self.error == CONCURRENCY

    @property
    def maintenance(self) -> bool:
        return self.error == MAINTENANCE

    @property
    def async_required(self) -> bool:
        return self.error == ASYNC_REQUIRED

    @property
    def requires_app(self) -> bool:
        return self.error == REQUIRES_APP


@dataclass(frozen=True, slots=True)
class Unsure:
    """Nobody knows whether it went through. `mitigate`: it may be there and has to be deleted."""

    reason: Reason
    mitigate: bool
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request never left: nothing has happened, try again."""

    reason: Reason
    retry_after: float = 2.0


@dataclass(frozen=True, slots=True)
class Polled:
    """What an accepted request has come to. `gone`: a delete whose object is not there any more has succeeded."""

    state: Literal["in progress", "succeeded", "failed", "gone"]
    description: str | None = None
    usable: bool | None = None
    repeatable: bool | None = None
    retry_after: float | None = None


Answer = Done | Accepted | Refused | Unsure | NotSent
Failure = Refused | Unsure | NotSent


class Broker(Protocol):
    """One service broker (OSBAPI 2.17), ours or another's.

    Idempotency. Every request may be sent again with the same ids, after a crash that lost its answer: of what is
    there with the same attributes `provision` and `bind` answer `Done(created=False)` with the *same* body (credentials
    too); of what is under way `Accepted` with the same operation; with other attributes `Refused(409)`. A delete of
    what is not there is `Done(Gone())`. An implementation remembers nothing between calls that could not be found again
    from its own store.

    Asynchrony. Implementations may answer `Accepted`, callers always allow it (`accepts_incomplete=true`). An accepted
    bind has no credentials: after `succeeded` the caller calls `fetch_binding`. The last state stays known for a while
    after the end; of a delete it is `gone` once the object is.

    Time. One call returns within the implementation's own time limit; polling is the caller's, with the caller's
    deadline.

    Delete while creating: creation is halted and the delete goes on; `last_operation` then tells of the delete.

    Concurrency. What is being worked on by another request is `Refused(422, "ConcurrencyError")`: nothing has changed,
    nobody mitigates, the caller tries again.

    Words. `Refused.description` is without control characters, at most 1000 characters, with the broker's password and
    any credential that the caller knows replaced by `***`.

    Raises only `Unavailable` (our own store is away); anything else is a bug.
    """

    async def catalog(self, etag: str | None = None) -> Catalog | None:
        """All that is offered; None: unchanged since `etag`. Raises `Rejected(reason)` where it is not valid,
        `Unavailable` where it can't be had now."""
        ...

    async def provision(self, ask: Provision) -> Answer: ...

    async def update(self, ask: Update) -> Answer: ...

    async def deprovision(self, ask: Deprovision) -> Answer: ...

    async def bind(self, ask: Bind) -> Answer: ...

    async def unbind(self, ask: Unbind) -> Answer: ...

    async def last_operation(self, ask: Poll) -> Polled | Failure: ...

    async def fetch_binding(self, ask: Poll) -> Bound | Failure:
        """A binding that is there: its credentials as of now. 404 while it is under way."""
        ...

    async def fetch_instance(self, ask: Poll) -> Provisioned | Failure: ...
