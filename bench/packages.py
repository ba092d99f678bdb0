"""The benchmark's apps as packages: an archive a version, with the version in the page."""

import io
import tarfile
from pathlib import Path

APPS = Path(__file__).resolve().parent / "apps"


def source(name: str, version: int) -> bytes:
    """The app's one file, saying its version."""
    return (APPS / f"{name}.py").read_bytes().replace(b'"version 0"', f'"{said(version).decode()}"'.encode())


def said(version: int) -> bytes:
    """What a page of that version says; no version's words are the beginning of another's."""
    return f"version {version:04}".encode()


def package(name: str, version: int) -> io.BytesIO:
    """A tar.gz with `app.py` in it, as a stream that knows its name."""
    content = source(name, version)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        entry = tarfile.TarInfo("app.py")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    archive.seek(0)
    archive.name = "app.tar.gz"
    return archive
