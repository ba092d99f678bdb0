"""The home folder: who owns it, what lies where, and that only one control plane works in it."""

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import orjson

from gongfang.domain.errors import Conflict, Unavailable
from gongfang.main.settled import digests
from gongfang.settings import Settings


@dataclass(frozen=True, slots=True)
class Home:
    """Paths under `GONGFANG_HOME`."""

    root: Path
    run: Path

    @property
    def admin_token(self) -> Path:
        return self.root / "admin-token"

    @property
    def platform_file(self) -> Path:
        """Where the platform answers, for the command line on this machine."""
        return self.root / "platform.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "control.lock"

    @property
    def log_file(self) -> Path:
        return self.root / "logs" / "control.log"

    @property
    def runtime(self) -> Path:
        return self.root / "runtime"

    @property
    def keys(self) -> Path:
        return self.root / "secrets" / "keys"

    @property
    def database_password(self) -> Path:
        return self.root / "postgres" / "password"

    @property
    def restoring(self) -> Path:
        """There while `gongfang restore` fills this home: it is no platform yet."""
        return self.root / "restoring"

    @property
    def guard(self) -> Path:
        """Held by backups, and by what clears files away."""
        return self.root / "backup.lock"

    def be_whole(self) -> None:
        """Raises `Conflict("home_half_restored")`."""
        if self.restoring.exists():
            raise Conflict("home_half_restored", home=str(self.root))

    @staticmethod
    def of(settings: Settings) -> "Home":
        return Home(settings.home, settings.run_dir)

    def make(self) -> None:
        """Makes the folders, for their owner only. Raises `Unavailable("home_unusable")`."""
        try:
            for folder in (self.root, self.run, self.root / "logs", self.root / "secrets", self.root / "postgres"):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in (self.root, self.run):
                found = folder.lstat()
                if found.st_uid != os.geteuid():
                    raise PermissionError(f"{folder} belongs to user {found.st_uid}")
                folder.chmod(0o700)
        except OSError as error:
            raise Unavailable("home_unusable", home=str(self.root), what=str(error)) from error

    def lock(self) -> int:
        """Takes the home for this process; the answer is the descriptor that holds it.

        Raises `Conflict("already_running")`.
        """
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(descriptor, 32, 0).decode().strip() or "?"
            os.close(descriptor)
            raise Conflict("already_running", home=str(self.root), pid=pid) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def running_pid(self) -> int | None:
        """The process that holds the home, or None."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 32, 0).decode().strip()
            return int(text) if text.isdigit() else None
        finally:
            os.close(descriptor)
        return None

    def write_secret(self, path: Path, text: str) -> None:
        """Writes a file of mode 0600, whole or not at all."""
        partial = path.with_name(path.name + ".new")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)

    def password(self) -> str:
        """The embedded database's password, made on the first start."""
        if not self.database_password.exists():
            self.write_secret(self.database_password, secrets.token_urlsafe(24))
        return self.database_password.read_text().strip()

    def write_platform(self, settings: Settings) -> None:
        data = {
            "api_url": settings.api_url,
            # The command line on this machine trusts this very certificate, whoever signed it.
            "api_certificate": str(settings.api_tls_cert) if settings.api_tls_cert else None,
            "edge_port": settings.edge_port,
            "edge_tls_port": settings.https_port,
            "base_domain": settings.base_domain,
            # By these, not by values that may be secret, a later `up` sees what was set otherwise since.
            "settings": digests(settings),
        }
        self.platform_file.write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2))
