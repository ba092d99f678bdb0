"""What an app's workloads look like to a runtime: instances, tasks and builds as `WorkloadSpec` values. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gongfang.domain.attachments import Attachment
from gongfang.domain.values import DEFAULT_DISK_MB, App, Droplet, Instance, Release, Task
from gongfang.reconcile.shell import shell_command
from gongfang.runtimes.interface import Limits, WorkloadKind, WorkloadSpec

MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PlatformFacts:
    """What an app is told of the platform that it runs on."""

    base_domain: str
    edge_url: Callable[[str], str]
    https_port: int | None = None  # where HTTPS is served, for redirects to it


def facts(app: App, release: Release, process: str, facts: PlatformFacts, url: str | None) -> dict[str, str]:
    """The `GONGFANG_*` variables (the runtime adds `PORT`)."""
    told = {
        "GONGFANG_APP_ID": app.id,
        "GONGFANG_APP_NAME": app.name,
        "GONGFANG_SPACE_ID": app.space_id,
        "GONGFANG_RELEASE": str(release.number),
        "GONGFANG_PROCESS": process,
        "GONGFANG_BASE_DOMAIN": facts.base_domain,
    }
    if url is not None:
        told["GONGFANG_URL"] = facts.edge_url(url)
    return told


def _environment(droplet: Droplet, release: Release, told: Mapping[str, str], attached: Attachment) -> dict[str, str]:
    """What is further down wins: the build's, the bindings', the app's own, the platform's."""
    return {**droplet.environment, **attached.variables, **release.config.environment, **told}


_NONE = Attachment()


def instance_spec(
    app: App,
    release: Release,
    droplet: Droplet,
    instance: Instance,
    platform: PlatformFacts,
    domain: str | None,
    attached: Attachment = _NONE,
) -> WorkloadSpec:
    config = release.config.process(instance.process)
    command = config.command or droplet.processes.get(instance.process, "")
    told = facts(app, release, instance.process, platform, domain)
    told |= {
        "GONGFANG_INSTANCE_ID": instance.id,
        "GONGFANG_INSTANCE_INDEX": str(instance.index),
        "GONGFANG_MEMORY_MB": str(config.memory_mb),
    }
    return WorkloadSpec(
        id=instance.id,
        kind=WorkloadKind.instance,
        command=shell_command(command),
        environment=_environment(droplet, release, told, attached),
        files=attached.files,
        workdir="/app",
        droplet=droplet.sha256,
        tools=droplet.tools,
        limits=Limits(memory_bytes=config.memory_mb * MB, disk_bytes=config.disk_mb * MB, cpu_cores=config.cpu),
        wants_port=True,
        labels={"app": app.id},
    )


def task_spec(
    app: App,
    release: Release,
    droplet: Droplet,
    task: Task,
    platform: PlatformFacts,
    domain: str | None,
    attached: Attachment = _NONE,
) -> WorkloadSpec:
    told = facts(app, release, "task", platform, domain)
    told |= {"GONGFANG_TASK_ID": task.id, "GONGFANG_MEMORY_MB": str(task.memory_mb)}
    return WorkloadSpec(
        id=task.id,
        kind=WorkloadKind.task,
        command=("/bin/sh", "-c", task.command),
        environment=_environment(droplet, release, told, attached),
        files=attached.files,
        workdir="/app",
        droplet=droplet.sha256,
        tools=droplet.tools,
        limits=Limits(memory_bytes=task.memory_mb * MB, disk_bytes=DEFAULT_DISK_MB * MB, wall_s=task.timeout_s),
        labels={"app": app.id},
    )
