"""What a platform at rest must not have: the audit behind the kill tests and the chaos benchmark.

Looks at it from outside, from four sides that must agree: what the API says, what lies in the home, what the kernel
runs, and what Envoy serves. Every disagreement is a sentence; a sound platform gives none.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import httpx2

from gongfang.client import Client
from gongfang.runtimes.local.net.addresses import Addresses, tag

_PLATFORM = ("postgres", "envoy", "names")


def unended(client: Client) -> list[str]:
    """Operations, builds and tasks that are still under way: not yet at rest."""
    found = [f"operation {o.id} ({o.kind} of {o.app_name}) is {o.status}" for o in _active(client)]
    if found:
        return found  # a destruction may be among them: its app would be gone while its builds are asked for
    for app in client.apps.list():
        found += [f"build {b.id} is {b.state}" for b in client.apps.builds(app.id) if b.state in ("pending", "running")]
        found += [f"task {t.id} is {t.state}" for t in client.tasks.list(app.id) if t.state in ("pending", "running")]
        if app.state not in ("running", "stopped"):
            found.append(f"app {app.name} is {app.state}")
    return found


def faults(home: Path, client: Client) -> list[str]:
    """What is lost, there twice, or left over on a platform at rest."""
    kernel = _kernel(home / "runtime")
    own = [*_instances(client), *_workloads(home, client), *_servers(home, client)]
    return [*own, *kernel, *_folders(home, client), *_edge(home, client)]


def _active(client: Client) -> Iterator[Any]:
    for status in ("pending", "running"):
        yield from client.operations.list(status=status)


def _instances(client: Client) -> Iterator[str]:
    """Every place of a started app is taken once, of others never."""
    for app in client.apps.list():
        places = Counter((i.process, i.index) for i in client.apps.instances(app.id) if i.state != "crashed")
        yield from (f"{app.name} runs {count} times at {place}" for place, count in places.items() if count > 1)
        wanted = app.instances_wanted if app.desired_state == "started" else 0
        if len(places) != wanted:
            yield f"{app.name} has {len(places)} instances, wanted are {wanted}"


def _workloads(home: Path, client: Client) -> Iterator[str]:
    known: set[str] = set()
    live: set[str] = set()
    for app in client.apps.list():
        for instance in client.apps.instances(app.id, ended=True):
            known.add(instance.id)
            if instance.ended_at is None:
                live.add(instance.id)
        known |= {b.id for b in client.apps.builds(app.id)} | {t.id for t in client.tasks.list(app.id)}
    servers = {record["id"] for record in _records(home, "service")}
    for folder in (home / "runtime" / "workloads").iterdir():
        if folder.name in servers or folder.name.startswith(_PLATFORM):  # see `_servers`
            live |= {folder.name} if not (folder / "end.json").exists() else set()
        elif folder.name not in known:
            yield f"the records of {folder.name} are left, which nobody knows"
        elif folder.name not in live and not (folder / "end.json").exists():
            yield f"{folder.name} has ended, and its records say that it runs"
    running = _in_groups(home)
    if running is not None:
        yield from (f"{name} has processes and is none that should run" for name in sorted(running - live))
        yield from (f"{name} should run and has no process" for name in sorted(live - running))


def _records(home: Path, kind: str) -> list[Any]:
    found = [json.loads(path.read_text()) for path in (home / "runtime" / "workloads").glob("*/record.json")]
    return [record for record in found if record["kind"] == kind]


def _servers(home: Path, client: Client) -> Iterator[str]:
    """Each service instance that runs has one server, at the place that its status tells, and one folder of data. Data
    whose instance does not run are not judged: nobody but an instance's deletion takes data away."""
    folder = home / "runtime" / "workloads"
    records = _records(home, "service")
    for record in records:
        if (folder / record["id"] / "end.json").exists():
            yield f"the records of the server {record['id']} are left, which has ended"
    running = [record for record in records if not (folder / record["id"] / "end.json").exists()]
    told = [client.services.status(service.id) for service in client.services.list()]
    up = [status for status in told if status.state == "running"]
    places = Counter(record["port"] for record in running)
    wanted = Counter(status.port for status in up)
    yield from (
        f"{places[port]} servers run at port {port}, wanted is {wanted[port]}" for port in _apart(places, wanted)
    )
    yield from (f"the service {status.name} is {status.state}" for status in told if status.state != "running")
    data = home / "services"
    if data.is_dir() and len(up) == len(told):
        known = {record["labels"]["hosted"] for record in running}
        yield from (f"services/{path.name} is left" for path in data.iterdir() if path.name not in known)


def _apart(one: Counter[Any], other: Counter[Any]) -> list[Any]:
    return sorted(key for key in one.keys() | other.keys() if one[key] != other[key])


def _in_groups(home: Path) -> set[str] | None:
    """Workloads with processes, by the kernel's control groups; None where there are none. A group without a process
    is told too: it is left over."""
    name = "gongfang-" + hashlib.sha256(os.fsencode(home / "runtime")).hexdigest()[:12]
    groups = [Path(top) for top, folders, _ in os.walk("/sys/fs/cgroup") if Path(top).name == name]
    if not groups:
        return None
    return {child.name for group in groups for child in group.iterdir() if child.is_dir()}


def _kernel(runtime: Path) -> Iterator[str]:
    """Interfaces and loop devices of this home: one of each for each workload that has one, and no other."""
    records = [json.loads(path.read_text()) for path in (runtime / "workloads").glob("*/record.json")]
    running = [each for each in records if not (runtime / "workloads" / each["id"] / "end.json").exists()]
    prefix, settings = f"gf{tag(runtime)}", runtime / "network.json"
    wanted: set[str] = set()
    if settings.exists():
        addresses = Addresses(IPv4Network(json.loads(settings.read_text())["subnet"]))
        first, last = int(addresses.of_slot(0)), int(addresses.of_pinned(0))
        for each in running:
            if each.get("address"):
                address = int(IPv4Address(each["address"]))
                pinned = each["kind"] == "service"  # its port is its own, and its address is counted from the end
                wanted.add(f"{prefix}s{last - address}" if pinned else f"{prefix}{address - first}")
    there = {path.name for path in Path("/sys/class/net").glob(f"{prefix}*")}
    yield from (f"the interface {name} is left over" for name in sorted(there - wanted))
    yield from (f"the interface {name} is missing" for name in sorted(wanted - there))
    disks = [each["id"] for each in running if each["sandboxed"] and each["limits"].get("disk_bytes") is not None]
    loops = [path.parts[3] for path in Path("/sys/block").glob("loop*/loop/backing_file") if _is_below(path, runtime)]
    if len(loops) > len(disks):
        yield f"{len(loops)} loop devices ({', '.join(sorted(loops))}) are there for {len(disks)} workloads with a disk"


def _is_below(backing: Path, folder: Path) -> bool:
    try:
        return backing.read_text().startswith(f"{folder}/")
    except OSError:  # it has gone just now
        return False


def _folders(home: Path, client: Client) -> Iterator[str]:
    for name in ("builds", "spool"):
        folder = home / name
        if folder.is_dir():
            yield from (f"{name}/{path.name} is left" for path in folder.iterdir())
    apps = {app.id for app in client.apps.list()}
    cache = home / "cache"
    if cache.is_dir():
        yield from (f"cache/{path.name} is left" for path in cache.iterdir() if path.name not in apps)


def _edge(home: Path, client: Client) -> Iterator[str]:
    """Envoy serves the attached domains and the ready instances, and no others."""
    apps = list(client.apps.list())
    hosts = {route.domain for app in apps for route in app.routes}
    ready = {
        (i.host, i.port)
        for app in apps
        for i in client.apps.instances(app.id)
        if i.state == "ready" and i.process == "web"
    }
    transport = httpx2.HTTPTransport(uds=str(next((home / "run" / "edge").glob("*/admin.sock"))))
    with httpx2.Client(transport=transport, base_url="http://envoy", timeout=20, trust_env=False) as admin:
        dump = admin.get("/config_dump").raise_for_status().json()
        clusters = admin.get("/clusters", params={"format": "json"}).raise_for_status().json()
    served = set(_scopes(dump))
    yield from (f"the edge serves {host}, which is no app's" for host in sorted(served - hosts))
    yield from (f"the edge does not serve {host}" for host in sorted(hosts - served))
    endpoints = set(_endpoints(clusters))
    yield from (f"the edge sends to {at}, where nothing is ready" for at in sorted(endpoints - ready))
    yield from (f"the edge does not send to {at}" for at in sorted(ready - endpoints))


def _scopes(dump: Any) -> Iterator[str]:
    for config in dump["configs"]:
        for dynamic in config.get("dynamic_scoped_route_configs", ()):
            for scope in dynamic.get("scoped_route_configs", ()):
                yield scope["name"]


def _endpoints(clusters: Any) -> Iterator[tuple[str, int]]:
    for cluster in clusters.get("cluster_statuses", ()):
        if cluster.get("added_via_api"):
            for host in cluster.get("host_statuses", ()):
                at = host["address"]["socket_address"]
                yield at["address"], at["port_value"]
