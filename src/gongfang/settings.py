"""What an administrator may set: one frozen tree, read once by `main` from the environment, handed on as slices."""

import hashlib
import os
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gongfang.domain.policies import IcpPolicy


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
    port_range: tuple[int, int] = (20000, 29999)
    """Ports (and, as root, one user id each) that instances get."""

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
    def run_dir(self) -> Path:
        """Folder of the Unix sockets. Their paths may have 107 bytes at most, so a long home gets one elsewhere."""
        inside = self.home / "run"
        if len(os.fsencode(inside)) <= 64:
            return inside
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return Path(f"/tmp/gongfang-{os.geteuid()}-{digest}")  # noqa: S108  (made 0700 and checked by `main`)
