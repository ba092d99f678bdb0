"""The server that Envoy asks for its configuration: aggregated delta discovery over gRPC on a Unix socket.

It carries; what to say is `delta.Session`'s business. One Envoy is served: a new stream takes the place of the one
before, and since versions are hashes of content, a stream that comes back is sent only what has changed meanwhile.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from gongfang.edge.envoy.delta import Request, Response, Session, Wanted
from gongfang.edge.messages import DeltaDiscoveryRequest, DeltaDiscoveryResponse, Message
from gongfang.edge.resources import Key, Kind

_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),  # on a reconnect Envoy names everything it has in one message
    ("grpc.max_send_message_length", -1),
]
_KINDS = {kind.value: kind for kind in Kind}


class AdsServer:
    """`heard(keys)` is called when Envoy's word about these keys is new, and with no keys when a stream comes or goes.

    The table `wanted` belongs to the owner, who says `changed` after changing it. Until `begin` nothing is sent: Envoy
    must not take a table that is still being filled for all there is.
    """

    def __init__(self, wanted: Wanted, heard: Callable[[Sequence[Key]], None]) -> None:
        self._wanted = wanted
        self._heard = heard
        self._server: Any = None
        self._stream: _Stream | None = None
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """The table is complete."""
        self._begun.set()

    async def open(self, socket: Path) -> None:
        """Listens. The socket may be connected to by any user: the folder that it lies in guards it."""
        socket.unlink(missing_ok=True)
        server: Any = grpc.aio.server(options=_OPTIONS)
        handler = grpc.stream_stream_rpc_method_handler(
            self._serve,
            request_deserializer=DeltaDiscoveryRequest.FromString,
            response_serializer=DeltaDiscoveryResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, {"DeltaAggregatedResources": handler}),)
        )
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        socket.chmod(0o666)
        self._server = server

    async def close(self) -> None:
        if self._server is not None:
            await self._server.stop(grace=None)
            self._server = None

    @property
    def session(self) -> Session | None:
        """Of the Envoy that is connected."""
        return self._stream.session if self._stream is not None else None

    def changed(self, keys: Iterable[Key]) -> None:
        if self._stream is not None:
            self._stream.session.changed(keys)
            self._stream.wake.set()

    def retry(self, key: Key) -> None:
        if self._stream is not None:
            self._stream.session.retry(key)
            self._stream.wake.set()

    async def _serve(self, requests: AsyncIterator[Message], context: Any) -> None:
        await self._begun.wait()
        if self._stream is not None:
            self._stream.ended.set()
        stream = self._stream = _Stream(self._wanted)
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._read(stream, requests)),
            asyncio.create_task(self._write(stream, context)),
            asyncio.create_task(stream.ended.wait()),
        ]
        try:
            self._heard(())
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._stream is stream:
                self._stream = None
                self._heard(())

    async def _read(self, stream: "_Stream", requests: AsyncIterator[Message]) -> None:
        async for message in requests:
            request = _request(message)
            if request is not None:
                touched = stream.session.receive(request)
                stream.wake.set()
                self._heard(touched)

    async def _write(self, stream: "_Stream", context: Any) -> None:
        while True:
            await stream.wake.wait()
            stream.wake.clear()
            for response in stream.session.due():
                await context.write(_message(response))


class _Stream:
    def __init__(self, wanted: Wanted) -> None:
        self.session = Session(wanted)
        self.wake = asyncio.Event()
        self.ended = asyncio.Event()


def _request(message: Message) -> Request | None:
    """None for a kind that is not served."""
    kind = _KINDS.get(message.type_url)
    if kind is None:
        return None
    return Request(
        kind,
        nonce=message.response_nonce,
        error=message.error_detail.message if message.HasField("error_detail") else None,
        subscribe=tuple(message.resource_names_subscribe),
        unsubscribe=tuple(message.resource_names_unsubscribe),
        initial=dict(message.initial_resource_versions),
    )


def _message(response: Response) -> Message:
    message = DeltaDiscoveryResponse(type_url=response.kind.value, nonce=response.nonce)
    for resource in response.resources:
        entry = message.resources.add()
        entry.name, entry.version = resource.key.name, resource.version
        entry.resource.type_url, entry.resource.value = response.kind.value, resource.body
    message.removed_resources.extend(response.removed)
    return message
