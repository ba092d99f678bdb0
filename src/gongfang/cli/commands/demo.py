"""`gongfang demo`: clause 6 of the standard, the way of four people and one application, against the running platform.

Everything goes through the public API as the person whose turn it is. It can be run again and again: what is there is
used, and what the platform cannot do yet is said, not played.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from gongfang.cli import packing, progress, render
from gongfang.cli.errors import Failed
from gongfang.cli.framework import command
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught
from gongfang.client.errors import ForbiddenError, NotFoundError

if TYPE_CHECKING:
    from gongfang.client import Client
    from gongfang.wire.models import AppOut

APP = "demo-dashboard"
SERVICE, DATABASE = "postgresql", "demo-orders"
DOMAIN = "line3.demo.example"
ICP = "京ICP备12345678号-1"
PEOPLE = {
    "developer": ("demo-developer", "开发人员 Developer"),
    "operator": ("demo-operator", "运维人员 Operator"),
    "service_manager": ("demo-service-manager", "服务管理人员 Service manager"),
    "supervisor": ("demo-supervisor", "监管人员 Supervisor"),
}


@command(
    "demo",
    taught(
        "Walk through clause 6 of AII/002-2018 as far as the platform goes: four people bring an application from a "
        "package to its domain, and a new version to it while it is in use. Needs an administrator's token. "
        "--quick only deploys the sample app.",
        "按 AII/002-2018 第 6 章演示应用接入流程：四类人员将应用从程序包带到域名，并在使用中更新版本。"
        "需要管理员令牌；--quick 只部署示例应用。",
        "gongfang demo --quick",
        "gongfang demo",
    ),
)
@click.option("--quick", is_flag=True, help=t("Only deploy the sample app.", "只部署示例应用。"))
def demo(session: Session, quick: bool) -> None:
    walk = Walk(session)
    with sample() as folder:
        if quick:
            _quick(walk, folder)
        else:
            _all_of_it(walk, folder)
    session.show([asdict(step) for step in walk.steps], lambda: None)


@dataclass(slots=True)
class Step:
    """What was shown: the clause it is of, and how it went (`ok`, or `coming` where the platform is not there yet)."""

    clause: str
    text: str
    result: str = "ok"


class Walk:
    """Says each step as it is done, and keeps them for `--json`."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.steps: list[Step] = []

    def title(self, text: str) -> None:
        self._print(click.style(f"\n{text}", bold=True))

    def done(self, clause: str, text: str) -> None:
        self.steps.append(Step(clause, text))
        self._print(f"  {click.style('✓', fg='green')} {clause:<8} {text}")

    def coming(self, clause: str, text: str) -> None:
        self.steps.append(Step(clause, text, "coming"))
        self._print(f"  {click.style('…', fg='yellow')} {clause:<8} {text}" + t("  (not there yet)", "（尚未提供）"))

    def hint(self, text: str) -> None:
        self._print(f"  {text}")

    def _print(self, text: str) -> None:
        if not self.session.as_json:
            click.echo(text)


@contextmanager
def sample() -> Generator[Path]:
    """A copy of the sample app that may be changed: of the checkout's examples, or the one carried along."""
    here = Path(__file__).resolve()
    example = here.parents[4] / "examples" / "machine-dashboard-python"
    source = example if example.is_dir() else here.parents[1] / "demo_app"
    with tempfile.TemporaryDirectory(prefix="gongfang-demo-") as place:
        folder = Path(place) / "machine-dashboard"
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__", ".git", ".venv", ".gongfang"))
        yield folder


def _quick(walk: Walk, folder: Path) -> None:
    walk.title(t("The sample app", "示例应用"))
    client = walk.session.client
    app = _create(walk, client)
    _upload(walk, client, app, folder)
    app = _start(walk, client, app)
    answer = _get(walk.session, urlsplit(app.url or "").netloc)
    walk.done("", t("GET / answers {0}", "GET / 返回 {0}").format(answer))
    _where_to_look(walk, app)


def _all_of_it(walk: Walk, folder: Path) -> None:
    admin = walk.session.client
    walk.title(t("Administrator 管理员", "管理员"))
    people = _people(walk, admin)
    developer, operator = people["developer"], people["operator"]

    walk.title(t("1. Developer 开发人员", "1. 开发人员"))
    files = packing.list_files(folder)
    walk.done("6 (1)", t("built a package of {0} files", "生成 {0} 个文件的程序包").format(len(files.files)))

    walk.title(t("2. Operator 运维人员", "2. 运维人员"))
    app = _create(walk, operator)
    _bind_domain(walk, operator, app)
    walk.done("6 (2)", t("asks the service manager for a database", "向服务管理人员申请数据库"))

    walk.title(t("3. Service manager 服务管理人员", "3. 服务管理人员"))
    _serve(walk, people["service_manager"], app)

    walk.title(t("4. Operator 运维人员", "4. 运维人员"))
    _upload(walk, operator, app, folder)
    app = _start(walk, operator, app)
    default = urlsplit(app.url or "")
    for host in (default.netloc, DOMAIN if default.port is None else f"{DOMAIN}:{default.port}"):
        text = t("http://{0}/ answers {1}", "http://{0}/ 返回 {1}").format(host, _get(walk.session, host))
        walk.done("", text)
    _scale(walk, operator, app)
    _new_version(walk, operator, app, folder)
    _domains(walk, operator, app)
    del developer  # has nothing more to do until code is pushed to the platform (5.2)
    walk.coming("5.2", t("repositories, versions and pipelines", "版本库、版本与持续集成"))

    walk.title(t("5. Supervisor 监管人员", "5. 监管人员"))
    _supervise(walk, people["supervisor"], app)
    walk.coming("5.3", t("reads traffic, visits, CPU, memory and alarms", "查看流量、访问量、CPU、内存和报警"))
    _where_to_look(walk, app)


def _people(walk: Walk, admin: Client) -> dict[str, Client]:
    """The four people, bound to their roles at the organisation of the demo, each logged in with a fresh password."""
    organization = next((o for o in admin.organizations.list() if o.name == "default"), None)
    if organization is None:
        raise Failed(t("there is no organisation called default", "没有名为 default 的组织"))
    known = {user.name: user for user in admin.users.list()}
    clients: dict[str, Client] = {}
    for role, (name, display_name) in PEOPLE.items():
        password = secrets.token_urlsafe(18)
        user = known.get(name)
        if user is None:
            user = admin.users.create(name, password, display_name=display_name)
        else:
            admin.users.change(user.id, password=password, disabled=False)
        if not any(r.role == role and r.scope_id == organization.id for r in user.roles):
            admin.users.grant(user.id, role, level="organization", scope_id=organization.id)
        token = admin.login(name, password, name="demo", expires_in_s=3600).token
        clients[role] = walk.session.client_for(token or "")
        walk.done("6", t("{0} has the role {1}", "{0} 拥有角色 {1}").format(name, role))
    return clients


def _create(walk: Walk, client: Client) -> AppOut:
    try:
        app = client.apps.get(APP)
        walk.done("5.1(1)", t("the app {0} is there already", "应用 {0} 已存在").format(APP))
    except NotFoundError:
        app = client.apps.create(
            APP,
            type="web",
            runtime="python",
            labels={"demo": "clause-6"},
            environment={"LINE": "3"},
            processes={"web": {"memory_mb": 128, "readiness": {"kind": "http", "path": "/healthz"}}},
        )
        walk.done("5.1(1)", t("created the app {0}", "创建应用 {0}").format(APP))
    return app


def _bind_domain(walk: Walk, client: Client, app: AppOut) -> None:
    for domain in client.domains.list():
        if domain.domain == DOMAIN:
            if domain.app_id != app.id:
                client.apps.attach_domain(app.id, domain.id)
            walk.done("5.1(11)", t("{0} ({1}) is bound", "{0}（{1}）已绑定").format(DOMAIN, ICP))
            return
    client.domains.create(DOMAIN, icp_number=ICP, app_id=app.id)
    walk.done("5.1(11)", t("bound {0} with its filing {1}", "绑定域名 {0}，备案号 {1}").format(DOMAIN, ICP))


def _serve(walk: Walk, client: Client, app: AppOut) -> None:
    client.services.enable(app.organization_id, SERVICE)
    walk.done("5.4(1)", t("brought {0} into the organisation", "将 {0} 接入组织").format(SERVICE))
    found = client.services.list(space_id=app.space_id, name=DATABASE).all()
    if not found:
        made = client.services.create(app.space_id, SERVICE, name=DATABASE)
        progress.check(client.operations.wait(made.operation.id))
        found = [client.services.get(made.service_instance.id)]
    walk.done("5.4(2)", t("the database {0} is there", "数据库 {0} 已就绪").format(DATABASE))
    if not any(binding.service_instance_id == found[0].id for binding in client.bindings.list(app.id)):
        progress.check(client.operations.wait(client.bindings.create(app.id, found[0].id).operation.id))
    names = ", ".join(sorted(client.bindings.environment(app.id, found[0].id).environment))
    walk.done("5.1(8)", t("bound it to the app, which gets {0}", "绑定到应用，应用获得 {0}").format(names))
    seen = client.services.status(found[0].id)
    text = t("it is {0} at {1}:{2}", "状态 {0}，地址 {1}:{2}").format(render.word(seen.state), seen.host, seen.port)
    walk.done("5.4(6)", text)


def _upload(walk: Walk, client: Client, app: AppOut, folder: Path) -> None:
    with packing.packed(folder, packing.list_files(folder).files) as archive:
        package = client.apps.upload(app.id, archive, filename="machine-dashboard.tar.gz")
    text = t("uploaded {0}, {1} bytes, sha256 {2}…", "上传 {0}，{1} 字节，sha256 {2}…")
    walk.done("5.1(2)", text.format(package.filename, package.size, package.sha256[:12]))


def _start(walk: Walk, client: Client, app: AppOut) -> AppOut:
    operation = client.apps.start(app.id).operation
    ended = client.operations.wait(operation.id)
    progress.check(ended)
    app = client.apps.get(app.id)
    walk.done(
        "5.1(3)", t("started it: release {0}, {1}", "启动：发布 {0}，{1}").format(app.release, render.word(app.state))
    )
    return app


def _scale(walk: Walk, client: Client, app: AppOut) -> None:
    for count in (2, 1):
        operation = client.apps.set_instances(app.id, count, memory_mb=128).operation
        progress.check(client.operations.wait(operation.id))
        text = t("{0} instances of 128 MB are ready", "{0} 个实例就绪，每个 128 MB")
        walk.done("5.1(4)", text.format(client.apps.get(app.id).instances_ready))


def _domains(walk: Walk, client: Client, app: AppOut) -> None:
    found = [domain.domain for domain in client.tenants.domains(app.tenant_id)]
    walk.done("5.1(10)", t("the tenant's domains: {0}", "租户域名：{0}").format(", ".join(found)))


@dataclass(slots=True)
class Traffic:
    """What a handful of readers met while a version was replaced under them."""

    answered: int = 0
    failures: list[str] = field(default_factory=list[str])
    versions: set[str] = field(default_factory=set[str])
    lock: threading.Lock = field(default_factory=threading.Lock)
    enough: threading.Event = field(default_factory=threading.Event)

    def read(self, edge: str, host: str) -> None:
        """One reader with a connection of its own, until `enough`."""
        import httpx2

        with httpx2.Client(base_url=edge, headers={"host": host}, trust_env=False, timeout=10) as reader:
            while not self.enough.is_set():
                try:
                    answer = reader.get("/")
                    failure = None if answer.status_code == 200 else f"HTTP {answer.status_code}"
                    version = answer.headers.get("x-version", "")
                except httpx2.HTTPError as error:
                    failure, version = str(error) or type(error).__name__, ""
                with self.lock:
                    self.answered += failure is None
                    if failure:
                        self.failures.append(failure)
                    if version:
                        self.versions.add(version)


@contextmanager
def _readers(edge: str, host: str, count: int = 4) -> Generator[Traffic]:
    traffic = Traffic()
    readers = [threading.Thread(target=traffic.read, args=(edge, host)) for _ in range(count)]
    for reader in readers:
        reader.start()
    try:
        yield traffic
    finally:
        traffic.enough.set()
        for reader in readers:
            reader.join()


def _new_version(walk: Walk, client: Client, app: AppOut, folder: Path) -> None:
    """Deploys another version while the app is in use, and counts who noticed."""
    version = f"{(app.release or 0) + 1}"
    (folder / "VERSION").write_text(f"{version}\n", "utf-8")
    with _readers(edge_address(walk.session), urlsplit(app.url or "").netloc) as traffic:
        _upload(walk, client, app, folder)
        app = _start(walk, client, app)
    text = t(
        "version {0} was brought in during {1} requests, {2} of them failed",
        "在 {1} 次访问中完成版本 {0} 的更新，失败 {2} 次",
    ).format(version, traffic.answered + len(traffic.failures), len(traffic.failures))
    if traffic.failures:
        raise Failed(text, output="\n".join(sorted(set(traffic.failures))))
    walk.done("6 (4)", text)


def _supervise(walk: Walk, client: Client, app: AppOut) -> None:
    seen = client.apps.get(app.id)
    walk.done("6 (5)", t("reads: {0} is {1}", "查看：{0} {1}").format(seen.name, render.word(seen.state)))
    try:
        client.apps.stop(app.id)
    except ForbiddenError as refused:
        walk.done("6 (5)", t("may change nothing: 403, {0}", "不能修改：403，{0}").format(refused.message))
    else:
        raise Failed(t("the supervisor could stop the app", "监管人员竟能停止应用"))


def _get(session: Session, host: str) -> str:
    """The status of a GET through the edge under a host name, once the edge has taken it up."""
    import httpx2

    edge = edge_address(session)
    # Attaching is accepted at once and at the edge an instant later; its status is what says so.
    for pause in (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, None):
        answer = httpx2.get(edge, headers={"host": host}, trust_env=False, timeout=10)
        if answer.status_code == 200 or pause is None:
            break
        threading.Event().wait(pause)
    if answer.status_code != 200:
        raise Failed(f"http://{host}/: HTTP {answer.status_code}", output=answer.text[:500])
    return f"{answer.status_code}, {len(answer.content)} B"


def edge_address(session: Session) -> str:
    """Where the edge is reached from here. Names under `.localhost` are for browsers, which know that it is this
    machine; most resolvers do not, and the edge is where the API is."""
    edge = urlsplit(session.client.platform().edge_url)
    host = edge.hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        host = urlsplit(session.url).hostname or "127.0.0.1"
    if ":" in host:
        host = f"[{host}]"
    return f"{edge.scheme}://{host}" + (f":{edge.port}" if edge.port else "")


def _where_to_look(walk: Walk, app: AppOut) -> None:
    walk.title(t("Where to look", "接下来"))
    walk.hint(click.style(app.url or "", bold=True))
    walk.hint(
        t(
            "gongfang apps                     the apps and their state",
            "gongfang apps                     查看应用及状态",
        )
    )
    walk.hint(t("gongfang logs {0} -f   its output", "gongfang logs {0} -f   查看输出").format(app.name))
    walk.hint(
        t("gongfang status                   the platform's parts", "gongfang status                   查看平台各部分")
    )
    walk.hint(
        t(
            "gongfang deploy                   in a folder with source of your own",
            "gongfang deploy                   在自己的源码文件夹中部署",
        )
    )
