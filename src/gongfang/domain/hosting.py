"""The nouns of the built-in broker's own side: servers that it runs, for whichever platform, and their users."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from gongfang.domain.errors import Reason
from gongfang.domain.services import BindingState
from gongfang.domain.values import JsonObject

PORTS_EACH = 4
"""Ports in a row that each server has."""


class HostedState(StrEnum):
    creating = "creating"
    ready = "ready"
    updating = "updating"
    crashed = "crashed"  # comes back, with back-off
    broken = "broken"  # does not come back by itself
    deleting = "deleting"


@dataclass(frozen=True, slots=True)
class LastOperation:
    """What the server's platform is told when it polls; kept after its end. `kind`: `provision`, `update`,
    `deprovision`, `bind`, `unbind`; `state`: `in progress`, `succeeded`, `failed`."""

    id: str
    kind: str
    state: str
    description: str | None
    began_at: datetime


@dataclass(frozen=True, slots=True)
class HostedInstance:
    """One server. `owner`: "" for this platform, else the user whose token another platform has; `instance_id`: the
    platform's id. `service`, `plan`: names of kind and plan. `port`: the first of its block. `parameters` of built-in
    kinds hold no secret, by their schemas.

    `initialized`: its data folder has held data. `workload_id`: written before its start. `open_ports`: what bound apps
    may reach. `version`: of the server's tool.
    """

    id: str
    owner: str
    instance_id: str
    service: str
    plan: str
    parameters: JsonObject
    generation: int
    deleting: bool
    port: int
    admin_secret: str = field(repr=False)
    created_at: datetime
    # observed
    state: HostedState = HostedState.creating
    reason: Reason | None = None
    observed_generation: int = 0
    plan_seen: str | None = None
    parameters_seen: JsonObject | None = None
    initialized: bool = False
    workload_id: str | None = None
    started_at: datetime | None = None
    ready_at: datetime | None = None
    ended_at: datetime | None = None
    host: str | None = None
    open_ports: tuple[int, ...] = ()
    restarts: int = 0
    next_start_at: datetime | None = None
    last_output: str | None = None
    version: str | None = None
    last_operation: LastOperation | None = None


@dataclass(frozen=True, slots=True)
class HostedBinding:
    """One user of a server. `seed_secret`: JSON, made before the server is told."""

    id: str
    hosted_id: str
    binding_id: str
    predecessor: str | None
    parameters: JsonObject
    deleting: bool
    created_at: datetime
    seed_secret: str = field(repr=False)
    # observed
    state: BindingState = BindingState.creating
    reason: Reason | None = None
    last_operation: LastOperation | None = None
