"""What an administrator may set: one frozen tree, read once by `main` from the environment, handed on as slices."""

import hashlib
import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gongfang.domain.egress import parse_target
from gongfang.domain.policies import IcpPolicy
from gongfang.domain.quotas import Defaults, Limits
from gongfang.domain.sizes import size_of


class Settings(BaseSettings):
    """Every field is an environment variable with the prefix `GONGFANG_`."""

    model_config = SettingsConfigDict(env_prefix="GONGFANG_", frozen=True, extra="ignore")

    home: Path = Field(default_factory=lambda: Path.home() / ".gongfang")
    """The folder of all that the platform keeps. Two platforms in two homes run side by side."""
    api_host: str = "127.0.0.1"
    """Address that the API listens on."""
    api_port: int = Field(default=7080, ge=1, le=65535)
    """Port of the API."""
    edge_host: str = "127.0.0.1"
    """Address that the edge listens on."""
    edge_port: int = Field(default=7081, ge=1, le=65535)
    """Port at which the apps answer."""
    edge_tls_port: int | None = Field(default=None, ge=0, le=65535)
    """Port at which the apps answer over HTTPS; 0: none. Where it is not set: 7443 beside the default `edge_port`, and
    none beside another one, so that a second platform on a machine needs no third port of its own."""
    api_tls_cert: Path | None = None
    """PEM certificate chain of the API. With it (and its key) the API speaks HTTPS only. Read again when it changes."""
    api_tls_key: Path | None = None
    """PEM private key of the API, not encrypted."""
    icp: IcpPolicy = IcpPolicy.optional
    """Whether a domain needs an ICP filing number (`required`), may have one (`optional`), or has none (`absent`)."""
    base_domain: str = "apps.localhost"
    """Every web app answers on NAME.BASE_DOMAIN."""
    database_url: str | None = None
    """An outside PostgreSQL (15 or newer) in place of the embedded one: `postgresql://USER:PASSWORD@HOST:PORT/DB`,
    or with `?host=/folder` of a Unix socket. It holds secrets, so it is never logged."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much the control plane writes to its log."""
    upload_limit: int = Field(default=8 << 30, gt=0)
    """The largest package, in bytes."""
    build_memory_mb: int = Field(default=2048, ge=64)
    build_disk_mb: int = Field(default=8192, ge=64)
    """What a build, with its app's cache, may write: it is ended when it has more."""
    build_timeout_s: float = Field(default=900, gt=0)
    build_concurrency: int = Field(default=2, ge=1)
    sweep_s: float = Field(default=30, gt=0)
    """How often everything is compared with what it should be, even when nothing was said to have changed."""
    event_retention_days: int = Field(default=400, ge=180)
    """How long events are kept. Regulations ask for 180 days at least, so less is refused."""
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Networks of the proxies in front of the API (`10.0.0.5,192.168.7.0/24`), whose `X-Forwarded-For` is believed."""
    webhook_private: bool = False
    """Whether webhooks may lead to this machine and to private networks."""
    port_range: tuple[int, int] = (20000, 29999)
    """Ports (and, as root, one user id each) that instances get."""
    service_port_range: tuple[int, int] = (16000, 19999)
    """Ports that the servers of services get, four in a row each; a server keeps its own for as long as it is there."""
    keep_releases: int = Field(default=10, ge=1)
    """Newest releases of an app that are kept; those in use always are."""
    keep_packages: int = Field(default=10, ge=1)
    """Newest packages of an app that are kept; those of kept releases always are."""
    keep_builds: int = Field(default=10, ge=1)
    """Newest ended builds of an app that are kept, and the logs of these; builds of kept droplets always are."""
    keep_operations_days: float = Field(default=90, gt=0)
    keep_unpacked_days: float = Field(default=7, ge=0)
    """Unpacked droplets on which nothing runs stay for so long after they were last asked for."""
    keep_cache_days: float = Field(default=30, ge=0)
    """Dependency caches of builds stay for so long after they were last used."""
    cache_limit: str = "10GB"
    """All dependency caches together: a size, or a percentage of the disk."""
    gc_every_h: float = Field(default=24, gt=0)
    """How often what is no longer needed is cleared away; also when the disk gets short."""
    gc_grace_s: float = Field(default=3600, ge=0)
    """A stored file that nothing refers to stays for so long: an upload stores its file before its row."""
    disk_warn: str = ""
    """Free space (a size, or a percentage of the disk) below which the platform warns and clears up by itself. Empty:
    5 %, at least 1 GB and at most 25 GB."""
    disk_refuse: str = ""
    """Free space below which uploads and builds are refused. Empty: 2 %, at least 512 MB and at most 10 GB."""
    log_limit: str = "16MB"
    """Size at which `logs/control.log` is put aside; the newest four are kept beside it."""

    @field_validator("disk_warn", "disk_refuse", "cache_limit", "log_limit")
    @classmethod
    def _size(cls, value: str) -> str:
        if value:
            size_of(value, 1 << 40)
        return value

    network: str = "auto"
    """Addresses of apps' own networks, as root: a network in the form 10.64.0.0/18, `auto` for one that is free here,
    or `host` to have them share the machine's network."""
    egress_allow: tuple[str, ...] = ()
    """What apps of every space may reach, besides what their space says: a JSON list as `["10.1.2.7:3141"]`. Addresses
    of this machine count too."""

    @field_validator("network")
    @classmethod
    def _network(cls, value: str) -> str:
        if value not in ("auto", "host") and not IPv4Network(value).is_private:
            raise ValueError("must be a private network")
        return value

    @field_validator("egress_allow")
    @classmethod
    def _targets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                parse_target(text)
            except ValueError:
                raise ValueError(f"{text} names no IPv4 target, as in 10.1.2.0/24:5432") from None
        return value

    organization_quota_apps: int | None = Field(default=None, ge=0)
    organization_quota_instances: int | None = Field(default=None, ge=0)
    organization_quota_memory_mb: int | None = Field(default=None, ge=0)
    """Quota of each organisation for which none was set; absent: no limit."""
    space_quota_apps: int | None = Field(default=None, ge=0)
    space_quota_instances: int | None = Field(default=None, ge=0)
    space_quota_memory_mb: int | None = Field(default=None, ge=0)
    """The same for each space."""

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return Path(os.path.abspath(value.expanduser()))  # noqa: PTH100  (no symlink is followed: the user's name for it stays)

    @field_validator("api_tls_cert", "api_tls_key")
    @classmethod
    def _absolute_file(cls, value: Path | None) -> Path | None:
        return None if value is None else Path(os.path.abspath(value.expanduser()))  # noqa: PTH100  (links may change)

    @field_validator("base_domain")
    @classmethod
    def _lower(cls, value: str) -> str:
        return value.strip().strip(".").lower()

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("database_url")
    @classmethod
    def _postgresql(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("postgresql://", "postgres://", "postgresql+asyncpg://")):
            raise ValueError("must begin with postgresql://")
        return value

    @property
    def https_port(self) -> int | None:
        """Of the edge; None where it serves no HTTPS."""
        if self.edge_tls_port is not None:
            return self.edge_tls_port or None
        return 7443 if self.edge_port == 7081 else None

    @property
    def api_url(self) -> str:
        scheme = "http" if self.api_tls_cert is None else "https"
        host = f"[{self.api_host}]" if ":" in self.api_host else self.api_host
        return f"{scheme}://{host}:{self.api_port}"

    @property
    def quota_defaults(self) -> Defaults:
        return Defaults(
            Limits(self.organization_quota_apps, self.organization_quota_instances, self.organization_quota_memory_mb),
            Limits(self.space_quota_apps, self.space_quota_instances, self.space_quota_memory_mb),
        )

    @model_validator(mode="after")
    def _ports_apart(self) -> "Settings":
        first, last = self.service_port_range
        if not 1 <= first <= last <= 65535:
            raise ValueError("service_port_range must be two ports, the first not above the last")
        if first <= self.port_range[1] and self.port_range[0] <= last:
            ordinary = "-".join(map(str, self.port_range))
            raise ValueError(f"service_port_range ({first}-{last}) and port_range ({ordinary}) must share no port")
        for name in ("api_port", "edge_port", "edge_tls_port"):
            port = getattr(self, name)
            if port is not None and first <= port <= last:
                raise ValueError(f"{name} ({port}) must not lie in service_port_range ({first}-{last})")
        return self

    @property
    def run_dir(self) -> Path:
        """Folder of the Unix sockets. Their paths may have 107 bytes at most, so a long home gets one elsewhere."""
        inside = self.home / "run"
        if len(os.fsencode(inside)) <= 64:
            return inside
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return Path(f"/tmp/gongfang-{os.geteuid()}-{digest}")  # noqa: S108  (made 0700 and checked by `main`)
