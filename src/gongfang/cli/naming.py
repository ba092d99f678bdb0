"""What an app is called: as told, as the project's file says, as it was deployed last, or after its folder."""

import hashlib
import json
import re
import tomllib
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gongfang.cli.errors import USAGE, Failed
from gongfang.cli.text import t


def slug(text: str) -> str:
    """A name of an app out of any text. Where letters are lost that no `a-z` stands for (Chinese ones), six digits of
    the text's hash keep two such names apart: `三号线看板` becomes `app-7c1f5a`."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    words = re.findall(r"[a-z0-9]+", plain)
    lost = any(char.isalnum() and not char.isascii() for char in plain)
    name = "-".join(words)[:63].strip("-")
    if name and not lost:
        return name
    digest = hashlib.sha256(unicodedata.normalize("NFC", text).encode()).hexdigest()[:6]
    return f"{(name or 'app')[:56].strip('-')}-{digest}"


@dataclass(frozen=True, slots=True)
class Project:
    """What `gongfang.toml` says, all of it optional.

    name = "line-3-dashboard"
    type = "web"
    runtime = "python"
    memory = 256
    instances = 2
    domains = ["mes.example.cn"]
    [env]
    LINE = "3"
    [labels]
    plant = "suzhou"
    """

    name: str | None = None
    type: str | None = None
    runtime: str | None = None
    memory: int | None = None
    instances: int | None = None
    domains: list[str] = field(default_factory=list[str])
    env: dict[str, str] = field(default_factory=dict[str, str])
    labels: dict[str, str] = field(default_factory=dict[str, str])


_KINDS: dict[str, type] = {
    "name": str,
    "type": str,
    "runtime": str,
    "memory": int,
    "instances": int,
    "domains": list,
    "env": dict,
    "labels": dict,
}


def read_project(folder: Path) -> Project:
    """The folder's `gongfang.toml`; empty where there is none. Raises `Failed` for a faulty one."""
    file = folder / "gongfang.toml"
    try:
        data: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return Project()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Failed(f"{file}: {error}", code=USAGE) from error
    for key, value in data.items():
        kind = _KINDS.get(key)
        if kind is None:
            known = ", ".join(_KINDS)
            raise Failed(
                t("{0}: unknown '{1}' (known: {2})", "{0}：未知项“{1}”（可用：{2}）").format(file, key, known),
                code=USAGE,
            )
        if not isinstance(value, kind) or isinstance(value, bool):
            message = t("{0}: '{1}' must be of type {2}", "{0}：“{1}”的类型应为 {2}").format(file, key, kind.__name__)
            raise Failed(message, code=USAGE)
    for table in ("env", "labels"):
        if table in data:
            data[table] = {key: str(value) for key, value in data[table].items()}
    return Project(**data)


class Remembered:
    """Which app a folder was deployed as, for each platform: `.gongfang/app.json` in it, which Git does not see."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / ".gongfang" / "app.json"

    def recall(self, url: str) -> str | None:
        found = self._read().get(url)
        return found if isinstance(found, str) else None

    def remember(self, url: str, app: str) -> None:
        """Best effort: a folder that can't be written to is deployed all the same."""
        known = self._read()
        if known.get(url) == app:
            return
        try:
            self._file.parent.mkdir(exist_ok=True)
            (self._file.parent / ".gitignore").write_text("*\n", "utf-8")
            self._file.write_text(json.dumps({**known, url: app}, indent=2) + "\n", "utf-8")
        except OSError:
            return

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._file.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return dict(found) if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownArgumentType]
