"""Domain values and views as the models of the wire, in a language. Pure: what is shown was gathered before."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache

from gongfang.domain.errors import Reason
from gongfang.domain.messages import Language, words
from gongfang.domain.policies import HttpsMode
from gongfang.domain.values import (
    App,
    AppConfig,
    Build,
    DesiredState,
    Domain,
    Event,
    Instance,
    InstanceState,
    Operation,
    ProcessConfig,
    Task,
    Token,
    User,
)
from gongfang.operations.access import IssuedToken
from gongfang.operations.logs import Line
from gongfang.operations.views import AppView, OperationView, ReleaseView
from gongfang.wire import models as wire


def reason_out(reason: Reason | None, language: Language) -> wire.ReasonOut | None:
    if reason is None:
        return None
    return wire.ReasonOut(code=reason.code, message=words(reason.code, reason.facts, language))


def process_outs(config: AppConfig, scale: Mapping[str, int]) -> dict[str, wire.ProcessOut]:
    """Every process type that is configured or scaled, with defaults filled in."""
    return {
        name: _process_out(config.process(name), scale.get(name, 0)) for name in sorted({*config.processes, *scale})
    }


@lru_cache(maxsize=4096)
def _process_out(process: ProcessConfig, instances: int) -> wire.ProcessOut:
    """Kept, since most processes are like most others. Nobody changes one that is shown."""
    return wire.ProcessOut(
        command=process.command,
        memory_mb=process.memory_mb,
        disk_mb=process.disk_mb,
        cpu=process.cpu,
        instances=instances,
        readiness=wire.HealthCheckModel.model_validate(process.readiness),
        liveness=wire.HealthCheckModel.model_validate(process.liveness) if process.liveness else None,
        start_timeout_s=process.start_timeout_s,
        drain_s=process.drain_s,
        stop_timeout_s=process.stop_timeout_s,
    )


def instance_out(instance: Instance, numbers: Mapping[str, int], language: Language) -> wire.InstanceOut:
    return wire.InstanceOut(
        id=instance.id,
        process=instance.process,
        index=instance.index,
        state=instance.state,
        release=numbers.get(instance.release_id, 0),
        restarts=instance.restarts,
        created_at=instance.created_at,
        started_at=instance.started_at,
        ready_at=instance.ready_at,
        ended_at=instance.ended_at,
        host=instance.host,
        port=instance.port,
        exit_code=instance.exit.code if instance.exit else None,
        signal=instance.exit.signal if instance.exit else None,
        reason=reason_out(instance.reason, language),
        last_output=instance.last_output,
    )


def domain_url(domain: Domain, edge_url: Callable[[str], str], https_url: Callable[[str], str] | None) -> str:
    """Where a browser ends up: HTTPS where it would be redirected there."""
    redirected = domain.https is HttpsMode.redirect and domain.tls.valid
    return https_url(domain.domain) if https_url is not None and redirected else edge_url(domain.domain)


def app_out(
    view: AppView,
    edge_url: Callable[[str], str],
    language: Language,
    https_url: Callable[[str], str] | None = None,
) -> wire.AppOut:
    """Desired and actual state side by side. `domain` is the one asked for when it was made, if it still has it."""
    app = view.app
    routes = [
        wire.RouteOut(domain=d.domain, url=domain_url(d, edge_url, https_url), status=d.status, default=d.default)
        for d in view.domains
    ]
    first = min(view.domains, key=lambda d: (d.created_at, d.default), default=None)
    return wire.AppOut(
        id=app.id,
        name=app.name,
        type=app.type,
        runtime=app.runtime,
        domain=first.domain if first else None,
        url=domain_url(first, edge_url, https_url) if first else None,
        tenant_id=app.tenant_id,
        organization_id=app.organization_id,
        space_id=app.space_id,
        labels=dict(app.labels),
        desired_state=app.desired,
        state=app.state,
        reason=reason_out(app.reason, language),
        processes=process_outs(app.config, app.scale),
        instances=[instance_out(i, view.numbers, language) for i in view.instances],
        instances_ready=sum(i.state is InstanceState.ready for i in view.instances),
        instances_wanted=_wanted(app),
        routes=routes,
        release=view.numbers.get(app.current_release_id or ""),
        target_release=view.numbers.get(app.target_release_id or ""),
        generation=app.generation,
        observed_generation=app.observed_generation,
        created_at=app.created_at,
        updated_at=app.updated_at,
        note=_note(view, language),
    )


def _note(view: AppView, language: Language) -> str | None:
    """Says so where the app's default address is not its name's, which something else had when it was made."""
    default = next((d.domain for d in view.domains if d.default), None)
    if default is None or default.partition(".")[0] == view.app.name:
        return None
    wanted = f"{view.app.name}.{default.partition('.')[2]}"
    return words("default_domain_taken", {"wanted": wanted, "domain": default}, language)


def _wanted(app: App) -> int:
    return sum(app.scale.values()) if app.desired is DesiredState.started and not app.destroying else 0


def operation_out(view: OperationView, language: Language) -> wire.OperationOut:
    operation = view.operation
    return wire.OperationOut(
        id=operation.id,
        kind=operation.kind,
        status=operation.status,
        app_id=operation.app_id,
        app_name=operation.app_name,
        steps=_steps(operation, language),
        reason=reason_out(operation.reason, language),
        output=operation.output,
        release=view.release_number,
        build_id=operation.build_id,
        created_at=operation.created_at,
        created_by=operation.created_by,
        started_at=operation.started_at,
        finished_at=operation.finished_at,
        deadline=operation.deadline,
        service_instance_id=operation.service_instance_id,
        service_name=operation.service_name,
        binding_id=operation.binding_id,
    )


def _steps(operation: Operation, language: Language) -> list[wire.StepOut]:
    return [
        wire.StepOut(
            name=step.name,
            message=words(step.name, step.facts, language),
            started_at=step.started_at,
            finished_at=step.finished_at,
        )
        for step in operation.steps
    ]


def release_out(view: ReleaseView, language: Language) -> wire.ReleaseOut:
    """Names of variables only: their values are secrets, also those of former releases."""
    release = view.release
    return wire.ReleaseOut(
        id=release.id,
        number=release.number,
        cause=release.cause,
        from_release=release.from_release,
        droplet_id=release.droplet_id,
        package_id=release.package_id,
        processes=process_outs(release.config, view.scale),
        variables=sorted(release.config.environment),
        created_at=release.created_at,
        created_by=release.created_by,
        healthy_at=release.healthy_at,
        failed=reason_out(release.failed, language),
        current=view.current,
    )


def build_out(build: Build, language: Language) -> wire.BuildOut:
    return wire.BuildOut(
        id=build.id,
        app_id=build.app_id,
        package_id=build.package_id,
        state=build.state,
        runtime=build.runtime,
        detected=build.detected,
        droplet_id=build.droplet_id,
        created_at=build.created_at,
        started_at=build.started_at,
        finished_at=build.finished_at,
        reason=reason_out(build.reason, language),
    )


def task_out(task: Task, language: Language) -> wire.TaskOut:
    return wire.TaskOut(
        id=task.id,
        app_id=task.app_id,
        command=task.command,
        memory_mb=task.memory_mb,
        state=task.state,
        exit_code=task.exit.code if task.exit else None,
        signal=task.exit.signal if task.exit else None,
        reason=reason_out(task.reason, language),
        created_at=task.created_at,
        created_by=task.created_by,
        started_at=task.started_at,
        finished_at=task.finished_at,
    )


def user_out(user: User, locked_until: datetime | None = None) -> wire.UserOut:
    return wire.UserOut(
        id=user.id,
        name=user.name,
        display_name=user.display_name,
        disabled=user.disabled,
        created_at=user.created_at,
        roles=[wire.RoleOut.model_validate(binding) for binding in user.bindings],
        locked_until=locked_until,
    )


def token_out(token: Token) -> wire.TokenOut:
    return wire.TokenOut.model_validate(token)


def issued_token_out(issued: IssuedToken) -> wire.TokenOut:
    """The one answer that holds a token's text."""
    return token_out(issued.token).model_copy(update={"token": issued.text})


def domain_out(domain: Domain) -> wire.DomainOut:
    return wire.DomainOut.model_validate(domain)


def event_out(event: Event) -> wire.EventOut:
    return wire.EventOut.model_validate(event)


def line_out(line: Line) -> wire.LogLine:
    return wire.LogLine(at=line.at, source=line.source, instance_id=line.instance_id, text=line.text)
