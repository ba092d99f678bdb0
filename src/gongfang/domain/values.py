"""The nouns of the workshop as frozen values: what an app, a release, an instance *is*.

Desired and observed state are different fields of different writers: operations write desired state, reconcilers
write observed state. Sizes are bytes unless a name says `_mb` (MiB); durations are seconds, `_s`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from gongfang.domain.errors import Reason
from gongfang.domain.policies import HttpsMode

JsonObject = dict[str, Any]

# --- who -------------------------------------------------------------------------------------------------------------


class Role(StrEnum):
    """The four people of clause 6, and the administrator. Bound to a user at one level of the tree."""

    developer = "developer"  # 开发人员
    operator = "operator"  # 运维人员
    service_manager = "service_manager"  # 服务管理人员
    supervisor = "supervisor"  # 监管人员
    administrator = "administrator"  # 管理员


class Level(StrEnum):
    """Where a role is bound: the whole platform, or one tenant, organisation or space and all below it."""

    platform = "platform"
    tenant = "tenant"
    organization = "organization"
    space = "space"


class Permission(StrEnum):
    """What an operation asks for. The table of roles is in `gongfang.domain.permissions`."""

    app_read = "app:read"
    app_write = "app:write"  # create, change, destroy
    app_deploy = "app:deploy"  # upload, build
    app_operate = "app:operate"  # start, stop, scale, restart, roll back
    app_secrets = "app:secrets"  # see values of environment variables
    app_run = "app:run"  # run one-off tasks in the app's environment
    logs_read = "logs:read"
    domain_read = "domain:read"
    domain_write = "domain:write"
    service_read = "service:read"
    service_write = "service:write"
    metrics_read = "metrics:read"
    event_read = "event:read"
    webhook_write = "webhook:write"  # where events are sent to; sees the whole addresses
    tree_read = "tree:read"
    tree_write = "tree:write"  # tenants, organisations, spaces
    user_read = "user:read"
    user_write = "user:write"
    platform_read = "platform:read"
    platform_write = "platform:write"  # clear up, rotate keys


@dataclass(frozen=True, slots=True)
class RoleBinding:
    id: str
    user_id: str
    role: Role
    level: Level
    scope_id: str | None  # None at platform level


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in the tree, from the outside in; None below the level that it belongs to."""

    tenant_id: str | None = None
    organization_id: str | None = None
    space_id: str | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    id: str
    name: str
    timezone: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Organization:
    id: str
    tenant_id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Space:
    id: str
    tenant_id: str
    organization_id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    id: str
    name: str
    display_name: str
    disabled: bool
    created_at: datetime
    bindings: tuple[RoleBinding, ...] = ()


@dataclass(frozen=True, slots=True)
class Token:
    """An API token, of which only the hash is kept. `scopes`: permissions, empty = all that its user has.

    `from_login`: a password was given for it. `parent_id`: the cut-down token that made it, with which it ends.
    """

    id: str
    user_id: str
    name: str
    scopes: tuple[Permission, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    from_login: bool = False
    parent_id: str | None = None


# --- apps ------------------------------------------------------------------------------------------------------------


class AppType(StrEnum):
    web = "web"  # its `web` process gets traffic
    worker = "worker"  # runs on, gets no traffic
    task = "task"  # runs to its end when started


class RuntimeName(StrEnum):
    auto = "auto"
    python = "python"
    node = "node"
    java = "java"
    go = "go"
    static = "static"
    binary = "binary"


class DesiredState(StrEnum):
    started = "started"
    stopped = "stopped"


class AppState(StrEnum):
    """What an app is seen to be doing."""

    stopped = "stopped"
    starting = "starting"  # not one instance is ready yet
    running = "running"  # all wanted instances of the current release are ready
    updating = "updating"  # serving, while a newer release is brought in or the count is changed
    degraded = "degraded"  # serving with fewer instances than wanted
    crashed = "crashed"  # wanted, but no instance is up; they are tried again with back-off
    stopping = "stopping"
    destroying = "destroying"


class CheckKind(StrEnum):
    http = "http"  # GET path answers 200…399
    port = "port"  # the port accepts a connection
    process = "process"  # the process runs


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How to tell whether an instance is well.

    `timeout_s`: for one probe. `interval_s`: between probes once it is up (while starting it is probed faster).
    `failures`: consecutive failed probes until it counts as not ready (readiness) or is restarted (liveness).
    """

    kind: CheckKind = CheckKind.port
    path: str = "/"
    timeout_s: float = 2.0
    interval_s: float = 10.0
    failures: int = 3


DEFAULT_DISK_MB = 1024


@dataclass(frozen=True, slots=True)
class ProcessConfig:
    """How one process type of an app runs; part of a release.

    `command`: a shell line; None = what the build found (Procfile or the builder's default). `disk_mb`: of what it
    writes, which ends with the instance. `cpu`: cores, None = no limit. `start_timeout_s`: from start to first ready.
    `drain_s`: the longest wait for requests in flight before SIGTERM. `stop_timeout_s`: from SIGTERM to SIGKILL.
    `liveness` None: only the process' own end restarts it.
    """

    command: str | None = None
    memory_mb: int = 512
    disk_mb: int = DEFAULT_DISK_MB
    cpu: float | None = None
    readiness: HealthCheck = field(default_factory=HealthCheck)
    liveness: HealthCheck | None = None
    start_timeout_s: float = 60.0
    drain_s: float = 10.0
    stop_timeout_s: float = 10.0


_UNCONFIGURED_WEB = ProcessConfig(readiness=HealthCheck(kind=CheckKind.port))
_UNCONFIGURED = ProcessConfig(readiness=HealthCheck(kind=CheckKind.process))


@dataclass(frozen=True, slots=True)
class AppConfig:
    """All that a release fixes beside its droplet. `environment` values are secrets; they are encrypted at rest."""

    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    processes: Mapping[str, ProcessConfig] = field(default_factory=dict[str, ProcessConfig])

    def process(self, name: str) -> ProcessConfig:
        """A process type's configuration; one never configured has the defaults (`process` check unless `web`)."""
        known = self.processes.get(name)
        if known is not None:
            return known
        return _UNCONFIGURED_WEB if name == "web" else _UNCONFIGURED


@dataclass(frozen=True, slots=True)
class App:
    """An app: desired state (by operations) and observed state (`state`, `reason`, … by the reconciler)."""

    id: str
    space_id: str
    tenant_id: str
    organization_id: str
    name: str
    type: AppType
    runtime: RuntimeName
    labels: Mapping[str, str]
    desired: DesiredState
    scale: Mapping[str, int]  # process type: wanted instances
    config: AppConfig  # as it is wanted next; a release holds what runs
    target_release_id: str | None  # the release that should run
    epoch: int  # raised by a restart: instances of an older epoch are replaced
    generation: int
    created_at: datetime
    updated_at: datetime
    destroying: bool = False
    # observed
    current_release_id: str | None = None  # the newest release that became healthy
    state: AppState = AppState.stopped
    reason: Reason | None = None
    observed_generation: int = 0

    @property
    def place(self) -> Place:
        return Place(self.tenant_id, self.organization_id, self.space_id)


@dataclass(frozen=True, slots=True)
class Package:
    """An uploaded file. `seq` counts an app's packages from 1; the highest is the newest."""

    id: str
    app_id: str
    seq: int
    filename: str
    size: int
    sha256: str
    created_at: datetime
    created_by: str | None  # name of the user


class BuildState(StrEnum):
    pending = "pending"
    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    cancelled = "cancelled"


@dataclass(frozen=True, slots=True)
class Build:
    id: str
    app_id: str
    package_id: str
    runtime: RuntimeName  # as the app asked for it
    state: BuildState
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    droplet_id: str | None = None
    reason: Reason | None = None
    detected: str | None = None  # what the builder recognised, one line


@dataclass(frozen=True, slots=True)
class Droplet:
    """What a build made: one archive, and how to launch it. `tools`: toolbox names that must be there at run time."""

    id: str
    app_id: str
    build_id: str
    sha256: str
    size: int
    runtime: RuntimeName
    processes: Mapping[str, str]  # process type: shell line
    environment: Mapping[str, str]  # set by the build for run time, below the app's own
    tools: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Release:
    """Droplet + environment + configuration, immutable. `number` counts an app's releases from 1.

    `package_seq`: the newest package there was when it was asked for; a newer one makes `start` build again.
    `cause`: why it was made (`deploy`, `config`, `rollback`), `from_release`: what a rollback copied.
    """

    id: str
    app_id: str
    number: int
    droplet_id: str
    package_id: str
    package_seq: int
    config: AppConfig
    cause: str
    from_release: int | None
    created_at: datetime
    created_by: str | None  # name of the user
    healthy_at: datetime | None = None
    failed: Reason | None = None


class InstanceState(StrEnum):
    starting = "starting"
    ready = "ready"
    unready = "unready"  # was ready; its readiness check fails now: no traffic
    draining = "draining"  # no new requests; waits for those in flight
    stopping = "stopping"  # SIGTERM was sent
    exited = "exited"  # ended as it was told
    crashed = "crashed"  # ended by itself

    @property
    def ended(self) -> bool:
        return self in (InstanceState.exited, InstanceState.crashed)

    @property
    def leaving(self) -> bool:
        return self in (InstanceState.draining, InstanceState.stopping)


@dataclass(frozen=True, slots=True)
class ExitInfo:
    """How a process ended. `code` is None where it was a signal or where nobody saw it (`lost`)."""

    code: int | None
    signal: int | None = None
    out_of_memory: bool = False
    lost: bool = False  # it is gone and left no record: a reboot, or somebody else's kill
    disk_full: bool = False  # it was ended for writing more than its limit


@dataclass(frozen=True, slots=True)
class Instance:
    """One running (or ended) process of an app. `index` is its place among the process type's instances, from 0."""

    id: str
    app_id: str
    release_id: str
    epoch: int
    process: str
    index: int
    state: InstanceState
    created_at: datetime
    restarts: int = 0  # crashes of this place in a row, before this one
    started_at: datetime | None = None
    ready_at: datetime | None = None
    leaving_at: datetime | None = None
    ended_at: datetime | None = None
    host: str | None = None
    port: int | None = None
    exit: ExitInfo | None = None
    reason: Reason | None = None
    last_output: str | None = None  # the last lines, when it crashed
    bound: str = ""  # which bindings it was started with, a digest; empty: none


class TaskState(StrEnum):
    pending = "pending"
    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    cancelled = "cancelled"


@dataclass(frozen=True, slots=True)
class Task:
    """A one-off command in an app's own environment (`gongfang run`)."""

    id: str
    app_id: str
    release_id: str
    command: str
    memory_mb: int
    timeout_s: float
    state: TaskState
    created_at: datetime
    created_by: str | None  # name of the user
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit: ExitInfo | None = None
    reason: Reason | None = None
    cancel_requested: bool = False


class TlsState(StrEnum):
    """What a domain is seen to be served with over HTTPS."""

    none = "none"  # no certificate fits, HTTPS is off for it, or the edge has no HTTPS port
    pending = "pending"  # one fits; the edge has not confirmed it yet
    active = "active"
    expiring = "expiring"  # served; its certificate ends within 30 days
    expired = "expired"  # served all the same, so that visitors are told why
    refused = "refused"  # the edge would not take it

    @property
    def valid(self) -> bool:
        return self in (TlsState.active, TlsState.expiring)


class DomainStatus(StrEnum):
    detached = "detached"
    pending = "pending"  # attached; the edge has not acknowledged it yet
    active = "active"


@dataclass(frozen=True, slots=True)
class Domain:
    """A tenant's domain, lower-case ASCII (IDNA), with its ICP filing; attached to at most one app.

    `https`, `hsts_max_age_s` (None: no HSTS) and `hsts_subdomains` are wished; `tls`, `certificate_id` and
    `expires_at` are what it is seen to be served with.
    """

    id: str
    tenant_id: str
    domain: str
    icp_number: str | None
    app_id: str | None
    status: DomainStatus
    created_at: datetime
    tls: TlsState = TlsState.none
    default: bool = False  # the app's own NAME.BASE_DOMAIN
    https: HttpsMode = HttpsMode.optional
    hsts_max_age_s: int | None = None
    hsts_subdomains: bool = False
    certificate_id: str | None = None
    expires_at: datetime | None = None


# --- what is being done, and what happened ---------------------------------------------------------------------------


class OperationKind(StrEnum):
    start = "start"
    deploy = "deploy"
    stop = "stop"
    restart = "restart"
    scale = "scale"
    configure = "configure"
    rollback = "rollback"
    destroy = "destroy"
    create_service = "create_service"
    configure_service = "configure_service"
    delete_service = "delete_service"
    bind = "bind"
    unbind = "unbind"
    rotate = "rotate"
    backup_service = "backup_service"
    restore_service = "restore_service"

    @property
    def of_app(self) -> bool:
        """Whether the app's own reconciler drives it. The others are a service instance's or a binding's."""
        return self in APP_KINDS


APP_KINDS = frozenset(
    {
        *(OperationKind.start, OperationKind.deploy, OperationKind.stop, OperationKind.restart),
        *(OperationKind.scale, OperationKind.configure, OperationKind.rollback, OperationKind.destroy),
    }
)


class OperationStatus(StrEnum):
    pending = "pending"
    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    cancelled = "cancelled"

    @property
    def ended(self) -> bool:
        return self not in (OperationStatus.pending, OperationStatus.running)


@dataclass(frozen=True, slots=True)
class Step:
    """A part of an operation: `name` is a message code (`step_build`), times say how long it took."""

    name: str
    started_at: datetime
    finished_at: datetime | None = None
    facts: Mapping[str, str | int | float] = field(default_factory=dict[str, str | int | float])


@dataclass(frozen=True, slots=True)
class Operation:
    id: str
    kind: OperationKind
    app_id: str | None
    app_name: str | None
    tenant_id: str | None
    organization_id: str | None
    space_id: str | None
    status: OperationStatus
    params: JsonObject
    steps: tuple[Step, ...]
    created_at: datetime
    deadline: datetime
    created_by: str | None  # name of the user
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: Reason | None = None
    output: str | None = None  # the last lines of what failed
    cancel_requested: bool = False
    release_id: str | None = None
    build_id: str | None = None
    sequence: int = 0  # raised by each change; `Last-Event-ID`
    service_instance_id: str | None = None
    service_name: str | None = None
    binding_id: str | None = None


class Outcome(StrEnum):
    """How what an event tells of went. `requested`: accepted, its end is another event."""

    succeeded = "succeeded"
    refused = "refused"
    failed = "failed"
    requested = "requested"
    cancelled = "cancelled"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: `tag` is `noun:verb[:outcome]`, e.g. `app:deployment:succeeded`.

    `before`, `after`: the fields of the object that changed, secrets masked; None where nothing was (or is) there.
    An actor without an id, called `platform`, is the platform itself.
    """

    seq: int
    at: datetime
    tag: str
    actor_id: str | None
    actor_name: str | None
    source: str | None  # client address
    tenant_id: str | None
    organization_id: str | None
    space_id: str | None
    app_id: str | None
    object_id: str | None
    data: JsonObject
    request_id: str | None
    outcome: Outcome = Outcome.succeeded
    object_kind: str | None = None
    object_name: str | None = None
    before: JsonObject | None = None
    after: JsonObject | None = None
    token_id: str | None = None  # of the token that the call came with
    user_agent: str | None = None
