"""`gongfang deploy`: from a folder, or a package, to an app that answers."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gongfang.cli import naming, packing, progress, render
from gongfang.cli.commands.apps import RUNTIMES, TYPES, main_process
from gongfang.cli.commands.domains import known
from gongfang.cli.commands.tree import space_of, space_options
from gongfang.cli.errors import REFUSED, Failed
from gongfang.cli.framework import command, complete_apps, pairs
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught
from gongfang.cli.times import Memory
from gongfang.client.errors import ApiError, ForbiddenError, NotFoundError

if TYPE_CHECKING:
    from gongfang.wire.models import AppOut


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the app shall be: the options over what `gongfang.toml` says."""

    name: str
    type: str | None
    runtime: str | None
    memory: int | None
    instances: int | None
    env: Mapping[str, str]
    labels: Mapping[str, str]
    domains: tuple[str, ...]
    space_id: str | None = None

    @property
    def settings(self) -> dict[str, int]:
        found = (("memory_mb", self.memory), ("instances", self.instances))
        return {key: value for key, value in found if value is not None}


@command(
    "deploy",
    taught(
        "Deploy the source in a folder (here, if none is named), or a package: jar, war, zip, tar, whl, binary.\n\n"
        "Creates the app or updates it, builds, starts, waits, and prints the address. The app is named by --app, by "
        "gongfang.toml, as it was the last time, or after the folder. What .gitignore and .gongfangignore name stays "
        "out of the package.",
        "部署文件夹（默认当前文件夹）中的源码，或一个程序包：jar、war、zip、tar、whl、可执行文件。\n\n"
        "自动创建或更新应用，构建、启动并等待，最后显示地址。应用名取自 --app、gongfang.toml、上次部署或文件夹名；"
        ".gitignore 和 .gongfangignore 所列文件不会打包。",
        "gongfang deploy",
        "gongfang deploy line3/ --app line-3-dashboard --memory 256 --env LINE=3",
        "gongfang deploy target/mes.jar --app mes --domain mes.example.cn",
    ),
)
@click.argument("path", type=click.Path(exists=True, path_type=Path), default=Path())
@click.option("-a", "--app", "name", help=t("Name of the app.", "应用名称。"), shell_complete=complete_apps)
@click.option("--type", "kind", type=click.Choice(TYPES))
@click.option("--runtime", type=click.Choice(RUNTIMES))
@click.option("--memory", type=Memory(), help=t("For each instance: MiB, or 1.5G.", "每实例内存：MiB 或 1.5G。"))
@click.option("--instances", type=click.IntRange(min=0))
@click.option("-e", "--env", "env", multiple=True, metavar="K=V", help=t("Environment variable.", "环境变量。"))
@click.option("--domain", "domains", multiple=True, metavar="D", help=t("Also answer on this domain.", "附加域名。"))
@click.option("-l", "--label", "labels", multiple=True, metavar="K=V")
@space_options
@click.option("--no-wait", is_flag=True, help=t("Return once it is accepted.", "受理后立即返回。"))
def deploy(
    session: Session,
    path: Path,
    name: str | None,
    kind: str | None,
    runtime: str | None,
    memory: int | None,
    instances: int | None,
    env: tuple[str, ...],
    domains: tuple[str, ...],
    labels: tuple[str, ...],
    space: str | None,
    org: str | None,
    no_wait: bool,
) -> None:
    path = path.resolve()
    project = naming.read_project(path) if path.is_dir() else naming.Project()
    wanted = Wanted(
        name=name or _name(session, path, project),
        type=kind or project.type,
        runtime=runtime or project.runtime,
        memory=memory if memory is not None else project.memory,
        instances=instances if instances is not None else project.instances,
        env={**project.env, **pairs(env, "--env")},
        labels={**project.labels, **pairs(labels, "--label")},
        domains=domains or tuple(project.domains),
        space_id=space_of(session, space, org),
    )
    app = deliver(session, path, wanted, wait=not no_wait)
    if no_wait:
        session.show(app, lambda: None)
    else:
        session.show(app, lambda: _done(session, app))


def deliver(session: Session, path: Path, wanted: Wanted, *, wait: bool = True) -> AppOut:
    """The whole way from a path to a running app. Raises `Failed` with the reason and the last output."""
    display = progress.Display()
    with _package(session, path) as (package, filename):
        app = _ensure(session, wanted)
        try:
            session.client.apps.upload(app.id, package, filename=filename, progress=progress.Upload(display))
        finally:
            display.clear()
        sent = package.stat().st_size
    session.note(t("uploaded {0} ({1})", "已上传 {0}（{1}）").format(filename, render.size(sent)))
    if path.is_dir():
        naming.Remembered(path).remember(session.url, app.name)
    try:
        operation = session.client.apps.start(app.id).operation
    except ForbiddenError as error:
        raise Failed(
            t("uploaded, but not started: {0}", "已上传，但未启动：{0}").format(error.message),
            hint=t("an operator rolls it out with: gongfang start {0}", "请由运维人员启动：gongfang start {0}").format(
                app.name
            ),
            code=REFUSED,
            name=error.code,
        ) from error
    try:
        progress.finish(session, operation, wait)
    except Failed as failure:
        failure.hint = failure.hint or _after_failure(session, app)
        raise
    for domain in wanted.domains:
        _attach(session, app, domain)
    return session.client.apps.get(app.id)


def _name(session: Session, path: Path, project: naming.Project) -> str:
    if project.name:
        return project.name
    if path.is_dir():
        known = naming.Remembered(path).recall(session.url)
        if known:
            return known
        made, source = naming.slug(path.name), path.name
    else:
        source = path.name
        made = naming.slug(source.split(".")[0] or source)
    if made != source:
        session.note(t("naming the app {0} (choose with --app)", "应用命名为 {0}（可用 --app 指定）").format(made))
    return made


@contextmanager
def _package(session: Session, path: Path) -> Generator[tuple[Path, str]]:
    """The file to send and the name to send it under."""
    if path.is_file():
        yield path, path.name
        return
    listing = packing.list_files(path)
    for name, why in listing.left_out:
        session.note(t("left out {0}: {1}", "未打包 {0}：{1}").format(name, why))
    session.note(
        t("packing {0} file(s), {1}", "打包 {0} 个文件，{1}").format(len(listing.files), render.size(listing.size))
    )
    with packing.packed(path, listing.files) as archive:
        yield archive, "source.tar.gz"


def _ensure(session: Session, wanted: Wanted) -> AppOut:
    """The app as it is wanted: created, or changed where it differs."""
    apps = session.client.apps
    try:
        app = apps.get(wanted.name)
    except NotFoundError:
        session.note(t("creating {0}", "创建应用 {0}").format(wanted.name))
        return apps.create(
            wanted.name,
            type=wanted.type,
            runtime=wanted.runtime,
            space_id=wanted.space_id,
            environment=wanted.env or None,
            labels=wanted.labels or None,
            processes={main_process(wanted.type or "web"): wanted.settings} if wanted.settings else None,
        )
    if wanted.space_id is not None and wanted.space_id != app.space_id:
        raise Failed(
            t("{0} is in another space ({1})", "{0} 位于另一空间（{1}）").format(app.name, app.space_id),
            hint=t(
                "deploy it there (leave out --space), or under another name with --app",
                "请在原空间部署（去掉 --space），或用 --app 以其他名称部署",
            ),
        )
    session.note(t("updating {0}", "更新应用 {0}").format(app.name))
    if wanted.type is not None and wanted.type != app.type:
        raise Failed(
            t("{0} is of type {1}, which can't be changed to {2}", "{0} 的类型为 {1}，不能改为 {2}").format(
                app.name, app.type, wanted.type
            ),
            hint=t("deploy it under another name with --app", "请用 --app 以其他名称部署"),
        )
    return _change(session, app, wanted)


def _change(session: Session, app: AppOut, wanted: Wanted) -> AppOut:
    """Sends only what differs: each change of a started app would be a roll-out of its own."""
    process = main_process(app.type)
    present = app.processes.get(process)
    settings = {k: v for k, v in wanted.settings.items() if present is None or getattr(present, k) != v}
    changes: dict[str, Any] = {}
    if settings:
        changes["processes"] = {process: settings}
    if wanted.runtime is not None and wanted.runtime != app.runtime:
        changes["runtime"] = wanted.runtime
    if any(app.labels.get(key) != value for key, value in wanted.labels.items()):
        changes["labels"] = wanted.labels
    if changes:
        changed = session.client.apps.change(app.id, **changes)
        app = changed.app
        if changed.operation is not None:
            progress.follow(session, changed.operation)
    if wanted.env:
        known = session.client.apps.environment(app.id)
        if known.masked or any(known.variables.get(key) != value for key, value in wanted.env.items()):
            operation = session.client.apps.set_environment(app.id, wanted.env)
            if operation is not None:
                progress.follow(session, operation)
    return app


def _attach(session: Session, app: AppOut, domain: str) -> None:
    found = known(session, domain)
    if found is None:
        session.client.domains.create(domain, app_id=app.id)
    elif found.app_id != app.id:
        session.client.apps.attach_domain(app.id, found.id)


def _after_failure(session: Session, app: AppOut) -> str:
    """What still serves, and where to read on."""
    try:
        now = session.client.apps.get(app.id)
    except ApiError:
        now = app
    if now.release is not None and now.instances_ready:
        return t(
            "release {0} goes on serving; the output: gongfang logs {1}", "发布 {0} 继续服务；输出：gongfang logs {1}"
        ).format(now.release, now.name)
    return t("all of the output: gongfang logs {0}", "完整输出：gongfang logs {0}").format(now.name)


def _done(session: Session, app: AppOut) -> None:
    release = f" · {t('release', '发布')} {app.release}" if app.release is not None else ""
    session.note(click.style(t("{0} is {1}", "{0}：{1}").format(app.name, render.word(app.state)) + release, bold=True))
    for route in app.routes:
        click.echo(route.url)
    if not app.routes and app.url:
        click.echo(app.url)
