"""Uploads as they come: a raw body, or the part `file` of a multipart body, chunk by chunk, never held whole."""

import re
from collections.abc import AsyncGenerator
from email.message import Message

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from gongfang.api.validation import Malformed
from gongfang.blobs.interface import Blob, BlobStore
from gongfang.domain.errors import Invalid, TooLarge, invalid_field

_MULTIPART_EXTRA = 1 << 20  # bytes of a multipart body beside the file: boundaries, headers, other small parts
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0080-\u009f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean_filename(text: str) -> str:
    """The last part of a path, without control characters and marks that turn the direction of writing, 255 bytes of
    UTF-8 at most with its ending kept. Raises `Invalid` where nothing is left."""
    name = _CONTROL.sub("", text.replace("\\", "/").rsplit("/", 1)[-1]).strip()
    if name in ("", ".", ".."):
        raise invalid_field("filename", "filename_needed")
    if len(name.encode()) <= 255:
        return name
    ending = "".join(re.findall(r"(?:\.[A-Za-z0-9]{1,8}){1,2}$", name)[:1])
    stem = name.encode()[: 255 - len(ending)].decode(errors="ignore")
    return stem + ending


async def receive(request: Request, blobs: BlobStore, filename: str | None, limit: int) -> tuple[str, Blob]:
    """Stores the body; its file name and what was stored. Nothing is kept of a body that breaks off.

    Raises `Malformed`, `Invalid`, `TooLarge`, `ClientDisconnect`, and what the store raises.
    """
    content_type, options = parse_options_header(request.headers.get("content-type"))
    announced = _content_length(request)
    if content_type == b"multipart/form-data":
        if announced is not None and announced > limit + _MULTIPART_EXTRA:
            raise TooLarge("upload_too_large", size=announced, limit=limit)
        part = FilePart(options.get(b"boundary", b""))
        blob = await blobs.put_stream(part.chunks(request, limit), limit=limit)
        return clean_filename(filename or part.filename), blob
    name = clean_filename(filename or _disposition_filename(request))
    return name, await blobs.put_stream(request.stream(), limit=limit, expected=announced)


def _content_length(request: Request) -> int | None:
    text = request.headers.get("content-length", "")
    return int(text) if text.isdecimal() else None


def _disposition_filename(request: Request) -> str:
    return _filename_of(request.headers.get("content-disposition", ""))


def _filename_of(disposition: str) -> str:
    """`filename*` (RFC 5987) before `filename`; empty where there is none."""
    message = Message()
    message["content-disposition"] = disposition
    return message.get_filename("") or ""


class FilePart:
    """The part `file` of one multipart body. `filename` is known once the part has begun."""

    def __init__(self, boundary: bytes) -> None:
        if not boundary:
            raise Malformed("multipart_broken", detail="no boundary")
        self.filename = ""
        self._found = 0
        self._inside = False
        self._ended = False
        self._field = b""
        self._value = b""
        self._headers: dict[str, str] = {}
        self._ready: list[bytes] = []
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise Malformed("multipart_broken", detail=str(error)[:200]) from error

    async def chunks(self, request: Request, limit: int) -> AsyncGenerator[bytes]:
        """The file's bytes. Raises `Malformed("multipart_broken")` where the body ends before its last boundary,
        `Invalid("multipart_no_file")`, `Invalid("multipart_two_files")`."""
        read = 0
        async for data in request.stream():
            read += len(data)
            if read > limit + _MULTIPART_EXTRA:
                raise TooLarge("upload_too_large", size=read, limit=limit)
            try:
                self._parser.write(data)
            except FormParserError as error:
                raise Malformed("multipart_broken", detail=str(error)[:200]) from error
            ready, self._ready = self._ready, []
            for chunk in ready:
                yield chunk
        if not self._ended:
            raise Malformed("multipart_broken", detail="it ends before its last boundary")
        if not self._found:
            raise Invalid("multipart_no_file")

    def _on_part_begin(self) -> None:
        self._headers = {}

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._field.decode("latin-1").lower()] = self._value.decode("utf-8", "replace")
        self._field = self._value = b""

    def _on_headers_finished(self) -> None:
        disposition = self._headers.get("content-disposition", "")
        _, options = parse_options_header(disposition.encode())
        self._inside = options.get(b"name") == b"file"
        if self._inside:
            self._found += 1
            if self._found > 1:
                raise Invalid("multipart_two_files")
            self.filename = _filename_of(disposition) or options.get(b"filename", b"").decode("utf-8", "replace")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self._ready.append(data[start:end])

    def _on_part_end(self) -> None:
        self._inside = False

    def _on_end(self) -> None:
        self._ended = True
