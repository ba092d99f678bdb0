"""The API's own HTTPS: a certificate and a key in files, read at start and again when they change.

It is not Envoy's: the API answers (and shows its certificate) when the edge does not, and the other way round.
Handshakes see a renewed certificate within `LOOK_S`; connections that are open stay. Files that don't fit together
(one of the two was written a moment ago, or wrongly) change nothing: the former ones are served on, and the log says
why, once.
"""

import asyncio
import os
import ssl
from pathlib import Path
from typing import Any

import structlog

from gongfang.domain.errors import Invalid

LOOK_S = 2.0

log = structlog.get_logger()

Stamp = tuple[tuple[int, int, int], ...]


class ApiTls:
    """Raises `Invalid`, naming the file, where the API can't be served with them."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._stamp = self._stamps()
        self.context = _context(certificate, key)

    @staticmethod
    def of(certificate: Path | None, key: Path | None) -> "ApiTls | None":
        """None where neither is set."""
        if certificate is None and key is None:
            return None
        if certificate is None or key is None:
            raise Invalid("api_tls_pair")
        return ApiTls(certificate, key)

    def for_server(self, _config: Any, _default: Any) -> ssl.SSLContext:
        return self.context

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def look(self) -> bool:
        """Reads them again where they have changed; whether it did."""
        stamp = self._stamps()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            _context(*self._files)  # tried elsewhere first: a context that took half of a pair would be of no use
            self.context.load_cert_chain(*self._files)
        except (Invalid, OSError) as error:
            log.warning("the API's certificate was not read again", reason=str(error))
            return False
        log.info("the API's certificate was read again", file=str(self._files[0]))
        return True

    def _stamps(self) -> Stamp:
        stamps: list[tuple[int, int, int]] = []
        for file in self._files:
            try:
                found = file.stat()
            except OSError:
                stamps.append((0, 0, 0))
            else:
                stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
        return tuple(stamps)


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    for file in (certificate, key):
        if not file.is_file() or not os.access(file, os.R_OK):
            raise Invalid("api_tls_missing", file=str(file))
    if "ENCRYPTED" in key.read_text("utf-8", "replace"):  # OpenSSL would ask for the passphrase at the terminal
        raise Invalid("api_tls_encrypted", file=str(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        code = "api_tls_mismatch" if "MISMATCH" in str(error) else "api_tls_unusable"
        raise Invalid(code, file=str(certificate), key=str(key), what=error.reason or str(error)) from error
    return context
