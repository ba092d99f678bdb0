"""Apps: created, given packages, started, scaled, watched, destroyed (clauses 5.1(1) to 5.1(7)).

`app` is an id, or a name where it is unique for the caller. `wait`: seconds (up to 300) for which a call that takes
time waits for its end; then it raises where the operation failed. Without it, `operations.wait` and
`operations.watch` follow the operation that came back.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from gongfang.client.bodies import Body, ByteSource, Progress
from gongfang.client.http import Answer
from gongfang.client.pages import Pages
from gongfang.client.resources import logs
from gongfang.client.resources.base import Resource, given, part
from gongfang.wire.models import (
    AppOut,
    AppWithOperation,
    BuildOut,
    DomainOut,
    EnvironmentOut,
    InstanceOut,
    LogLine,
    OnlyOperation,
    OperationOut,
    PackageOut,
    ProcessChange,
    ReleaseOut,
)

ProcessSettings = ProcessChange | Mapping[str, Any]


class AppChanged(NamedTuple):
    """A changed app, and the operation that rolls the change out (None where nothing runs that it concerns)."""

    app: AppOut
    operation: OperationOut | None


class Apps(Resource):
    """`client.apps`."""

    def create(
        self,
        name: str,
        *,
        type: str | None = None,  # noqa: A002  (the standard's name for it)
        runtime: str | None = None,
        domain: str | None = None,
        space_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        processes: Mapping[str, ProcessSettings] | None = None,
    ) -> AppOut:
        """5.1(1) 应用创建. What is not given is the platform's default."""
        body = given(
            name=name,
            type=type,
            runtime=runtime,
            domain=domain,
            space_id=space_id,
            labels=labels,
            environment=environment,
            processes=processes,
        )
        return self._post("/apps", AppOut, body)

    def list(
        self,
        *,
        name: str | None = None,
        space_id: str | None = None,
        organization_id: str | None = None,
        tenant_id: str | None = None,
        type: str | None = None,  # noqa: A002  (the standard's name for it)
        runtime: str | None = None,
        state: str | None = None,
        desired_state: str | None = None,
        labels: Mapping[str, str] | None = None,
        page_size: int | None = None,
    ) -> Pages[AppOut]:
        """The apps that the caller may see and that fit every filter; `labels` must all be carried."""
        label: Sequence[str] = [f"{key}={value}" for key, value in (labels or {}).items()]
        params = {
            "name": name,
            "space_id": space_id,
            "organization_id": organization_id,
            "tenant_id": tenant_id,
            "type": type,
            "runtime": runtime,
            "state": state,
            "desired_state": desired_state,
            "label": label,
        }
        return self._list("/apps", AppOut, params, page_size)

    def get(self, app: str) -> AppOut:
        return self._get(f"/apps/{part(app)}", AppOut)

    def change(
        self,
        app: str,
        *,
        name: str | None = None,
        runtime: str | None = None,
        labels: Mapping[str, str | None] | None = None,
        processes: Mapping[str, ProcessSettings] | None = None,
        wait: float | None = None,
        if_match: str | None = None,
    ) -> AppChanged:
        """Changes what is given and leaves the rest. In `labels` and in a process' settings, None removes."""
        body = given(name=name, runtime=runtime, labels=labels, processes=processes)
        answer = self._patch(f"/apps/{part(app)}", body, wait=wait, if_match=if_match)
        if "operation" in answer.data:
            both = AppWithOperation.model_validate(answer.data)
            return AppChanged(both.app, both.operation)
        return AppChanged(AppOut.model_validate(answer.data), None)

    def destroy(self, app: str, *, wait: float | None = None, if_match: str | None = None) -> OperationOut:
        """5.1(7) 应用销毁. Destroying twice is the same as once."""
        answer = self._http.call("DELETE", f"/apps/{part(app)}", wait=wait, if_match=if_match)
        return OnlyOperation.model_validate(answer.data).operation

    # --- code ---

    def upload(
        self,
        app: str,
        source: str | os.PathLike[str] | ByteSource,
        *,
        filename: str | None = None,
        progress: Progress | None = None,
    ) -> PackageOut:
        """5.1(2) 应用上传: sends a file by its path, or whatever a stream still holds, as a new package.

        Memory stays flat whatever the size. A path or a seekable stream is sent again where the connection breaks.
        `filename` tells the platform the kind of archive; it defaults to the file's own name.
        """
        if filename is None:
            name = source if isinstance(source, (str, os.PathLike)) else getattr(source, "name", None)
            if not isinstance(name, (str, os.PathLike)):
                raise ValueError("a stream without a name needs filename=")
            filename = Path(os.fspath(name)).name  # pyright: ignore[reportUnknownArgumentType]
        answer = self._http.call(
            "POST", f"/apps/{part(app)}/package", params={"filename": filename}, body=Body(source, progress)
        )
        return PackageOut.model_validate(answer.data)

    def packages(self, app: str, *, page_size: int | None = None) -> Pages[PackageOut]:
        return self._list(f"/apps/{part(app)}/packages", PackageOut, page_size=page_size)

    def builds(self, app: str, *, page_size: int | None = None) -> Pages[BuildOut]:
        return self._list(f"/apps/{part(app)}/builds", BuildOut, page_size=page_size)

    def releases(self, app: str, *, page_size: int | None = None) -> Pages[ReleaseOut]:
        return self._list(f"/apps/{part(app)}/releases", ReleaseOut, page_size=page_size)

    def release(self, app: str, number: int) -> ReleaseOut:
        return self._get(f"/apps/{part(app)}/releases/{number}", ReleaseOut)

    # --- running ---

    def start(self, app: str, *, package_id: str | None = None, wait: float | None = None) -> AppWithOperation:
        """5.1(3) 应用启动: runs the newest package, or the one named; on a running app rolls it out."""
        body = given(package_id=package_id) or None
        return self._post(f"/apps/{part(app)}/start", AppWithOperation, body, wait=wait)

    def stop(self, app: str, *, wait: float | None = None) -> AppWithOperation:
        """5.1(6) 应用停止. Everything is kept."""
        return self._post(f"/apps/{part(app)}/stop", AppWithOperation, wait=wait)

    def restart(self, app: str, *, wait: float | None = None) -> AppWithOperation:
        """Replaces every instance by a fresh one of the same release, without a gap."""
        return self._post(f"/apps/{part(app)}/restart", AppWithOperation, wait=wait)

    def rollback(self, app: str, release: int | None = None, *, wait: float | None = None) -> AppWithOperation:
        """Runs what an earlier release ran: the one before the current, or the one of that number."""
        return self._post(f"/apps/{part(app)}/rollback", AppWithOperation, given(release=release), wait=wait)

    def set_instances(
        self,
        app: str,
        instances: int | None = None,
        *,
        memory_mb: int | None = None,
        disk_mb: int | None = None,
        process: str | None = None,
        wait: float | None = None,
    ) -> AppWithOperation:
        """5.1(4) 应用实例数设置: how many instances, and how much memory and disk (MiB) each; at least one of them."""
        body = given(instances=instances, memory_mb=memory_mb, disk_mb=disk_mb, process=process)
        return self._post(f"/apps/{part(app)}/instances", AppWithOperation, body, wait=wait)

    def instances(self, app: str, *, ended: bool = False, page_size: int | None = None) -> Pages[InstanceOut]:
        """What runs; with `ended`, also what ran: with its exit code, reason and last output."""
        return self._list(f"/apps/{part(app)}/instances", InstanceOut, {"ended": ended or None}, page_size)

    def environment(self, app: str) -> EnvironmentOut:
        """The variables that were set; their values are masked for callers who may not see them."""
        return self._get(f"/apps/{part(app)}/environment", EnvironmentOut)

    def set_environment(
        self, app: str, variables: Mapping[str, str | None], *, wait: float | None = None, if_match: str | None = None
    ) -> OperationOut | None:
        """Merges variables; None removes one. Gives the operation that rolls them out, or None where nothing runs."""
        body = {"variables": dict(variables)}
        answer: Answer = self._patch(f"/apps/{part(app)}/environment", body, wait=wait, if_match=if_match)
        return OperationOut.model_validate(answer.data["operation"]) if "operation" in answer.data else None

    def logs(
        self,
        app: str,
        *,
        process: str | None = None,
        instance_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        tail: int | None = None,
        follow: bool = False,
    ) -> Iterator[LogLine]:
        """Lines of output, oldest first: the last `tail` (10,000 at most) of the time between. `follow` goes on until
        broken off."""
        path = f"/apps/{part(app)}/logs"
        params = {"process": process, "instance_id": instance_id, **logs.window(since, until, tail)}
        return logs.follow(self._http, path, params) if follow else logs.read(self._http, path, params)

    # --- domains ---

    def attach_domain(self, app: str, domain_id: str) -> DomainOut:
        """Lets the app answer on a domain of its tenant."""
        answer = self._http.call("PUT", f"/apps/{part(app)}/domains/{part(domain_id)}")
        return DomainOut.model_validate(answer.data)

    def detach_domain(self, app: str, domain_id: str) -> None:
        """5.1(12) 解绑域名. The domain and its filing stay with the tenant."""
        self._delete(f"/apps/{part(app)}/domains/{part(domain_id)}")
