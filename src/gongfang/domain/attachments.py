"""What an app's process is given of the services that it is bound to: variables and files. Pure.

Not part of a release: a rollback must not bring revoked credentials back. Each instance notes instead with which
bindings it was started.

Hard cases. Two bindings want the same variable. Credentials of an outside broker are hostile: keys with `/` or NUL in
them, values that are objects, thousands of keys. A binding is of a service without an address.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from gongfang.domain.values import JsonObject


@dataclass(frozen=True, slots=True)
class BoundService:
    """One binding that counts, with all that a process may be told of it. `service`: the catalogue's name of it;
    `plan` None: user-provided. `provider`: `gongfang`, or the broker's name."""

    binding_id: str
    revision: int
    name: str
    service: str
    instance_id: str
    instance_name: str
    plan: str | None
    tags: tuple[str, ...]
    provider: str
    credentials: JsonObject = field(repr=False)
    variables: Mapping[str, str]
    endpoints: tuple[str, ...] = ()
    syslog_drain_url: str | None = None
    volume_mounts: tuple[JsonObject, ...] = ()


@dataclass(frozen=True, slots=True)
class Attachment:
    """`digest`: which bindings these are, as `state.service_queries` makes it; empty: none."""

    digest: str = ""
    variables: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes], repr=False)


def attachment(bound: Sequence[BoundService]) -> Attachment:
    raise NotImplementedError


def default_variables(
    credentials: JsonObject, tags: Sequence[str], wanted: Mapping[str, str], instance_name: str, taken: Collection[str]
) -> dict[str, str]:
    """Variable → key of the credentials, where nobody asked for names. `wanted`: what the kind would have; `taken`:
    variables that another binding or the app itself has."""
    raise NotImplementedError


def vcap_services(bound: Sequence[BoundService]) -> str:
    raise NotImplementedError


def host_port(credentials: JsonObject, endpoints: Sequence[str]) -> tuple[str | None, int | None]:
    raise NotImplementedError
