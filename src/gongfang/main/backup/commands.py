"""`gongfang backup`, `gongfang backup verify`, `gongfang restore`: settings, words and exit codes around the work."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import orjson

from gongfang.blobs.objects import ObjectBlobs
from gongfang.domain.clock import utc_now
from gongfang.domain.errors import Conflict, GongfangError, Invalid, Unavailable
from gongfang.domain.messages import words
from gongfang.domain.sizes import shown
from gongfang.domain.values import JsonObject
from gongfang.main.backup import restore as restoring
from gongfang.main.backup.archive import Manifest
from gongfang.main.backup.database import outside_url
from gongfang.main.backup.noting import BACKUP_MADE, backup_made
from gongfang.main.backup.write import Say, Source, write_backup
from gongfang.main.embedded import database_url
from gongfang.main.guard import Guard
from gongfang.main.home import Home
from gongfang.main.process import complain, up
from gongfang.main.settled import read_settings
from gongfang.main.terminal import language
from gongfang.main.waiting import until_apps_run
from gongfang.settings import Settings
from gongfang.state import note_event

APPS_TIMEOUT_S = 600.0
_LEAST_PASSPHRASE = 8


def _teller(as_json: bool) -> Say:
    """Progress goes to stderr where stdout is for programs."""

    def say(code: str, facts: Mapping[str, str | int | float]) -> None:
        print(words(code, facts, language()), file=sys.stderr if as_json else sys.stdout, flush=True)

    return say


def _passphrase(path: str | None) -> bytes | None:
    """Its first line. Raises `Invalid("backup_passphrase_unusable")`."""
    if path is None:
        return None
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise Invalid("backup_passphrase_unusable", file=path, what=error.strerror or str(error)) from error
    if not lines or len(lines[0]) < _LEAST_PASSPHRASE:
        raise Invalid("backup_passphrase_unusable", file=path, what=f"< {_LEAST_PASSPHRASE}")
    return lines[0]


def backup(file: str | None, *, passphrase_file: str | None, as_json: bool) -> int:
    """Makes a backup of this home's platform, which runs. The answer is the exit code."""
    say = _teller(as_json)
    try:
        settings = read_settings()
        home = Home.of(settings)
        target = Path(file or f"gongfang-{utc_now():%Y%m%d-%H%M%S}.tar.zst").absolute()
        if not home.database_password.exists() and settings.database_url is None:
            raise Conflict("backup_no_platform", home=str(home.root))
        home.be_whole()
        blobs = ObjectBlobs(home.root / "spool", folder=home.root / "blobs")
        source = Source(
            root=home.root,
            database_url=outside_url(settings) or database_url(home),
            base_domain=settings.base_domain,
            blob=blobs.path,
            guard=Guard(home.guard),
        )
        manifest = asyncio.run(_write(source, target, _passphrase(passphrase_file), say))
        noted = _note(source, backup_made(manifest, target, encrypted=passphrase_file is not None), say)
    except GongfangError as error:
        return complain(error, as_json=as_json)
    size = target.stat().st_size
    say("backup_made", {"file": str(target), "size": shown(size), "parts": len(manifest.parts)})
    if passphrase_file is None:
        say("backup_not_secret", {})
    return _report(manifest, target, as_json, say) or (0 if noted else 1)


def _note(source: Source, event: JsonObject, say: Say) -> bool:
    """Whether the log has the event; the backup is whole either way, so it stays, and what is missing is said."""
    try:
        asyncio.run(note_event(source.database_url, event))
    except GongfangError:
        say("backup_not_noted", {"tag": BACKUP_MADE})
        return False
    return True


async def _write(source: Source, target: Path, passphrase: bytes | None, say: Say) -> Manifest:
    try:
        return await write_backup(source, target, passphrase, say)
    except Unavailable as error:
        if error.code == "database_away":
            raise Conflict("backup_no_platform", home=str(source.root)) from error
        raise


def _report(manifest: Manifest, path: Path, as_json: bool, say: Say) -> int:
    for sha256 in manifest.lost:
        say("backup_lost", {"sha256": sha256})
    if as_json:
        header = manifest.header
        data = {
            "file": str(path),
            "size": path.stat().st_size,
            "created_at": header.created_at,
            "version": header.version,
            "schema": header.schema,
            "base_domain": header.base_domain,
            "parts": len(manifest.parts),
            "unpacked_size": manifest.size,
            "blobs": header.blobs,
            "lost": list(manifest.lost),
        }
        print(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode())
    return 1 if manifest.lost else 0


def _when(text: str) -> str:
    """A backup's own word for when it was made, in the time zone of this machine where it is a time."""
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError):
        return text


def verify_backup(file: str, *, passphrase_file: str | None, as_json: bool) -> int:
    """Reads a backup to its end and says whether it is whole. The answer is the exit code."""
    say = _teller(as_json)
    try:
        manifest = restoring.check(Path(file), _passphrase(passphrase_file), say)
    except GongfangError as error:
        return complain(error, as_json=as_json)
    header = manifest.header
    facts = {"created_at": _when(header.created_at), "version": header.version, "parts": len(manifest.parts)}
    say("backup_whole", {**facts, "size": shown(manifest.size)})
    return _report(manifest, Path(file), as_json, say)


def restore(file: str, *, passphrase_file: str | None, start: bool) -> int:
    """Fills this machine's empty home, starts the platform, and waits until apps run again that ran."""
    say = _teller(False)
    try:
        settings = read_settings()
    except GongfangError as error:
        return complain(error)
    home = Home.of(settings)
    try:
        passphrase = _passphrase(passphrase_file)
        restoring.may_restore(home)
        manifest = restoring.check(Path(file), passphrase, say)
        _fill(settings, home, Path(file).absolute(), manifest, passphrase, say)
    except GongfangError as error:
        return complain(error)
    except OSError as error:
        return complain(Unavailable("home_unusable", home=str(home.root), what=str(error)))
    say("restore_done", {"home": str(home.root), "created_at": _when(manifest.header.created_at)})
    for sha256 in manifest.lost:
        say("backup_lost", {"sha256": sha256})
    if not start:
        say("restore_not_started", {})
        return 0
    code = up(detach=True, wait_for_apps=False)
    if code:
        return code
    late = until_apps_run(home, say, within_s=APPS_TIMEOUT_S)
    for app in late or ():
        say("restore_app_not_running", {"app": app.name, "state": app.state})
    return 0 if late == [] else 1


def _fill(settings: Settings, home: Home, file: Path, manifest: Manifest, passphrase: bytes | None, say: Say) -> None:
    made = not home.root.exists()
    home.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = home.lock()
    whole = False
    try:
        asyncio.run(restoring.fill(settings, home, file, manifest, passphrase, say))
        whole = True
    finally:
        if not whole:
            home.lock_file.unlink(missing_ok=True)
            if made:
                with contextlib.suppress(OSError):
                    home.root.rmdir()
        os.close(lock)
