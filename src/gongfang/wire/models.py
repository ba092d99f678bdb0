"""What goes over the wire. Requests forbid unknown fields; answers may gain fields.

In PATCH bodies a field that is absent stays as it is, and `null` clears it: `model_fields_set` tells them apart.
"""

from datetime import datetime
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from gongfang.domain.names import fault_of, one_form
from gongfang.domain.policies import HttpsMode
from gongfang.domain.values import (
    AppState,
    AppType,
    BuildState,
    CheckKind,
    DesiredState,
    DomainStatus,
    InstanceState,
    Level,
    OperationKind,
    OperationStatus,
    Outcome,
    Permission,
    Role,
    RuntimeName,
    TaskState,
    TlsState,
)


def _seen(text: str) -> str:
    """In one form; refused where something in it can't be seen."""
    text = one_form(text)
    fault = fault_of(text)
    if fault is not None:
        raise PydanticCustomError("name_character", "the character {character} can't stand here", {"character": fault})
    return text


SeenText = Annotated[str, AfterValidator(_seen)]
"""A text that is shown to others."""


NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
PROCESS_PATTERN = r"^[a-z][a-z0-9_-]{0,30}$"
VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,254}$"
PLACE_PATTERN = r"^[^\s/\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]{0,62}$"
LABEL_PATTERN = r"^[a-z0-9A-Z]([a-z0-9A-Z._/-]{0,61}[a-z0-9A-Z])?$"
USER_NAME_PATTERN = r"^[a-z0-9][a-z0-9._@-]{0,62}$"
Name = Annotated[
    str,
    StringConstraints(pattern=NAME_PATTERN, min_length=1, max_length=63),
    Field(description="1-63 of a-z, 0-9 and -, neither first nor last a -", examples=["line-3-dashboard"]),
]
TreeName = Annotated[
    str,
    StringConstraints(pattern=PLACE_PATTERN, strip_whitespace=True),
    AfterValidator(_seen),
    Field(description="1-63 characters, no slashes or control characters", examples=["suzhou-plant"]),
]
LabelKey = Annotated[str, StringConstraints(pattern=LABEL_PATTERN)]
LabelValue = Annotated[str, StringConstraints(max_length=255, pattern=r"^[^\x00-\x1f\x7f,]*$")]
ProcessName = Annotated[str, StringConstraints(pattern=PROCESS_PATTERN), Field(examples=["web"])]
VariableName = Annotated[str, StringConstraints(pattern=VARIABLE_PATTERN), Field(examples=["LINE"])]
VariableValue = Annotated[str, StringConstraints(max_length=32768, pattern=r"^[^\x00]*$")]
MemoryMb = Annotated[int, Field(ge=16, le=1_048_576, description="MiB for each instance", examples=[256])]
DiskMb = Annotated[int, Field(ge=16, le=1_048_576, description="MiB that each instance may write", examples=[1024])]
Count = Annotated[int, Field(ge=0, le=1000)]


def _scalars(annotation: Any) -> frozenset[Any]:
    """The types that a field takes, without what surrounds them."""
    if get_origin(annotation) is Annotated:
        return _scalars(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return frozenset[Any]().union(*(_scalars(part) for part in get_args(annotation)))
    return frozenset({annotation})


class Request(BaseModel):
    """Numbers and truths are what JSON says they are: `"5"`, `1` for true and `true` for 1 are refused."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _as_json_says(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool | str | int | float):
            takes = _scalars(cls.model_fields[info.field_name or ""].annotation)
            if takes & {int, float} and isinstance(value, bool | str):
                raise PydanticKnownError("int_type" if int in takes else "float_type")
            if bool in takes and not isinstance(value, bool):
                raise PydanticKnownError("bool_type")
        return value


class Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ReasonOut(Answer):
    """Why: a stable code, and words in the asked language."""

    code: str
    message: str


# --- who -------------------------------------------------------------------------------------------------------------


class LoginRequest(Request):
    username: str = Field(max_length=128)
    password: SecretStr = Field(max_length=1024)
    name: SeenText = Field(default="login", max_length=64, description="What the token is called in the list of tokens")
    expires_in_s: int = Field(default=30 * 86400, ge=60, le=366 * 86400)


class TokenRequest(Request):
    name: SeenText = Field(max_length=64, min_length=1)
    scopes: list[Permission] = Field(
        default_factory=list[Permission], max_length=64, description="Empty: all that its user may"
    )
    expires_in_s: int | None = Field(default=90 * 86400, ge=60, le=366 * 86400)
    user_id: str | None = Field(default=None, description="Another user's, by an administrator")


class TokenOut(Answer):
    id: str
    user_id: str
    name: str
    scopes: list[Permission]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    from_login: bool = False
    token: str | None = Field(default=None, description="The token itself: only in the answer that made it")


class RoleRequest(Request):
    role: Role
    level: Level = Level.space
    scope_id: str | None = Field(default=None, description="Id of the tenant, organisation or space; none: platform")


class RoleOut(Answer):
    id: str
    role: Role
    level: Level
    scope_id: str | None


class UserRequest(Request):
    name: Annotated[str, StringConstraints(pattern=USER_NAME_PATTERN)]
    password: SecretStr = Field(min_length=10, max_length=1024)
    display_name: SeenText = Field(default="", max_length=128)
    roles: list[RoleRequest] = Field(default_factory=list[RoleRequest], max_length=100)


class UserChange(Request):
    display_name: SeenText | None = Field(default=None, max_length=128)
    disabled: bool | None = None
    password: SecretStr | None = Field(default=None, min_length=10, max_length=1024)
    end_tokens: bool = Field(
        default=False, description="End every token of the user but the calling one, API tokens, too"
    )
    unlock: bool = Field(default=False, description="End the lock that failed log-ins brought, for all sources")


class UserOut(Answer):
    id: str
    name: str
    display_name: str
    disabled: bool
    created_at: datetime
    roles: list[RoleOut]
    locked_until: datetime | None = Field(
        default=None, description="Failed log-ins keep it out, from one source or all; for those who may write the user"
    )


class WhoAmI(Answer):
    user: UserOut
    token_id: str
    scopes: list[Permission]
    default_space_id: str | None


class TenantRequest(Request):
    name: TreeName
    timezone: str = Field(default="Asia/Shanghai", max_length=64)


class TenantOut(Answer):
    id: str
    name: str
    timezone: str
    created_at: datetime


class OrganizationRequest(Request):
    name: TreeName
    tenant_id: str | None = None


class OrganizationOut(Answer):
    id: str
    tenant_id: str
    name: str
    created_at: datetime


class SpaceRequest(Request):
    name: TreeName
    organization_id: str | None = None


class SpaceOut(Answer):
    id: str
    tenant_id: str
    organization_id: str
    name: str
    created_at: datetime


class TreeChange(Request):
    name: TreeName | None = None
    timezone: str | None = Field(default=None, max_length=64)


# --- apps ------------------------------------------------------------------------------------------------------------


class HealthCheckModel(Request):
    model_config = ConfigDict(extra="forbid", from_attributes=True)
    kind: CheckKind = CheckKind.port
    path: Annotated[str, StringConstraints(pattern=r"^/[^\s\x00-\x1f\x7f]*$", max_length=1024)] = "/"
    timeout_s: float = Field(default=2.0, gt=0, le=60)
    interval_s: float = Field(default=10.0, ge=0.5, le=3600)
    failures: int = Field(default=3, ge=1, le=100)


class ProcessChange(Request):
    """Settings of one process type. Absent: as it is (or the default). `null`: back to the default."""

    command: Annotated[str, StringConstraints(min_length=1, max_length=8192, pattern=r"^[^\x00]*$")] | None = None
    memory_mb: MemoryMb | None = None
    disk_mb: DiskMb | None = None
    cpu: float | None = Field(default=None, gt=0, le=256, description="Cores for each instance; null: no limit")
    instances: Count | None = None
    readiness: HealthCheckModel | None = None
    liveness: HealthCheckModel | None = None
    start_timeout_s: float | None = Field(default=None, gt=0, le=3600)
    drain_s: float | None = Field(default=None, ge=0, le=3600)
    stop_timeout_s: float | None = Field(default=None, ge=0, le=3600)


class ProcessOut(Answer):
    command: str | None
    memory_mb: int
    disk_mb: int
    cpu: float | None
    instances: int
    readiness: HealthCheckModel
    liveness: HealthCheckModel | None
    start_timeout_s: float
    drain_s: float
    stop_timeout_s: float


class AppRequest(Request):
    """5.1(1) asks for name, type, runtime and domain; all but the name have defaults here."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "line-3-dashboard", "type": "web", "runtime": "python"}]},
    )
    name: Name
    type: AppType = AppType.web
    runtime: RuntimeName = RuntimeName.auto
    domain: str | None = Field(
        default=None,
        max_length=253,
        description="A domain of the tenant to attach, or one under the base domain. Absent: NAME.BASE_DOMAIN",
    )
    space_id: str | None = Field(default=None, description="Absent: the only space, or the one called `default`")
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict, max_length=64)
    environment: dict[VariableName, VariableValue] = Field(default_factory=dict, max_length=500)
    processes: dict[ProcessName, ProcessChange] = Field(default_factory=dict[str, ProcessChange], max_length=20)


class AppChange(Request):
    name: Name | None = None
    runtime: RuntimeName | None = None
    labels: dict[LabelKey, LabelValue | None] | None = Field(default=None, description="Merged; null removes a label")
    processes: dict[ProcessName, ProcessChange] | None = Field(
        default=None, description="Merged; on a started app a change makes a new release and rolls it out"
    )


class InstanceOut(Answer):
    id: str
    process: str
    index: int
    state: InstanceState
    release: int = Field(description="Number of its release")
    restarts: int
    created_at: datetime
    started_at: datetime | None
    ready_at: datetime | None
    ended_at: datetime | None
    host: str | None
    port: int | None
    exit_code: int | None = None
    signal: int | None = None
    reason: ReasonOut | None = None
    last_output: str | None = None


class RouteOut(Answer):
    domain: str
    url: str
    status: DomainStatus
    default: bool


class AppOut(Answer):
    """Desired (`desired_state`, `processes`, …) and actual (`state`, `instances`, …) side by side."""

    id: str
    name: str
    type: AppType
    runtime: RuntimeName
    domain: str | None = Field(description="The first address it answers on")
    url: str | None
    tenant_id: str
    organization_id: str
    space_id: str
    labels: dict[str, str]
    desired_state: DesiredState
    state: AppState
    reason: ReasonOut | None
    processes: dict[str, ProcessOut]
    instances: list[InstanceOut]
    instances_ready: int
    instances_wanted: int
    routes: list[RouteOut]
    release: int | None = Field(description="Number of the release that runs (or would run when started)")
    target_release: int | None = Field(description="Number of the release that is wanted")
    generation: int
    observed_generation: int
    created_at: datetime
    updated_at: datetime
    note: str | None = Field(default=None, description="What is unexpected: its own name was taken as an address")


class PackageOut(Answer):
    id: str
    app_id: str
    seq: int
    filename: str
    size: int
    sha256: str
    created_at: datetime
    created_by: str | None


class BuildOut(Answer):
    id: str
    app_id: str
    package_id: str
    state: BuildState
    runtime: RuntimeName
    detected: str | None = None
    droplet_id: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    reason: ReasonOut | None


class ReleaseOut(Answer):
    id: str
    number: int
    cause: str
    from_release: int | None
    droplet_id: str
    package_id: str
    processes: dict[str, ProcessOut]
    variables: list[str] = Field(description="Names of its environment variables")
    created_at: datetime
    created_by: str | None
    healthy_at: datetime | None
    failed: ReasonOut | None
    current: bool


class StartRequest(Request):
    package_id: str | None = Field(default=None, description="Absent: the newest package")


class InstancesRequest(Request):
    """5.1(4): at least one of the three."""

    memory_mb: MemoryMb | None = None
    disk_mb: DiskMb | None = None
    instances: Count | None = None
    process: ProcessName | None = Field(default=None, description="Absent: the app's main process")


class RollbackRequest(Request):
    release: int | None = Field(default=None, ge=1, description="Absent: the one before the current")


class EnvironmentChange(Request):
    variables: dict[VariableName, VariableValue | None] = Field(max_length=500, description="Merged; null removes")


class EnvironmentOut(Answer):
    variables: dict[str, str] = Field(description="Values are `***` for callers who may not see them")
    masked: bool


class TaskRequest(Request):
    command: Annotated[str, StringConstraints(min_length=1, max_length=8192, pattern=r"^[^\x00]*$")]
    memory_mb: MemoryMb | None = None
    timeout_s: float = Field(default=3600, gt=0, le=86400)


class TaskOut(Answer):
    id: str
    app_id: str
    command: str
    memory_mb: int
    state: TaskState
    exit_code: int | None
    signal: int | None
    reason: ReasonOut | None
    created_at: datetime
    created_by: str | None
    started_at: datetime | None
    finished_at: datetime | None


class LogLine(Answer):
    """One line of output. `at`: when the platform saw it, to about a second."""

    at: datetime
    source: str = Field(description="`web.0`, `task`, `build`")
    instance_id: str
    text: str


class LogPage(Answer):
    items: list[LogLine]
    next_cursor: str | None = Field(description="For `cursor=`: goes on after these lines")


class DomainRequest(Request):
    domain: str = Field(max_length=253, min_length=1, examples=["mes.example.cn"])
    icp_number: str | None = Field(default=None, max_length=64, examples=["京ICP备12345678号-1"])
    app_id: str | None = None
    tenant_id: str | None = None


class DomainOut(Answer):
    id: str
    tenant_id: str
    domain: str
    icp_number: str | None
    app_id: str | None
    status: DomainStatus
    tls: TlsState
    created_at: datetime
    https: HttpsMode = HttpsMode.optional
    hsts_max_age_s: int | None = None
    hsts_subdomains: bool = False
    certificate_id: str | None = Field(default=None, description="Of the certificate that it is served with")
    expires_at: datetime | None = Field(default=None, description="When that certificate ends")


# --- operations and events -------------------------------------------------------------------------------------------


class StepOut(Answer):
    name: str
    message: str
    started_at: datetime
    finished_at: datetime | None


class OperationOut(Answer):
    id: str
    kind: OperationKind
    status: OperationStatus
    app_id: str | None
    app_name: str | None
    steps: list[StepOut]
    reason: ReasonOut | None
    output: str | None = Field(description="The last lines of what failed")
    release: int | None
    build_id: str | None
    created_at: datetime
    created_by: str | None
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime
    service_instance_id: str | None = None
    service_name: str | None = Field(default=None, description="Name of the service instance")
    binding_id: str | None = None


class AppWithOperation(Answer):
    app: AppOut
    operation: OperationOut


class OnlyOperation(Answer):
    operation: OperationOut


class TaskWithApp(Answer):
    task: TaskOut


class EventOut(Answer):
    seq: int
    at: datetime
    tag: str
    actor_id: str | None
    actor_name: str | None
    source: str | None
    tenant_id: str | None
    organization_id: str | None
    space_id: str | None
    app_id: str | None
    object_id: str | None
    data: dict[str, Any]
    request_id: str | None
    outcome: Outcome = Outcome.succeeded
    object_kind: str | None = None
    object_name: str | None = None
    before: dict[str, Any] | None = Field(default=None, description="The fields that changed, as they were")
    after: dict[str, Any] | None = Field(default=None, description="The same as they are now; secrets are masked")
    token_id: str | None = None
    user_agent: str | None = None


class PartOut(Answer):
    name: str
    state: Literal["ok", "starting", "down", "degraded"]
    message: str
    facts: dict[str, Any] = Field(default_factory=dict)


class GuaranteeOut(Answer):
    name: str
    enforced: bool
    message: str


class PlatformOut(Answer):
    version: str
    base_domain: str
    edge_url: str
    edge_https_url: str | None = Field(default=None, description="None: the edge serves no HTTPS")
    parts: list[PartOut]
    guarantees: list[GuaranteeOut]
    apps: int
    instances: int
