"""`gongfang conformance`: any server against the contract of AII/002-2018, seen from outside."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from gongfang.cli import connection, render, text
from gongfang.cli.errors import AWAY, FAILED, INTERRUPTED, REFUSED, USAGE, Failed, certificate_hint
from gongfang.cli.session import Session
from gongfang.cli.text import t, taught

if TYPE_CHECKING:
    from gongfang.conformance import Options, Report, Result
    from gongfang.conformance.clauses import Clause, Rule

_COLOURS = {"pass": "green", "fail": "red", "missing": "yellow", "blocked": "bright_black"}
_WORDS = {"pass": "通过", "fail": "不符", "missing": "缺失", "blocked": "未检查"}


@click.command(
    "conformance",
    help=taught(
        "Check a server against AII/002-2018: each of the 29 interfaces and the common rules, by calling it as any "
        "client would, and by looking at what it did. It makes apps of its own and destroys them again. "
        "Verdicts: pass, fail, missing (the server has no such interface), blocked (it could not be tried; the cause "
        "is said). Exit code 0 only where everything passes; the meaning of each check is in docs/conformance.md.",
        "按 AII/002-2018 检查任一服务器：逐一调用 29 个接口和通用规则，并查看实际效果。检查自建应用，结束后全部销毁。"
        "结论：通过、不符、缺失（服务器没有该接口）、未检查（附原因）。全部通过时退出码为 0；"
        "各项检查见 docs/conformance.md。",
        "gongfang conformance",
        "gongfang conformance --url http://10.0.0.5:7080 --token TOKEN --clause 5.1",
        'gongfang conformance --clause "5.1(3)" --clause lists --json report.json --junit report.xml',
        "gongfang conformance --edge http://10.0.0.5:7081 --allow-missing",
    ),
)
@click.option("--url", metavar="URL", help=t("Address of the server.", "服务器地址。"))
@click.option(
    "--token",
    metavar="TOKEN",
    help=t("Token of somebody who may do everything in a space.", "在某空间内有全部权限的令牌。"),
)
@click.option(
    "--ca",
    metavar="FILE",
    help=t("Authorities to trust for HTTPS [GONGFANG_CA].", "HTTPS 信任的 CA 证书 [GONGFANG_CA]。"),
)
@click.option(
    "--clause",
    "clauses",
    metavar="CLAUSE",
    multiple=True,
    help=t(
        'Only this: 5.1, "5.1(3)", common, or a rule by its name. May be repeated.',
        '只检查此项：5.1、"5.1(3)"、common 或某条规则名，可重复。',
    ),
)
@click.option(
    "--allow-missing",
    is_flag=True,
    help=t("Interfaces that the server does not have don't count as failures.", "服务器没有的接口不算不符。"),
)
@click.option(
    "--json",
    "json_file",
    metavar="FILE",
    help=t("Write the report as JSON; - is stdout.", "将报告写为 JSON，- 为标准输出。"),
)
@click.option(
    "--junit", "junit_file", metavar="FILE", help=t("Write the report as JUnit XML.", "将报告写为 JUnit XML。")
)
@click.option("--lang", type=click.Choice(["zh-CN", "en"]), help=t("Language [GONGFANG_LANG]", "语言 [GONGFANG_LANG]"))
@click.option(
    "--edge",
    metavar="URL",
    help=t("Where apps answer, if their names don't lead there from here.", "应用域名无法解析时，应用入口的地址。"),
)
@click.option(
    "--base-domain", metavar="DOMAIN", help=t("Apps are created as NAME.DOMAIN.", "应用以 NAME.DOMAIN 为域名创建。")
)
@click.option("--type", "app_type", default="web", show_default=True, help=t("Type of the apps.", "应用类型。"))
@click.option("--runtime", default="static", show_default=True, help=t("Runtime of the apps.", "应用运行时。"))
@click.option(
    "--package",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=t(
        "A package for that runtime, which answers GET /; none: a page made on the fly.",
        "适合该运行时、能响应 GET / 的程序包；缺省为即时生成的网页。",
    ),
)
@click.option(
    "--service",
    default="postgresql",
    show_default=True,
    help=t("A middleware service by its name.", "中间件服务名称。"),
)
@click.option(
    "--git-url",
    metavar="URL",
    help=t("A repository that the server can reach; none: its own.", "服务器可访问的仓库；缺省为其自身托管的。"),
)
@click.option("--build-type", help=t("For 5.2(5); none: the runtime.", "用于 5.2(5)；缺省同运行时。"))
@click.option("--alarm-metric", default="cpu", show_default=True, help=t("For 5.3(5).", "用于 5.3(5)。"))
@click.option(
    "--other-token",
    metavar="TOKEN",
    help=t("Of somebody who may read nothing; none: a user is made.", "无任何权限者的令牌；缺省则新建用户。"),
)
@click.option(
    "--supervisor-token",
    metavar="TOKEN",
    help=t("Of a supervisor; none: a user is made.", "监管人员的令牌；缺省则新建用户。"),
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1),
    default=30,
    show_default=True,
    help=t("Seconds for an answer.", "等待应答的秒数。"),
)
@click.option(
    "--operation-timeout",
    type=click.FloatRange(0.1),
    default=180,
    show_default=True,
    help=t("Seconds for an operation to end.", "等待操作结束的秒数。"),
)
@click.option(
    "--settle",
    type=click.FloatRange(0.1),
    default=15,
    show_default=True,
    help=t("Seconds for an effect to be seen.", "等待效果可见的秒数。"),
)
@click.make_pass_decorator(Session, ensure=True)
def conformance(session: Session, **given: Any) -> None:
    from gongfang.conformance import ALL, SelectionError, Unreachable, key_of, run

    lang: text.Language = given["lang"] or text.language()
    options = _options(session, given)
    try:
        with _interruptible(), _progress(lang) as begins:
            report = run(options, begins=begins)
    except SelectionError as error:
        names = ", ".join(key for key in map(key_of, ALL) if not key[0].isdigit())
        raise Failed(
            t("there is no clause or rule '{0}'", "没有条款或规则“{0}”").format(error),
            hint=t("5.1, 5.1(3), common, or one of: {0}", "可用 5.1、5.1(3)、common 或：{0}").format(names),
            code=USAGE,
        ) from error
    except Unreachable as error:
        code = REFUSED if error.status else AWAY
        hint = t("check --url and --token", "请检查 --url 和 --token")
        if error.status == 403:
            hint = t(
                "this token may not create apps; give one of somebody who may do everything in a space",
                "该令牌无权创建应用；请使用在某空间内有全部权限的令牌",
            )
        elif "CERTIFICATE_VERIFY_FAILED" in error.seen.english:
            hint = certificate_hint(error.seen.english, session.connection.ca)
        raise Failed(f"{options.url}: {error.seen.of(lang)}", hint=hint, code=code) from error
    if given["json_file"] != "-":
        _print(report, lang)
    _write(report, lang, given)
    for left in report.left_behind:
        session.note(_say(lang, "left behind: {0}", "未能清除：{0}").format(left.of(lang)))
    if report.interrupted:
        raise click.exceptions.Exit(INTERRUPTED)
    if not report.conforms(allow_missing=given["allow_missing"]):
        raise click.exceptions.Exit(FAILED)


def _options(session: Session, given: dict[str, Any]) -> Options:
    from gongfang.conformance import Options

    session.url_option = given["url"] or session.url_option
    session.token_option = given["token"] or session.token_option
    session.ca_option = given["ca"] or session.ca_option
    found: connection.Connection = session.connection
    if found.token is None:
        raise Failed(
            t("no token for {0}", "没有 {0} 的令牌").format(found.url),
            hint=t("give one with --token", "请用 --token 给出"),
            code=REFUSED,
        )
    package: Path | None = given["package"]
    return Options(
        url=found.url,
        token=found.token,
        select=tuple(given["clauses"]),
        edge=connection.normal(given["edge"]) if given["edge"] else None,
        base_domain=given["base_domain"],
        app_type=given["app_type"],
        runtime=given["runtime"],
        package=(package.name, package.read_bytes()) if package else None,
        service=given["service"],
        git_url=given["git_url"],
        build_type=given["build_type"],
        alarm_metric=given["alarm_metric"],
        other_token=given["other_token"],
        supervisor_token=given["supervisor_token"],
        answer_s=given["timeout"],
        operation_s=given["operation_timeout"],
        settle_s=given["settle"],
        trust=session.trust() if found.url.startswith("https:") else None,
        language=given["lang"] or text.language(),
    )


@contextmanager
def _interruptible() -> Generator[None]:
    """SIGTERM is heeded as Ctrl-C is: what was made is destroyed before the command ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _progress(lang: text.Language) -> Generator[Callable[[Any], None]]:
    """On a terminal: what is being tried, on a line that is gone at the end."""
    if not sys.stderr.isatty():
        yield _nothing
        return
    from rich.console import Console

    from gongfang.conformance.runner import key_of

    with Console(stderr=True).status("") as status:

        def show(item: Clause | Rule) -> None:
            status.update(f"{key_of(item)} {item.title.of(lang)}")

        yield show


def _nothing(_item: object) -> None:
    """Nobody looks."""


def _say(lang: text.Language, english: str, chinese: str) -> str:
    return chinese if lang == "zh-CN" else english


def _write(report: Report, lang: text.Language, given: dict[str, Any]) -> None:
    document = json.dumps(report.document(), ensure_ascii=False, indent=2)
    if given["json_file"] == "-":
        click.echo(document)
    elif given["json_file"]:
        Path(given["json_file"]).write_text(document + "\n", "utf-8")
    if given["junit_file"]:
        Path(given["junit_file"]).write_bytes(report.junit(lang, allow_missing=given["allow_missing"]))


def _verdict(result: Result, lang: text.Language) -> render.Word:
    word = render.Word(_say(lang, result.verdict.value, _WORDS[result.verdict.value]))
    word.colour = _COLOURS[result.verdict.value]
    return word


def _print(report: Report, lang: text.Language) -> None:
    from gongfang.conformance.report import explained

    def rows(results: list[Result]) -> list[tuple[object, ...]]:
        return [(r.key, r.chinese, r.english, _verdict(r, lang), r.summary.of(lang)) for r in results]

    names = (_say(lang, "NAME (zh)", "名称"), _say(lang, "NAME", "英文名称"))
    rest = (_say(lang, "VERDICT", "结论"), _say(lang, "SEEN", "实际情况"))
    if report.clauses:
        render.table((_say(lang, "CLAUSE", "条款"), *names, *rest), rows(report.clauses))
    if report.rules:
        click.echo()
        render.table((_say(lang, "RULE", "规则"), *names, *rest), rows(report.rules))
    for result in report.results:
        if result.failures:
            click.echo()
            click.echo(click.style(f"{result.key} {result.chinese} {result.english}", bold=True))
            for check in result.failures:
                click.echo(explained(check, lang))
    click.echo()
    counts = cast("dict[str, int]", report.document()["summary"])
    told = ", ".join(f"{_say(lang, v, _WORDS[v])} {n}" for v, n in counts.items() if n)
    click.echo(f"{report.url}: {told}")
