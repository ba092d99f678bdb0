"""The HTTP server's protocol with a limit on a request's head. The server itself has none: it would gather headers
for as long as somebody sends them."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT = 64 << 10
"""Bytes of the request line and headers of a request that is still incomplete; what comes whole in one piece of the
transport's (256 KiB) passes."""

_ANSWER = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 28\r\nconnection: close\r\n\r\nThe headers are too large.\r\n"
)


class BoundedHttp(HttpToolsProtocol):
    """Answers 431 and closes where the head of a request does not end."""

    _in_head = False
    _head = 0

    def on_message_begin(self) -> None:
        self._in_head, self._head = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._in_head:
            return
        self._head += len(data)
        if self._head > HEAD_LIMIT and not self.transport.is_closing():
            self.transport.write(_ANSWER)
            self.transport.close()
