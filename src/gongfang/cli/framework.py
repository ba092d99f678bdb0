"""Commands that load late: the root knows every command's name and one line about it, and nothing of its code.

`gongfang --help`, `--version` and shell completion of command names thus import neither the HTTP library nor the
models. Also here: what every command has in common (`--json`, the session, errors as one line and an exit code).
"""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from gongfang.cli.errors import Failed, document, exit_code, explain
from gongfang.cli.session import Session
from gongfang.cli.text import t


class Entry(NamedTuple):
    """A command of the root: where its code is (`module:attribute`), and its line in the list."""

    where: str
    english: str
    chinese: str

    @property
    def line(self) -> str:
        return t(self.english, self.chinese)


class Root(click.Group):
    """The group `gongfang`: sections of late-loaded commands."""

    def __init__(self, *args: Any, sections: Mapping[tuple[str, str], Mapping[str, Entry]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections
        self._entries = {name: entry for section in sections.values() for name, entry in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.where.partition(":")
        return getattr(import_module(f"gongfang.cli.commands.{module}"), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for (english, chinese), section in self._sections.items():
            with formatter.section(t(english, chinese)):
                formatter.write_dl([(name, entry.line) for name, entry in section.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [
            CompletionItem(name, help=entry.line)
            for name, entry in self._entries.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self._entries and not name.startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(name, self._entries, 3)
            hint = t("; do you mean {0}?", "；是否想用 {0}？").format(", ".join(close)) if close else ""
            ctx.fail(t("There is no command '{0}'{1}", "没有命令“{0}”{1}").format(name, hint))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; whatever it raises that has words becomes those words and its exit code."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            session = ctx.ensure_object(Session)
            if session.as_json and not session.shown:
                _print_error(Failed(error.format_message(), code=error.exit_code))
            raise
        except (click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo(t("stopped", "已中断"), err=True)
            ctx.exit(130)
        except BrokenPipeError:  # `gongfang logs … | head`: the reader has seen enough
            _let_go_of_stdout()
            ctx.exit(0)
        except Exception as error:
            code = exit_code(error)
            if code is None:
                raise
            session = ctx.ensure_object(Session)
            for line in explain(error, session):
                click.echo(line, err=True)
            if session.as_json and not session.shown:
                _print_error(error)
            ctx.exit(code)


def _print_error(error: Exception) -> None:
    """For programs, on stdout, where they look for the data."""
    from gongfang.cli.render import print_json

    print_json(document(error))


def _let_go_of_stdout() -> None:
    """Points stdout at nothing, so that the interpreter's last flush of it does not fail as well."""
    import os
    import sys

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class DefaultGroup(click.Group):
    """A group that is itself a command: `gongfang env APP` is `gongfang env show APP`."""

    default = ""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        asks_for_help = bool(args) and args[0] in ctx.help_option_names
        if not asks_for_help and (not args or args[0] not in self.commands):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        items = super().shell_complete(ctx, incomplete)
        default = self.commands[self.default]
        first = next((p for p in default.params if isinstance(p, click.Argument)), None)
        return items if first is None else items + first.shell_complete(ctx, incomplete)


def group(name: str, text: str, default: str) -> DefaultGroup:
    """A group whose command `default` runs where no other is named."""
    made = DefaultGroup(name, help=text)
    made.default = default
    return made


Function = Callable[..., Any]


def command(
    name: str, text: str, into: click.Group | None = None, **settings: Any
) -> Callable[[Function], click.Command]:
    """A command with what all have: the session as its first argument, and `--json`."""

    def made(function: Function) -> click.Command:
        built = click.command(name, help=text, **settings)(click.make_pass_decorator(Session, ensure=True)(function))
        built.params.append(
            click.Option(
                ["--json"],
                is_flag=True,
                expose_value=False,
                callback=_set_json,
                help=t("Print the data as JSON.", "以 JSON 输出数据。"),
            )
        )
        if into is not None:
            into.add_command(built)
        return built

    return made


def _set_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).as_json = True


def complete_apps(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of apps, where the platform answers at once; a completion never explains an error."""
    from gongfang.client.errors import ClientError

    try:
        client = ctx.ensure_object(Session).quick_client(timeout=1.0)
        return [app.name for app in client.apps.list(page_size=500).page().items if app.name.startswith(incomplete)]
    except (ClientError, click.ClickException, OSError):
        return []


def app_argument(name: str = "app", required: bool = True) -> Callable[[Function], Function]:
    """The argument APP: a name or an id, completed by the shell."""
    return click.argument(name, metavar="APP" if required else "[APP]", required=required, shell_complete=complete_apps)


def pairs(values: Iterable[str], option: str) -> dict[str, str]:
    """`K=V` arguments. Raises a usage error naming the one that is not of this form."""
    found: dict[str, str] = {}
    for value in values:
        key, equals, rest = value.partition("=")
        if not equals or not key:
            raise click.UsageError(
                t("{0}: '{1}' is not KEY=VALUE", "{0}：“{1}”不是 KEY=VALUE 的形式").format(option, value)
            )
        found[key] = rest
    return found
