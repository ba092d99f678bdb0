"""A backup holds every key of the platform, and a restore brings a platform back to what it was: both are written into
the log of events, which is the audit trail. Neither has a caller with a token, so the machine's user is named."""

import os
import pwd
import socket
from datetime import datetime
from pathlib import Path

from gongfang.domain.clock import utc_now
from gongfang.domain.values import JsonObject
from gongfang.main.backup.archive import Header, Manifest

BACKUP_MADE = "platform:backup:made"
RESTORED = "platform:restored"


def machine_user() -> str:
    """Who runs this program, as the machine knows them; through sudo, also who asked for it."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    asked = os.environ.get("SUDO_USER", "")
    return (f"{name} ({asked})" if asked and uid == 0 and asked != name else name)[:64]


def backup_made(manifest: Manifest, target: Path, *, encrypted: bool) -> JsonObject:
    """The event of a backup, in the platform that it was made of."""
    return _event(
        BACKUP_MADE,
        {
            "file": str(target)[:500],
            "size": target.stat().st_size,
            "parts": len(manifest.parts),
            "unpacked_size": manifest.size,
            "lost": len(manifest.lost),
            "encrypted": encrypted,
            "backup_of": manifest.header.created_at,
            "host": socket.gethostname()[:64],
        },
    )


def restored(header: Header, file: Path, *, at: datetime | None = None) -> JsonObject:
    """The event of a restore, in the platform that it made."""
    data: JsonObject = {
        "file": str(file)[:500],
        "backup_of": header.created_at,
        "backup_host": header.host or None,
        "version": header.version,
        "base_domain": header.base_domain,
        "host": socket.gethostname()[:64],
    }
    return {**_event(RESTORED, data), "at": at or utc_now()}


def _event(tag: str, data: JsonObject) -> JsonObject:
    return {
        "tag": tag,
        "at": utc_now(),
        "actor_name": machine_user(),
        "object_kind": "platform",
        "outcome": "succeeded",
        "data": data,
    }
