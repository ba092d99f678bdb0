"""What a build must be told of its host to reach the package indexes: proxies, mirrors, certificates.

Variables of the platform's own environment are handed on as they are: its administrator put them there. Files of its
user (`pip.conf`, `.npmrc`, `go env -w`, Maven's settings) are read for mirrors and certificates only. Credentials in
them are a person's, and a build is somebody else's code, so they are left out; a platform that needs some gets them by
variables (`UV_DEFAULT_INDEX`, `npm_config_…`).
"""

import configparser
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

_PREFIXES = ("PIP_", "UV_", "NPM_CONFIG_", "npm_config_")
_NAMES = frozenset(
    (
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
        *("GIT_SSL_CAINFO", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GONOPROXY", "GOINSECURE"),
        *("MAVEN_OPTS", "MAVEN_ARGS"),
    )
)
# Of the platform's own making, or about its own machine: they would lead a build to the wrong folders.
_NOT = re.compile(
    r"UV_(CACHE_DIR|PROJECT.*|PYTHON.*|TOOL_.*|LINK_MODE|WORKING_DIR.*|RUN_.*|ENV_FILE|INSTALL.*|PUBLISH.*)"
    r"|PIP_(TARGET|PREFIX|ROOT|USER|CACHE_DIR|REQUIRE_VIRTUALENV)|npm_config_(cache|prefix|globalconfig|local_prefix|.*auth.*)",
    re.IGNORECASE,
)
_VISIBLE = tuple(map(Path, ("/usr", "/lib", "/lib64", "/bin", "/etc/ssl", "/etc/pki", "/etc/ca-certificates")))
_SECRET = re.compile(r"://[^/\s\"'<>]*@|_auth|_password|<password>", re.IGNORECASE)
_NPM_KEYS = ("registry", "cafile", "proxy", "https-proxy", "noproxy", "strict-ssl")
_GO_KEYS = ("GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GONOPROXY", "GOINSECURE")


@dataclass(frozen=True, slots=True)
class ShownPath:
    """A path of the host to show, read-only, in a build's sandbox."""

    source: Path
    target: str


@dataclass(frozen=True, slots=True)
class HostConfig:
    environment: Mapping[str, str]
    shown: tuple[ShownPath, ...]


def host_config(environ: Mapping[str, str], home: Path, root: Path = Path("/")) -> HostConfig:
    """`environ`: the platform's environment. `home`: of its user. `root`: the file system (another one in tests).

    A plan's own environment goes above this one.
    """
    found: dict[str, str] = {}
    found |= _pip(environ, home, root)
    found |= _npm(home, root)
    found |= _go(home)
    own = {name: value for name, value in environ.items() if _wanted(name)}
    taken = {name.upper() for name in own}
    environment = {name: value for name, value in found.items() if name.upper() not in taken} | own
    shown: dict[str, ShownPath] = {}
    for source, target, variable in (
        (home / ".config/uv/uv.toml", "/etc/uv/uv.toml", ""),
        (root / "etc/uv/uv.toml", "/etc/uv/uv.toml", ""),
        (home / ".m2/settings.xml", "/etc/gongfang-maven.xml", "GONGFANG_MAVEN_SETTINGS"),
    ):
        if target not in shown and _harmless(source):
            shown[target] = ShownPath(source, target)
            if variable:
                environment[variable] = target
    for path in _paths(environment.values()):
        shown.setdefault(str(path), ShownPath(path, str(path)))
    return HostConfig(environment, tuple(shown.values()))


def _wanted(name: str) -> bool:
    return (name in _NAMES or name.startswith(_PREFIXES)) and not _NOT.fullmatch(name)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _harmless(path: Path) -> bool:
    """Whether it is a file that any user of the machine may read, without a password in it."""
    try:
        return bool(path.stat().st_mode & 0o004) and path.is_file() and not _SECRET.search(_text(path))
    except OSError:
        return False


def _pip(environ: Mapping[str, str], home: Path, root: Path) -> dict[str, str]:
    """pip's configuration, and its variables, in uv's words; uv reads neither."""
    settings: dict[str, str] = {}
    for path in (root / "etc/pip.conf", home / ".pip/pip.conf", home / ".config/pip/pip.conf"):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(_text(path))
        except configparser.Error:
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                settings |= dict(parser.items(section))
    settings = {key: value for key, value in settings.items() if not _SECRET.search(value)}
    for name in ("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "TRUSTED_HOST", "CERT"):
        if environ.get(f"PIP_{name}"):
            settings[name.lower().replace("_", "-")] = environ[f"PIP_{name}"]
    found: dict[str, str] = {}
    if settings.get("index-url"):
        found["UV_DEFAULT_INDEX"] = settings["index-url"]
    if settings.get("extra-index-url"):
        found["UV_INDEX"] = " ".join(settings["extra-index-url"].split())
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # as pip: the best version of all indexes
    if settings.get("find-links"):
        found["UV_FIND_LINKS"] = ",".join(settings["find-links"].split())
    if settings.get("trusted-host"):
        found["UV_INSECURE_HOST"] = " ".join(settings["trusted-host"].split())
    if settings.get("cert"):
        found["SSL_CERT_FILE"] = settings["cert"]
    return found


def _npm(home: Path, root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in (root / "usr/etc/npmrc", root / "etc/npmrc", home / ".npmrc"):
        for line in _text(path).splitlines():
            key, _, value = (part.strip() for part in line.partition("="))
            if key in _NPM_KEYS and value and not _SECRET.search(value) and "${" not in value:
                found[f"npm_config_{key.replace('-', '_')}"] = value.strip("\"'")
    return found


def _go(home: Path) -> dict[str, str]:
    pairs = (line.partition("=") for line in _text(home / ".config/go/env").splitlines())
    return {key: value for key, _, value in pairs if key in _GO_KEYS and not _SECRET.search(value)}


def _paths(values: Iterable[str]) -> list[Path]:
    """Files and folders that values name and that a sandbox wouldn't see: absolute paths and `file:` addresses."""
    found: list[Path] = []
    for value in values:
        for word in re.split(r"[\s,]+", value):
            path = Path(_file_of(word))
            if path.is_absolute() and len(path.parts) > 2 and not any(path.is_relative_to(each) for each in _VISIBLE):
                folder = _repository_of(path) if word.startswith("file:") else path
                if folder.exists() and folder not in found:
                    found.append(folder)
    return found


def _file_of(word: str) -> str:
    return unquote(urlsplit(word).path) if word.startswith("file:") else word


def _repository_of(path: Path) -> Path:
    """An index's pages link to files beside them, as `../../files/…`."""
    return path.parent if path.name == "simple" else path
