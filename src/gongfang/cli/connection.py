"""Which platform, and as whom. The first of these that names an address:

1. `--url`, `--context`, `GONGFANG_URL`;
2. `GONGFANG_HOME`, where somebody set it: the platform of that home on this machine;
3. the login saved by `gongfang login`;
4. the default home on this machine.

The administrator's token of a home goes to that home's own address only.
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from gongfang.cli.errors import USAGE, Failed
from gongfang.cli.text import t

_HERE = frozenset({"127.0.0.1", "::1", "localhost", "0.0.0.0", "::"})  # noqa: S104  (compared, not bound)


@dataclass(frozen=True, slots=True)
class Connection:
    """An address, a token where there is one, and whether it is a platform of a home on this machine."""

    url: str
    token: str | None
    local: bool
    source: str
    ca: str | None = None  # a file of authorities to trust beside the machine's own
    pinned: str | None = None  # the certificate of a platform on this machine, trusted alone


def home() -> Path:
    """The platform's home folder on this machine."""
    return Path(os.environ.get("GONGFANG_HOME") or Path.home() / ".gongfang").expanduser().absolute()


def platform_file() -> dict[str, Any]:
    """What a running platform wrote about itself: `api_url`, `edge_port`, `base_domain`. Empty where there is none."""
    return _read_object(home() / "platform.json")


def resolve(url: str | None, token: str | None, context: str | None, ca: str | None = None) -> Connection:
    """The platform to talk to. Raises `Failed` for a context that was never saved, or a file that is not there."""
    found = _resolve(url, token, context)
    pinned = platform_file().get("api_certificate") if ca is None and _is_here(found.url) else None
    if isinstance(pinned, str) and Path(pinned).is_file():
        return replace(found, pinned=pinned)
    ca = ca or os.environ.get("GONGFANG_CA") or found.ca
    if ca is not None and not Path(ca).expanduser().is_file():
        raise Failed(t("there is no file {0}", "文件 {0} 不存在").format(ca), hint="--ca FILE, GONGFANG_CA", code=USAGE)
    return replace(found, ca=str(Path(ca).expanduser()) if ca else None)


def _resolve(url: str | None, token: str | None, context: str | None) -> Connection:
    token = token or os.environ.get("GONGFANG_TOKEN") or None
    logins = Logins.load()
    if context is not None:
        if context not in logins.contexts:
            known = ", ".join(sorted(logins.contexts)) or "-"
            raise Failed(
                t("no saved login is called '{0}' (known: {1})", "没有名为“{0}”的登录（已有：{1}）").format(
                    context, known
                ),
                code=USAGE,
            )
        saved = logins.contexts[context]
        return _saved(saved, token, context)
    url = url or os.environ.get("GONGFANG_URL") or None
    local_url = _local_url()
    if url is not None:
        url = normal(url)
        ca = next((s.get("ca") for s in logins.contexts.values() if s["url"] == url), None)
        found = token or _token_for(url, local_url, logins)
        return Connection(url, found, local=url == local_url, source="url", ca=ca)
    saved = logins.contexts.get(logins.current or "")
    if saved is not None and not os.environ.get("GONGFANG_HOME"):
        return _saved(saved, token, logins.current or "")
    return Connection(local_url, token or _admin_token(), local=True, source=str(home()))


def _saved(saved: dict[str, str], token: str | None, name: str) -> Connection:
    token = token or saved.get("token")
    return Connection(
        saved["url"],
        token,
        local=_is_here(saved["url"]) and bool(platform_file()),
        source=f"login {name}",
        ca=saved.get("ca"),
    )


def normal(url: str) -> str:
    """An address as people type it, as the client wants it."""
    url = url.strip().rstrip("/").removesuffix("/api/v1")
    return url if "://" in url else f"http://{url}"


def _is_here(url: str) -> bool:
    """Whether an address is that of the home's own platform, however it was written: a saved login's as well."""
    mine, other = urlsplit(_local_url()), urlsplit(url)
    try:
        same_port = mine.port == other.port
    except ValueError:
        return False
    here = mine.hostname == other.hostname or {mine.hostname, other.hostname} <= _HERE
    return mine.scheme == other.scheme and same_port and here


def _local_url() -> str:
    told = platform_file().get("api_url")
    if isinstance(told, str):
        return told.rstrip("/")
    return f"http://127.0.0.1:{os.environ.get('GONGFANG_API_PORT') or 7080}"


def _token_for(url: str, local_url: str, logins: "Logins") -> str | None:
    for saved in logins.contexts.values():
        if saved["url"] == url:
            return saved.get("token")
    return _admin_token() if url == local_url else None


def _admin_token() -> str | None:
    try:
        return (home() / "admin-token").read_text("utf-8").strip() or None
    except OSError:
        return None


def _read_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


class Logins:
    """The saved logins: `~/.config/gongfang/config.json`, readable by its owner only."""

    def __init__(self, current: str | None, contexts: dict[str, dict[str, str]]) -> None:
        self.current = current
        self.contexts = contexts

    @staticmethod
    def path() -> Path:
        base = os.environ.get("XDG_CONFIG_HOME")
        return (Path(base) if base else Path.home() / ".config") / "gongfang" / "config.json"

    @staticmethod
    def load() -> "Logins":
        data = _read_object(Logins.path())
        raw: dict[str, Any] = data.get("contexts") or {}
        contexts = {
            name: cast("dict[str, str]", entry)
            for name, entry in raw.items()
            if isinstance(entry, dict) and "url" in entry
        }
        return Logins(data.get("current"), contexts)

    def save(self) -> None:
        """Replaces the file at once, so that no reader sees half of it and no other user any of it."""
        path = self.path()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_name(f".config-{os.getpid()}.json")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"current": self.current, "contexts": self.contexts}, file, indent=2, ensure_ascii=False)
        fresh.replace(path)
