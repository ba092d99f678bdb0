"""What an app's process is given of the services that it is bound to: variables and files. Pure.

Not part of a release: a rollback must not bring revoked credentials back. Each instance notes instead with which
bindings it was started.

A process gets `VCAP_SERVICES` (all of it as JSON, as on Cloud Foundry), plain variables as `DATABASE_URL`, and files
`/bindings/NAME/KEY` below `SERVICE_BINDING_ROOT` (the convention of servicebinding.io). The app's own environment comes
after these, so it wins.

Hard cases. Two bindings want the same variable, or the app has it already: the second is named after its instance.
Credentials of an outside broker are hostile: keys that are no file names, values with a NUL, thousands of keys, more
than a variable can hold. Then what fits is given, and the rest left out: a process that can't be started at all would
be worse. A binding is of a service without an address.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from gongfang.domain.values import JsonObject

ROOT = "/bindings"
ROOT_VARIABLE = "SERVICE_BINDING_ROOT"
VCAP = "VCAP_SERVICES"
FILES_EACH = 24
MOST_FILES = 128
LONGEST_VARIABLE = 120_000
"""Bytes: Linux refuses to start a program with a variable of 128 KiB."""
MOST_FILE_BYTES = 900_000

_FILE = re.compile(r"[A-Za-z0-9_.-]{1,253}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_URL_KEYS = ("uri", "url")
_URLS = {
    **dict.fromkeys(("postgres", "postgresql", "mysql", "mysql2", "mariadb"), "DATABASE_URL"),
    **dict.fromkeys(("redis", "rediss", "valkey"), "REDIS_URL"),
    **dict.fromkeys(("amqp", "amqps", "rabbitmq"), "AMQP_URL"),
    "nats": "NATS_URL",
    **dict.fromkeys(("mongodb", "mongodb+srv"), "MONGODB_URL"),
}
"""By the scheme of an address, or by a tag: what most programs look for."""
_TYPES = frozenset(
    {
        *("postgresql", "mysql", "mariadb", "mongodb", "redis", "valkey", "rabbitmq", "amqp", "nats", "mqtt", "kafka"),
        *("s3", "influxdb", "timeseries", "spark"),
    }
)
_FIRST_KEYS = ("host", "port", "username", "password", "database", "uri", "url")


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


def digest_of(bound: Sequence[BoundService]) -> str:
    """Of which bindings, at which revision of each; the database makes the same of its rows."""
    text = ",".join(sorted(f"{each.binding_id}:{each.revision}" for each in bound))
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() if bound else ""


def attachment(bound: Sequence[BoundService]) -> Attachment:
    """All that a process is given. Nothing bound, nothing given."""
    if not bound:
        return Attachment()
    files = _files(bound)
    variables: dict[str, str] = {}
    for each in bound:
        for variable, value in plain_variables(each).items():
            variables.setdefault(variable, value)
    whole = vcap_services(bound)
    if _fits(whole):
        variables[VCAP] = whole
    if files:
        variables[ROOT_VARIABLE] = ROOT
    return Attachment(digest_of(bound), variables, files)


def reserved(variable: str) -> bool:
    """Names that no binding may take: they decide how the process runs, or are the platform's."""
    return (
        variable in ("PORT", "PATH", "HOME", ROOT_VARIABLE)
        or variable.startswith(("GONGFANG_", "LD_", "VCAP_"))
        or _VARIABLE.fullmatch(variable) is None
    )


def plain_variables(bound: BoundService) -> dict[str, str]:
    """The variables of one binding with their values. What can't be one is left out."""
    found: dict[str, str] = {}
    for variable, key in bound.variables.items():
        if key not in bound.credentials or reserved(variable):
            continue
        value = as_text(bound.credentials[key])
        if _fits(value):
            found[variable] = value
    return found


def default_variables(
    credentials: JsonObject, tags: Sequence[str], wanted: Mapping[str, str], instance_name: str, taken: Collection[str]
) -> dict[str, str]:
    """Variable → key of the credentials, where nobody asked for names. `wanted`: what the kind would have; `taken`:
    variables that another binding or the app itself has."""
    asked = {v: k for v, k in wanted.items() if k in credentials and not reserved(v)} or _by_convention(
        credentials, tags, instance_name
    )
    used = set(taken)
    chosen: dict[str, str] = {}
    for variable, key in asked.items():
        free = next((v for v in _names(variable, instance_name) if v not in used and not reserved(v)), None)
        if free is not None:
            chosen[free] = key
            used.add(free)
    return chosen


def _by_convention(credentials: JsonObject, tags: Sequence[str], instance_name: str) -> dict[str, str]:
    key = next((k for k in _URL_KEYS if isinstance(credentials.get(k), str)), None)
    if key is None:
        return {}
    scheme = str(credentials[key]).partition(":")[0].lower()
    known = (_URLS[word] for word in (scheme, *(tag.lower() for tag in tags)) if word in _URLS)
    return {next(known, f"{_upper(instance_name)}_URL"): key}


def _names(variable: str, instance_name: str) -> list[str]:
    prefix = _upper(instance_name)
    own = [f"{prefix}_URL"] if variable.endswith("_URL") else []
    return [variable, *own, f"{prefix}_{variable}"]


def _upper(name: str) -> str:
    word = re.sub(r"[^A-Z0-9]", "_", name.upper())
    return f"SERVICE_{word}" if not word or word[0].isdigit() else word


def vcap_services(bound: Sequence[BoundService]) -> str:
    """Text of `VCAP_SERVICES`: by the service's name, a list of those bound."""
    whole: dict[str, list[JsonObject]] = {}
    for each in bound:
        whole.setdefault(each.service, []).append(
            {
                "label": each.service,
                "name": each.name,
                "instance_name": each.instance_name,
                "binding_name": each.name,
                "instance_guid": each.instance_id,
                "binding_guid": each.binding_id,
                "plan": each.plan,
                "tags": list(each.tags),
                "provider": None,
                "credentials": each.credentials,
                "syslog_drain_url": each.syslog_drain_url,
                "volume_mounts": list(each.volume_mounts),
            }
        )
    return json.dumps(whole, ensure_ascii=True, separators=(",", ":"))


def service_type(bound: BoundService) -> str:
    """What `/bindings/NAME/type` says: the first tag that is a known type, else the service's name."""
    return next((tag for tag in bound.tags if tag.lower() in _TYPES), bound.service)


def files_of(bound: BoundService) -> dict[str, bytes]:
    """Of one binding, by name below its folder."""
    found = {"type": service_type(bound).encode(), "provider": bound.provider.encode()}
    keys = sorted(bound.credentials, key=lambda k: _FIRST_KEYS.index(k) if k in _FIRST_KEYS else len(_FIRST_KEYS))
    for key in keys:
        if len(found) >= FILES_EACH:
            break
        if _FILE.fullmatch(key) and key not in (".", "..") and bound.credentials[key] is not None:
            found.setdefault(key, as_text(bound.credentials[key]).encode(errors="replace"))
    return found


def _files(bound: Sequence[BoundService]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    size = 0
    for each in bound:
        for name, content in files_of(each).items():
            size += len(content)
            if len(files) >= MOST_FILES or size > MOST_FILE_BYTES:
                return files
            files.setdefault(f"{ROOT}/{each.name}/{name}", content)
    return files


def as_text(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def _fits(value: str) -> bool:
    if "\0" in value:
        return False
    try:
        return len(value.encode()) <= LONGEST_VARIABLE
    except UnicodeEncodeError:  # half of a character, as JSON may hold
        return False


def host_port(credentials: JsonObject, endpoints: Sequence[str]) -> tuple[str | None, int | None]:
    """Where it answers, as far as anybody says: the credentials' own fields, their address, or an endpoint."""
    host = next((h for k in ("host", "hostname") if isinstance(h := credentials.get(k), str) and h), None)
    port = _port(credentials.get("port"))
    if host is not None and port is not None:
        return host, port
    for key in _URL_KEYS:
        address = credentials.get(key)
        if isinstance(address, str):
            try:
                parts = urlsplit(address)
                host, port = host or parts.hostname, port or parts.port
            except ValueError:
                continue
    for endpoint in endpoints:
        if host is None or port is None:
            name, _, number = endpoint.rpartition(":")
            host, port = host or (name.strip("[]") or None), port or _port(number)
    return host, port


def _port(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 5:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535 else None
