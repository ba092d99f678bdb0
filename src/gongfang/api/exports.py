"""Events as a file: JSON lines or CSV, made page by page as it is sent, compressed where the client takes that.

CSV is opened in spreadsheets, which run cells that look like a formula: such a cell gets an apostrophe in front (also
the full-width forms, which Chinese editions take for the same). An export that breaks off midway closes the connection
without the end of the body, so that the client knows; so does one whose caller is shut out meanwhile.
"""

import csv
import io
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import orjson
from starlette.responses import Response, StreamingResponse

from gongfang.api.call import KnownCall
from gongfang.api.sse import CONFIRM_S

TYPES = {"jsonl": "application/jsonl", "csv": "text/csv"}
COLUMNS = (
    *("seq", "at", "tag", "outcome", "actor_id", "actor_name", "token_id", "source", "user_agent"),
    *("object_kind", "object_id", "object_name", "tenant_id", "organization_id", "space_id", "app_id"),
    *("before", "after", "data", "request_id"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_BOM = b"\xef\xbb\xbf"


def download(call: KnownCall, pages: AsyncGenerator[list[str]], kind: str, *, bom: bool = False) -> Response:
    """The answer that sends them as a file."""
    pages = allowed(pages, call.confirm, CONFIRM_S)
    chunks = _csv(pages, bom=bom) if kind == "csv" else _lines(pages)
    charset = "; charset=utf-8" if kind == "csv" else ""
    headers = {
        "content-disposition": f'attachment; filename="gongfang-events.{kind}"',
        "cache-control": "no-store",
        "content-type": f"{TYPES[kind]}{charset}",
    }
    if accepts_gzip(call.request.headers.get("accept-encoding", "")):
        headers["content-encoding"] = "gzip"
        chunks = _gzip(chunks)
    return StreamingResponse(chunks, headers=headers)


async def allowed(
    pages: AsyncGenerator[list[str]], confirm: Callable[[], Awaitable[None]], every_s: float
) -> AsyncGenerator[list[str]]:
    """The same pages, while the caller is who may call: a download may take an hour. `confirm` raises when not."""
    confirmed_at = time.monotonic()
    async for page in pages:
        if time.monotonic() - confirmed_at >= every_s:
            await confirm()
            confirmed_at = time.monotonic()
        yield page


def accepts_gzip(header: str) -> bool:
    for part in header.lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


async def _lines(pages: AsyncGenerator[list[str]]) -> AsyncGenerator[bytes]:
    async for page in pages:
        yield ("\n".join(page) + "\n").encode()


async def _csv(pages: AsyncGenerator[list[str]], *, bom: bool) -> AsyncGenerator[bytes]:
    yield (_BOM if bom else b"") + rows([COLUMNS])
    async for page in pages:
        yield rows(_cells(orjson.loads(text)) for text in page)


def rows(cells: Iterable[Iterable[str]]) -> bytes:
    """CSV after RFC 4180."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(cells)
    return text.getvalue().encode()


def _cells(event: dict[str, Any]) -> list[str]:
    return [cell(event.get(column)) for column in COLUMNS]


def cell(value: Any) -> str:
    """What stands in a cell: text that no spreadsheet takes for a formula, JSON for what is nested."""
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return f"'{text}" if text.startswith(_FORMULA) else text


async def _gzip(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    async for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()
