"""Services over the wire: what an organisation may use, service instances, and bindings of apps to them.

No answer but `BoundEnvironmentOut` holds credentials, and that only for those who may see them.
"""

from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field, SecretStr, StringConstraints

from gongfang.domain.services import BindingState, ServiceState
from gongfang.wire.models import NAME_PATTERN, VARIABLE_PATTERN, Answer, OperationOut, ReasonOut, Request, SeenText

Text = Annotated[SeenText, StringConstraints(min_length=1, max_length=255)]
ServiceName = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=63)]
Tag = Annotated[SeenText, StringConstraints(min_length=1, max_length=100)]
Variable = Annotated[str, StringConstraints(pattern=VARIABLE_PATTERN)]
CredentialKey = Annotated[str, StringConstraints(min_length=1, max_length=253)]

# --- what may be used ------------------------------------------------------------------------------------------------


class BrokerAccess(Request):
    url: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    username: Annotated[str, StringConstraints(max_length=255)]
    password: SecretStr = Field(max_length=1024)


class ServiceRequest(Request):
    """5.4(1)."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "postgresql"}]})
    name: Text = Field(description="As in the catalogue", examples=["postgresql"])
    broker: BrokerAccess | None = Field(default=None, description="An outside broker; absent: the platform's own")
    plans: list[Text] | None = Field(default=None, max_length=100, description="Plans to be seen; absent: all")


class PlansRequest(Request):
    plans: list[Text] | None = Field(max_length=100, description="Plans to be seen; null: all")


class BrokerRef(Answer):
    id: str
    name: str


class PlanOut(Answer):
    id: str
    name: str
    description: str
    free: bool
    memory_mb: int | None = None
    storage_mb: int | None = None
    connections: int | None = None
    schemas: dict[str, Any] = Field(description="JSON schemas of parameters, as in the catalogue")


class CatalogueOut(Answer):
    """A service that the platform itself runs."""

    id: str
    name: str
    description: str
    broker: BrokerRef
    tags: list[str]
    bindable: bool
    available: bool = Field(description="Whether this machine can run it")
    reason: ReasonOut | None = Field(description="Why it is not available")
    plans: list[PlanOut]
    metadata: dict[str, Any]


class ServiceOut(CatalogueOut):
    """A service that an organisation may use."""

    organization_id: str
    created_at: datetime
    services: list[str] = Field(default_factory=list[str], description="All that its broker offers here")


# --- service instances -----------------------------------------------------------------------------------------------


class ServiceInstanceRequest(Request):
    """5.4(2)."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"service": "postgresql", "plan": "small", "name": "orders"}]}
    )
    service: Text = Field(description="Name or id of a service that the organisation may use", examples=["postgresql"])
    plan: Text | None = Field(default=None, description="Absent: the first of the catalogue", examples=["small"])
    name: ServiceName | None = Field(default=None, description="Absent: the service's, with a number if need be")
    parameters: dict[str, Any] = Field(default_factory=dict[str, Any], max_length=500)
    tags: list[Tag] = Field(default_factory=list[str], max_length=50)
    credentials: dict[CredentialKey, Any] | None = Field(
        default=None,
        max_length=500,
        repr=False,
        description="Of the service `user-provided` alone: what apps that are bound to it get",
    )


class ServiceChange(Request):
    """What is given is changed. Credentials are replaced as a whole."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"tags": ["line-3"]}]})
    name: ServiceName | None = Field(default=None, examples=["orders"])
    tags: list[Tag] | None = Field(default=None, max_length=50)
    credentials: dict[CredentialKey, Any] | None = Field(
        default=None, max_length=500, repr=False, description="Of a user-provided service alone"
    )


class ConfigurationRequest(Request):
    """5.4(3): at least one of the two. Parameters that are not named stay; null removes one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"plan": "medium"}]})
    plan: Text | None = Field(default=None, examples=["medium"])
    parameters: dict[str, Any] | None = Field(default=None, max_length=500)


class ServiceBindingRef(Answer):
    id: str
    app_id: str | None
    app_name: str | None
    name: str
    state: BindingState


class MaintenanceOut(Answer):
    available: bool
    version: str | None


class ServiceInstanceOut(Answer):
    id: str
    name: str
    service: str = Field(description="`user-provided` where it is of no broker")
    plan: str | None
    service_id: str | None
    space_id: str
    organization_id: str
    tenant_id: str
    state: ServiceState
    reason: ReasonOut | None = Field(description="With `ready`: why the last change failed; the service is as before")
    parameters: dict[str, Any] = Field(description="Values are `***` but for those who may change it")
    tags: list[str]
    dashboard_url: str | None
    bindings: list[ServiceBindingRef]
    shared_with: list[str]
    maintenance: MaintenanceOut | None
    generation: int
    observed_generation: int
    created_at: datetime
    updated_at: datetime
    created_by: str | None


class CpuOut(Answer):
    cores: float | None
    percent: float | None
    seconds: float | None
    limit_cores: float | None


class AmountOut(Answer):
    bytes: int | None
    percent: float | None
    limit_bytes: int | None


class ConnectionsOut(Answer):
    used: int | None
    most: int | None


class ServiceStatusOut(Answer):
    """5.4(6). Null: nobody knows; of outside brokers all figures are."""

    id: str
    name: str
    host: str | None
    port: int | None
    state: str = Field(
        description="Of the server: creating, starting, running, updating, crashed, broken, deleting;"
        " of an outside broker's the instance's state"
    )
    reason: ReasonOut | None
    cpu: CpuOut | None
    memory: AmountOut | None
    storage: AmountOut | None
    connections: ConnectionsOut | None
    restarts: int
    started_at: datetime | None
    ready_at: datetime | None
    last_output: str | None
    version: str | None
    ports: dict[str, int] = Field(description="By name, where there are several")


# --- bindings --------------------------------------------------------------------------------------------------------


class BindingRequest(Request):
    """5.1(8)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"service_instance_id": "orders", "variables": {"DATABASE_URL": "uri"}}]},
    )
    service_instance_id: Text = Field(description="Id, or a name that only one has", examples=["orders"])
    name: ServiceName | None = Field(
        default=None, description="Its folder below /bindings; absent: the instance's name"
    )
    variables: dict[Variable, CredentialKey] | None = Field(
        default=None, max_length=50, description="Variable: key of the credentials. Absent: the service's own names"
    )
    parameters: dict[str, Any] | None = Field(default=None, max_length=500)


class BindingOut(Answer):
    id: str
    service_instance_id: str
    service_instance_name: str
    app_id: str | None
    app_name: str | None
    name: str
    state: BindingState
    reason: ReasonOut | None
    variables: dict[str, str] = Field(description="Variable: key of the credentials")
    rotatable: bool
    expires_at: datetime | None
    created_at: datetime
    created_by: str | None


class BoundEnvironmentOut(Answer):
    """5.4(4). All values are text; `***` where `masked`."""

    host: str | None
    port: int | None
    environment: dict[str, str]
    files: list[str] = Field(description="Paths below /bindings")
    masked: bool


class ServiceWithOperation(Answer):
    service_instance: ServiceInstanceOut
    operation: OperationOut


class BindingWithOperation(Answer):
    binding: BindingOut
    operation: OperationOut


# --- service keys ----------------------------------------------------------------------------------------------------


class KeyRequest(Request):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "wang-li"}]})
    name: ServiceName = Field(description="Whose it is, or what for", examples=["wang-li"])
    parameters: dict[str, Any] | None = Field(default=None, max_length=500)


class KeyOut(Answer):
    """Credentials of a service instance that are a person's, or a program's outside of the platform."""

    id: str
    service_instance_id: str
    service_instance_name: str
    name: str
    state: BindingState
    reason: ReasonOut | None
    credentials: dict[str, Any] | None = Field(
        default=None, description="Of a key that is ready, asked for by itself, for those who may change services"
    )
    expires_at: datetime | None
    created_at: datetime
    created_by: str | None


class KeyWithOperation(Answer):
    key: KeyOut
    operation: OperationOut
