"""The endpoints of the reference server: the 29, what is needed beside them, and the lies that only each can tell."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.unit.conformance.machinery import Fault, Listed, Reference, Request, Response, now, zipped_page

# --- values ----------------------------------------------------------------------------------------------------------


def text_of(body: dict[str, Any], name: str, needed: bool = True, pattern: str = r"[^\x00]{1,200}") -> str | None:
    value = body.get(name)
    if value is None and not needed:
        return None
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise Fault(422, "validation_failed", name)
    return value


def number_of(body: dict[str, Any], name: str, least: float = 0, needed: bool = False) -> Any:
    value = body.get(name)
    if value is None and not needed:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or value < least:
        raise Fault(422, "validation_failed", name)
    return value


def choice(body: dict[str, Any], name: str, *allowed: str, needed: bool = True) -> str | None:
    value = text_of(body, name, needed)
    if value is not None and value not in allowed:
        raise Fault(422, "validation_failed", name)
    return value


def file_of(request: Request) -> tuple[str, bytes]:
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        if "filename" not in request.query:
            raise Fault(422, "validation_failed", "filename")
        return request.query["filename"], request.body
    boundary = kind.partition("boundary=")[2].encode()
    for part in request.body.split(b"--" + boundary):
        head, _, content = part.partition(b"\r\n\r\n")
        if b'name="file"' in head:
            name = re.search(rb'filename="([^"]*)"', head)
            return name[1].decode() if name else "file", content.removesuffix(b"\r\n")
    raise Fault(422, "validation_failed", "file")


# --- 5.1 -------------------------------------------------------------------------------------------------------------


def create_app(self: Reference, request: Request) -> Response:
    body = request.json()
    name = text_of(body, "name", pattern=r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
    choice(body, "type", "web", "worker", needed=False)
    choice(body, "runtime", "static", "python", needed=False)
    domain = text_of(body, "domain", needed=False) or f"{name}.apps.localhost"
    if any(a["name"] == name for a in self.apps.values()) and not self.lie("5.1(1):name_twice"):
        raise Fault(409, "name_taken")
    app = {
        "id": self.id("app"), "name": "another" if self.lie("5.1(1):another_name") else name, "domain": domain,
        "tenant_id": "ten_1", "organization_id": "org_1", "space_id": "spc_1", "memory_mb": 256,
        "desired_state": "stopped", "state": "stopped", "instances": [], "created_at": now(),
        "__page": None, "__version": 1, "__count": 1, "__owner": request.user,
    }  # fmt: skip
    if self.lie("5.1(1):somebody_elses"):
        return Response(201, self.shown(app) | {"id": next(iter(self.apps))})
    self.apps[app["id"]] = app
    self.packages[app["id"]] = []
    return Response(201, self.shown(app), self.tag(app))


def list_apps(self: Reference, request: Request) -> Response:
    found = [self.shown(a) for a in self.apps.values()]
    user = self.users.get(request.user)
    if user is not None and not user["roles"] and not self.lie("auth:listed"):
        found = []
    if self.lie("5.1(1):not_listed"):
        found = found[:-1]
    return self.listing(request, found)


def show_app(self: Reference, request: Request, key: str) -> Response:
    app = self.app(key)
    name = "another" if self.lie("5.1(1):another_shown") else app["name"]
    return Response(200, self.shown(app) | {"name": name}, self.tag(app))


def upload(self: Reference, request: Request, key: str) -> Response:
    app = self.app(key)
    name, content = file_of(request)
    raw = "filename" in request.query
    record = {
        "id": self.id("pkg"),
        "filename": "upload.bin" if self.lie("5.1(2):another_name") else name,
        "size": len(request.body) if self.lie("5.1(2):whole_body") and not raw else len(content),
        "sha256": hashlib.sha256(b"" if self.lie("5.1(2):another_sum") else content).hexdigest(),
        "created_at": now(),
    }
    if self.lie("5.1(2):no_raw") and raw:
        raise Fault(415, "multipart_needed")
    self.packages[app["id"]].append({**record, "__content": content})
    if self.lie("5.1(3):upload_runs") and app["__page"] is not None:
        app["__page"] = zipped_page(content)
    return Response(201, record)


def start(self: Reference, request: Request, key: str) -> Response:
    app = self.app(key)
    self.matching(request, app)
    if not self.packages[key]:
        raise Fault(409, "nothing_to_run")
    which = 0 if self.lie("5.1(3):first_package") else -1
    page = zipped_page(self.packages[key][which]["__content"])
    running = app["__page"] is not None
    if running and self.lie("5.1(3):twice_is_409"):
        raise Fault(409, "runs_already")
    self.waits(request)
    if page is not None and not self.lie("5.1(3):nothing_runs"):
        app["__page"] = b"<html>welcome</html>" if self.lie("5.1(3):another_page") else page
        app["state"] = app["desired_state"] = "running"
        app["instances"] = [{"id": self.id("ins")} for _ in range(app["__count"])]
    return self.promised(request, "start", failed=page is None, app=self.shown(app))


def scale(self: Reference, request: Request, key: str) -> Response:
    app = self.app(key)
    body = request.json()
    count, memory = number_of(body, "instances"), number_of(body, "memory_mb", 16)
    if count is None and memory is None:
        raise Fault(422, "validation_failed", "instances")
    self.matching(request, app)
    more, less = self.lie("5.1(4):never_more"), self.lie("5.1(4):never_less")
    if count is not None and not (more and count > 1) and not (less and count < app["__count"]):
        app["__count"] = count
    if memory is not None and not self.lie("5.1(4):no_memory"):
        app["memory_mb"] = memory
    if app["__page"] is not None:
        app["instances"] = [{"id": self.id("ins")} for _ in range(app["__count"])]
    return self.promised(request, "scale", app=self.shown(app))


def set_policy(self: Reference, request: Request, key: str) -> Response:
    self.app(key)
    body = request.json()
    choice(body, "scale_type", "instances", "memory")
    number_of(body, "scale_value", 0.001, needed=True)
    number_of(body, "max_instances", 1)
    self.policies[key] = {**body, "scale_value": 99} if self.lie("5.1(5):forgets") else body
    return Response(200, body)


def get_policy(self: Reference, request: Request, key: str) -> Response:
    if key not in self.policies:
        raise Fault(404, "no_policy")
    return Response(200, self.policies[key])


def stop(self: Reference, request: Request, key: str) -> Response:
    app = self.app(key)
    self.waits(request)
    self.matching(request, app)
    if not self.lie("5.1(6):runs_on"):
        app["__page"], app["state"], app["instances"] = None, "stopped", []
    if self.lie("5.1(6):loses_packages"):
        self.packages[key] = self.packages[key][:-1] and []
    if self.lie("5.1(6):destroys"):
        del self.apps[key]
    return self.promised(request, "stop", app=self.shown(app))


def destroy(self: Reference, request: Request, key: str) -> Response:
    if key not in self.apps and self.lie("5.1(7):twice_is_500"):
        raise Fault(500, "internal")
    app = self.app(key)
    if self.lie("5.1(7):stays"):
        return self.promised(request, "destroy")
    del self.apps[key]
    for domain in self.domains.values():
        if domain["app_id"] == key:
            domain["app_id"] = None
    if self.lie("5.1(7):page_stays"):
        ghost = {**app, "id": "ghost", "name": "ghost"}
        self.apps[self.id("ghost")] = ghost
    return self.promised(request, "destroy")


def bind(self: Reference, request: Request, key: str) -> Response:
    self.app(key)
    instance = text_of(request.json(), "service_instance_id")
    if instance not in self.instances:
        raise Fault(404, "service_instance_not_found")
    binding = {"id": self.id("bnd"), "app_id": key, "service_instance_id": instance, "created_at": now()}
    if not self.lie("5.1(8):forgets"):
        self.bindings.append(binding)
    return Response(201, binding)


def list_bindings(self: Reference, request: Request, key: str) -> Response:
    self.app(key)
    return self.listing(request, [b for b in self.bindings if b["app_id"] == key])


def unbind(self: Reference, request: Request, key: str, instance: str) -> Response:
    self.app(key)
    found = [b for b in self.bindings if b["app_id"] == key and b["service_instance_id"] == instance]
    if not found:
        raise Fault(500 if self.lie("5.1(9):twice_is_500") else 404, "not_bound")
    if not self.lie("5.1(9):stays"):
        self.bindings.remove(found[0])
    return Response(200)


def list_domains(self: Reference, request: Request, tenant: str) -> Response:
    if tenant != "ten_1":
        raise Fault(404, "tenant_not_found")
    found = [dict(d) for d in self.domains.values()]
    if self.lie("5.1(10):empty"):
        found = []
    if self.lie("5.1(10):no_number"):
        found = [d | {"icp_number": "粤ICP备1号"} for d in found]
    if self.lie("5.1(10):fields"):
        found = [{"id": d["id"], "domain": d["domain"]} for d in found]
    return self.listing(request, found)


def bind_domain(self: Reference, request: Request) -> Response:
    body = request.json()
    name = text_of(body, "domain", pattern=r"[a-z0-9-]+(\.[a-z0-9-]+)+")
    number = text_of(body, "icp_number", needed=False, pattern=r"[京沪粤苏]ICP备\d+号(-\d+)?")
    if "app_id" in body:
        self.app(body["app_id"])
    domain = {
        "id": self.id("dom"), "domain": name, "icp_number": number, "app_id": body.get("app_id"),
        "status": "active", "tls": "none", "created_at": now(),
    }  # fmt: skip
    self.domains[domain["id"]] = domain
    return Response(201, domain | ({"icp_number": None} if self.lie("5.1(11):no_number") else {}))


def show_domain(self: Reference, request: Request, key: str) -> Response:
    if key not in self.domains:
        raise Fault(404, "domain_not_found")
    return Response(200, self.domains[key])


def delete_domain(self: Reference, request: Request, key: str) -> Response:
    show_domain(self, request, key)
    del self.domains[key]
    return Response(200)


def detach(self: Reference, request: Request, key: str, domain: str) -> Response:
    self.app(key)
    found = self.domains.get(domain)
    if found is None or found["app_id"] != key:
        raise Fault(500 if self.lie("5.1(12):twice_is_500") else 404, "domain_not_attached")
    if not self.lie("5.1(12):stays"):
        found["app_id"] = None
    if self.lie("5.1(12):forgets"):
        del self.domains[domain]
    if self.lie("5.1(12):stops"):
        self.apps[key]["__page"] = None
    return Response(200)


# --- 5.2 -------------------------------------------------------------------------------------------------------------


def new_version(self: Reference, app: str, number: str, content: bytes | None = None) -> dict[str, Any]:
    version = {
        "id": self.id("ver"), "app_id": app, "version": number, "source": "upload" if content else "repository",
        "created_at": now(), "__content": content,
    }  # fmt: skip
    self.versions[version["id"]] = version
    return {k: v for k, v in version.items() if not k.startswith("__")}


def create_repository(self: Reference, request: Request, key: str) -> Response:
    self.app(key)
    number = text_of(request.json(), "version") or ""
    self.repositories.add(key)
    repository = {"clone_url": f"{self.url}/git/{key}.git", "default_branch": "main"}
    return Response(201, {"repository": repository, "version": new_version(self, key, number)})


def upload_code(self: Reference, request: Request, key: str) -> Response:
    self.app(key)
    if request.query.get("version_id", "") not in ("", *self.versions):
        raise Fault(404, "version_not_found")
    _, content = file_of(request)
    version = new_version(self, key, f"1.0.{self.counter}", content)
    if self.lie("5.2(2):no_version"):
        version = {**version, "id": "ver_nothing"}
    return Response(201, {"commit": "0" * 40, "version": version})


def download(self: Reference, request: Request, key: str) -> Response:
    version = self.versions.get(key)
    if version is None:
        raise Fault(404, "version_not_found")
    content = version["__content"] or b""
    digest = hashlib.sha256(content)
    if request.headers.get("accept") == "application/json":
        wrong = self.lie("5.2(3):record")
        return Response(200, {"sha256": "" if wrong else digest.hexdigest(), "url": f"{self.url}{request.path}"})
    headers = {
        "content-type": "application/zip",
        "content-disposition": 'attachment; filename="code.zip"',
        "repr-digest": f"sha-256=:{base64.b64encode(digest.digest()).decode()}:",
    }
    if self.lie("5.2(3):digest"):
        headers["repr-digest"] = "sha-256=:AAAA:"
    if self.lie("5.2(3):no_name"):
        del headers["content-disposition"]
    return Response(200, raw=content[1:] if self.lie("5.2(3):bytes") else content, headers=headers)


def branches(self: Reference, request: Request) -> Response:
    if request.query.get("credential_id") not in self.credentials:
        raise Fault(404, "credential_not_found")
    url = request.query.get("git_url", "")
    if not url.startswith("http"):
        raise Fault(422, "validation_failed", "git_url")
    commit = "unknown" if self.lie("5.2(4):no_commit") else "a" * 40
    found = [] if self.lie("5.2(4):none") else [{"name": "main", "commit": commit}]
    return Response(200, {"branches": found})


def set_pipeline(self: Reference, request: Request, key: str) -> Response:
    self.app(key)
    body = request.json()
    text_of(body, "git_url")
    choice(body, "build_type", "static", "python")
    choice(body, "trigger", "webhook", "poll", "manual", needed=False)
    pipeline = {"id": self.id("pip"), **body, "webhook_url": f"{self.url}/hooks/1"}
    if self.lie("5.2(5):no_webhook"):
        del pipeline["webhook_url"]
    if not self.lie("5.2(5):forgets"):
        self.pipelines[key] = pipeline
    return Response(201, pipeline)


def get_pipeline(self: Reference, request: Request, key: str) -> Response:
    if key not in self.pipelines:
        raise Fault(404, "no_pipeline")
    return Response(200, self.pipelines[key])


def create_version(self: Reference, request: Request, key: str) -> Response:
    self.app(key)
    number = text_of(request.json(), "version", needed=False) or "1"
    return Response(201, new_version(self, key, "0.0.0" if self.lie("5.2(6):another_number") else number))


def list_versions(self: Reference, request: Request, key: str) -> Response:
    self.app(key)
    found = [{k: v for k, v in version.items() if not k.startswith("__")} for version in self.versions.values()]
    found = [v for v in found if v["app_id"] == key]
    if self.lie("5.2(6):not_listed"):
        found = [v for v in found if not v["version"].startswith("2.")]
    return self.listing(request, found)


def create_credential(self: Reference, request: Request) -> Response:
    credential = {"id": self.id("cre"), "name": text_of(request.json(), "name")}
    self.credentials[credential["id"]] = credential
    return Response(201, credential)


def delete_credential(self: Reference, request: Request, key: str) -> Response:
    if self.credentials.pop(key, None) is None:
        raise Fault(404, "credential_not_found")
    return Response(200)


# --- 5.3 -------------------------------------------------------------------------------------------------------------

NUMBERS = ("5.3(1)", "5.3(2)", "5.3(3)", "5.3(4)")


def metrics(clause: str, figures: Callable[[Reference, str, bool], dict[str, Any]]) -> Callable[..., Response]:
    def answer(self: Reference, request: Request, key: str) -> Response:
        self.app(key)
        query = request.query
        step = {"hour": timedelta(hours=1), "day": timedelta(days=1)}.get(query.get("granularity", "hour"))
        zone_name = query.get("timezone", "Asia/Shanghai")
        zone = ZoneInfo(zone_name) if zone_name in ("UTC", "Asia/Tokyo", "Asia/Shanghai") else None
        if step is None or zone is None:
            raise Fault(422, "validation_failed", "granularity")
        if "from" in query and (not query["from"][0].isdigit() or query["from"] > query.get("to", "9")):
            raise Fault(422, "validation_failed", "from")
        if self.lie(f"{clause}:utc_always"):
            zone = ZoneInfo("UTC")
        at = datetime.now(zone).replace(minute=0, second=0, microsecond=0)
        at = at.replace(hour=0) if step.days else at
        starts = [at - step * n for n in (3, 2, 1, 0)]
        if self.lie(f"{clause}:gap"):
            del starts[1]
        points = [
            {"start": start.isoformat(), "partial": start == at, **figures(self, key, start == at)} for start in starts
        ]
        if self.lie(f"{clause}:no_partial"):
            points[-1]["partial"] = False
        return Response(200, {
            "points": points, "totals": figures(self, key, True), "granularity": query.get("granularity", "hour"),
            "timezone": zone_name, "from": starts[0].isoformat(), "to": now(),
        })  # fmt: skip

    return answer


def traffic(self: Reference, key: str, last: bool) -> dict[str, Any]:
    out = self.bytes_out.get(key, 0) if last else 0
    if self.lie("5.3(1):nothing"):
        out = 0
    return {"bytes_in": out // 10, "bytes_out": out}


def visits(self: Reference, key: str, last: bool) -> dict[str, Any]:
    count = self.visits.get(key, 0) if last else 0
    count = {"5.3(2):nothing": 0, "5.3(2):tenfold": count * 10}.get(
        next((x for x in self.lies if x.startswith("5.3(2):")), ""), count
    )
    return {
        "requests": count, "unique_visitors": min(count, 1), "status_2xx": count, "status_3xx": 0, "status_4xx": 0,
        "status_5xx": 0, "latency_ms": {"p50": 1.0, "p95": 2.0, "p99": None},
    }  # fmt: skip


def used(clause: str, amount: float) -> Callable[[Reference, str, bool], dict[str, Any]]:
    def figures(self: Reference, key: str, last: bool) -> dict[str, Any]:
        values: dict[str, Any] = dict.fromkeys(("average", "maximum", "p95"), amount if last else None)
        if self.lie(f"{clause}:never_measured"):
            values = dict.fromkeys(values)
        if last and self.lie(f"{clause}:over_maximum"):
            values["average"] = amount * 2
        return values | {f"{k}_percent": v for k, v in values.items()}

    return figures


def set_alarm(self: Reference, request: Request, key: str) -> Response:
    app = self.app(key)
    body = request.json()
    choice(body, "metric", "cpu", "memory")
    choice(body, "operator", ">", "<")
    choice(body, "action", "start", "stop", "restart", "scale", "notify")
    number_of(body, "threshold", needed=True)
    number_of(body, "for_seconds")
    alarm = {"id": self.id("alm"), "app_id": key, **body}
    if not self.lie("5.3(5):forgets"):
        self.alarms[alarm["id"]] = alarm
    if self.lie("5.3(5):another_rule"):
        alarm = alarm | {"threshold": 1}
    state = {"app_id": key, "name": app["name"], "state": app["state"], "since": now(), "alarm_id": None}
    if self.lie("5.3(5):says_stopped"):
        state["state"] = "stopped"
    return Response(201, {"alarm": alarm, "app_states": [] if self.lie("5.3(5):no_states") else [state]})


def list_alarms(self: Reference, request: Request, key: str) -> Response:
    self.app(key)
    return self.listing(request, [a for a in self.alarms.values() if a["app_id"] == key])


# --- 5.4 -------------------------------------------------------------------------------------------------------------


def bring(self: Reference, request: Request, organization: str) -> Response:
    if organization != "org_1":
        raise Fault(404, "organization_not_found")
    body = request.json()
    name = text_of(body, "name")
    if "broker" in body and not isinstance(body["broker"], dict):
        raise Fault(422, "validation_failed", "broker")
    found = [s for s in self.services.values() if s["name"] == name]
    service = found[0] if found else {"id": self.id("svc"), "name": name, "plans": [{"name": "small"}]}
    if not self.lie("5.4(1):forgets"):
        self.services[service["id"]] = service
    return Response(201, service)


def list_services(self: Reference, request: Request, organization: str) -> Response:
    return self.listing(request, list(self.services.values()))


def take_away(self: Reference, request: Request, organization: str, key: str) -> Response:
    if self.services.pop(key, None) is None:
        raise Fault(404, "service_not_found")
    return Response(200)


def create_instance(self: Reference, request: Request, space: str) -> Response:
    if space != "spc_1":
        raise Fault(404, "space_not_found")
    body = request.json()
    text_of(body, "service")
    if not isinstance(body.get("parameters", {}), dict):
        raise Fault(422, "validation_failed", "parameters")
    instance = {"id": self.id("sin"), "name": text_of(body, "name", needed=False) or "db", "plan": "small"}
    if not self.lie("5.4(2):nothing") or self.instances:
        self.instances[instance["id"]] = instance
    shown = instance | ({"name": "another"} if self.lie("5.4(2):another_name") else {})
    return self.promised(request, "create_service", service_instance=shown)


def instance_of(self: Reference, key: str) -> dict[str, Any]:
    if key not in self.instances:
        raise Fault(404, "service_instance_not_found")
    return self.instances[key]


def show_instance(self: Reference, request: Request, key: str) -> Response:
    return Response(200, instance_of(self, key))


def list_instances(self: Reference, request: Request) -> Response:
    found = list(self.instances.values())
    return self.listing(request, [] if self.lie("5.4(2):not_listed") else found)


def configure(self: Reference, request: Request, key: str) -> Response:
    instance = instance_of(self, key)
    body = request.json()
    if not body:
        raise Fault(422, "validation_failed", "plan")
    if "plan" in body and body["plan"] not in ("small", "large"):
        raise Fault(422, "validation_failed", "plan")
    if not isinstance(body.get("parameters", {}), dict):
        raise Fault(422, "validation_failed", "parameters")
    if self.lie("5.4(3):replaces"):
        del self.instances[key]
    return self.promised(request, "configure", service_instance=instance)


def environment(self: Reference, request: Request, key: str, instance: str) -> Response:
    self.app(key)
    instance_of(self, instance)
    variables = {} if self.lie("5.4(4):empty") else {"DATABASE_URL": "postgresql://…"}
    return Response(
        200, {"host": "10.0.0.7", "port": "5432" if self.lie("5.4(4):port") else 5432, "environment": variables}
    )


def delete_instance(self: Reference, request: Request, key: str) -> Response:
    if key not in self.instances and self.lie("5.4(5):twice_is_500"):
        raise Fault(500, "internal")
    instance_of(self, key)
    if not self.lie("5.4(5):stays"):
        del self.instances[key]
        self.bindings = [b for b in self.bindings if b["service_instance_id"] != key]
    return self.promised(request, "delete_service")


def instance_status(self: Reference, request: Request, key: str) -> Response:
    instance = instance_of(self, key)
    status = {"name": instance["name"], "host": "10.0.0.7", "port": 5432, "cpu": 0.1, "memory": 1, "state": "running"}
    if self.lie("5.4(6):no_memory"):
        del status["memory"]
    return Response(200, status)


# --- beside the 29 ---------------------------------------------------------------------------------------------------


def show_operation(self: Reference, request: Request, key: str) -> Response:
    if key not in self.operations:
        if self.lie("operations:anything_is_one"):
            return Response(200, {"id": key})
        raise Fault(404, "operation_not_found")
    shown = self.operations[key]
    if self.lie("times:naive"):
        shown = shown | {"created_at": "yesterday"}
    return Response(200, shown | ({"status": "running"} if self.lie("operations:never_ends") else {}))


def events(self: Reference, request: Request, key: str) -> Response:
    end = self.operations.get(key)
    if end is None:
        raise Fault(404, "operation_not_found")
    seen = request.headers.get("last-event-id", "")
    last = int(seen) if seen.isdecimal() and not self.lie("events:from_the_start") else 0
    told = [(1, {**end, "status": "running"}), (2, end)]
    if self.lie("events:no_end"):
        told = told[:1]
    lines = [
        ("" if self.lie("events:no_id") else f"id: {number}\n") + f"event: operation\ndata: {json.dumps(data)}\n\n"
        for number, data in told
        if number > last and not (seen and self.lie("events:nothing_behind"))
    ]
    kind = "application/json" if self.lie("events:json") else "text/event-stream"
    return Response(200, raw="".join([": hello\n\n", *lines]).encode(), headers={"content-type": kind})


def create_user(self: Reference, request: Request) -> Response:
    body = request.json()
    user = {"id": self.id("usr"), "name": body["name"], "roles": body["roles"], "__password": body["password"]}
    self.users[user["id"]] = user
    return Response(201, {"id": user["id"], "name": user["name"]})


def delete_user(self: Reference, request: Request, key: str) -> Response:
    if self.users.pop(key, None) is None:
        raise Fault(404, "user_not_found")
    return Response(200)


def login(self: Reference, request: Request) -> Response:
    body = request.json()
    for user in self.users.values():
        if (user["name"], user["__password"]) == (body["username"], body["password"]):
            token = self.id("token-of-somebody")
            self.tokens[token] = user["id"]
            return Response(201, {"token": token})
    raise Fault(401, "login_wrong")


def platform(self: Reference, request: Request) -> Response:
    return Response(200, {"base_domain": "apps.localhost", "edge_url": self.url})


PAGES = ("limit", "cursor")
MEASURES = ("granularity", "from", "to", "timezone")
A, S = "/apps/{app_id}", "/service-instances/{id}"
ROUTES: list[Listed] = [
    ("5.1(1)", "POST", "/apps", create_app, ()),
    ("5.1(2)", "POST", f"{A}/package", upload, ("filename",)),
    ("5.1(3)", "POST", f"{A}/start", start, ("wait",)),
    ("5.1(4)", "POST", f"{A}/instances", scale, ("wait",)),
    ("5.1(5)", "PUT", f"{A}/autoscaling", set_policy, ()),
    ("5.1(6)", "POST", f"{A}/stop", stop, ("wait",)),
    ("5.1(7)", "DELETE", A, destroy, ("wait",)),
    ("5.1(8)", "POST", f"{A}/bindings", bind, ()),
    ("5.1(9)", "DELETE", f"{A}/bindings/{{id}}", unbind, ()),
    ("5.1(10)", "GET", "/tenants/{id}/domains", list_domains, PAGES),
    ("5.1(11)", "POST", "/domains", bind_domain, ()),
    ("5.1(12)", "DELETE", f"{A}/domains/{{id}}", detach, ()),
    ("5.2(1)", "POST", f"{A}/repository", create_repository, ()),
    ("5.2(2)", "POST", f"{A}/code", upload_code, ("version_id", "branch", "message")),
    ("5.2(3)", "GET", "/versions/{id}/code", download, ()),
    ("5.2(4)", "GET", "/git/branches", branches, ("credential_id", "git_url")),
    ("5.2(5)", "POST", f"{A}/pipeline", set_pipeline, ()),
    ("5.2(6)", "POST", f"{A}/versions", create_version, ()),
    ("5.3(1)", "GET", f"{A}/metrics/traffic", metrics("5.3(1)", traffic), MEASURES),
    ("5.3(2)", "GET", f"{A}/metrics/visits", metrics("5.3(2)", visits), MEASURES),
    ("5.3(3)", "GET", f"{A}/metrics/cpu", metrics("5.3(3)", used("5.3(3)", 0.25)), MEASURES),
    ("5.3(4)", "GET", f"{A}/metrics/memory", metrics("5.3(4)", used("5.3(4)", 1 << 20)), MEASURES),
    ("5.3(5)", "POST", f"{A}/alarms", set_alarm, ()),
    ("5.4(1)", "POST", "/organizations/{id}/services", bring, ()),
    ("5.4(2)", "POST", "/spaces/{id}/service-instances", create_instance, ("wait",)),
    ("5.4(3)", "POST", f"{S}/configuration", configure, ("wait",)),
    ("5.4(4)", "GET", f"{A}/services/{{id}}/environment", environment, ()),
    ("5.4(5)", "DELETE", S, delete_instance, ("wait",)),
    ("5.4(6)", "GET", f"{S}/status", instance_status, ()),
    (None, "GET", "/apps", list_apps, PAGES),
    (None, "GET", A, show_app, ()),
    (None, "GET", f"{A}/autoscaling", get_policy, ()),
    (None, "GET", f"{A}/bindings", list_bindings, PAGES),
    (None, "GET", f"{A}/pipeline", get_pipeline, ()),
    (None, "GET", f"{A}/versions", list_versions, PAGES),
    (None, "GET", f"{A}/alarms", list_alarms, PAGES),
    (None, "GET", "/domains/{id}", show_domain, ()),
    (None, "DELETE", "/domains/{id}", delete_domain, ()),
    (None, "GET", "/organizations/{id}/services", list_services, PAGES),
    (None, "DELETE", "/organizations/{id}/services/{id}", take_away, ()),
    (None, "GET", "/service-instances", list_instances, PAGES),
    (None, "GET", S, show_instance, ()),
    (None, "POST", "/credentials", create_credential, ()),
    (None, "DELETE", "/credentials/{id}", delete_credential, ()),
    (None, "POST", "/users", create_user, ()),
    (None, "DELETE", "/users/{id}", delete_user, ()),
    (None, "POST", "/auth/login", login, ()),
    (None, "GET", "/platform", platform, ()),
    (None, "GET", "/operations/{id}", show_operation, ()),
    (None, "GET", "/operations/{id}/events", events, ()),
]
