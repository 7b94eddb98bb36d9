"""A small gRPC service on a loopback socket, and the peers that call it."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import attrs
import pytest
import trio
from grpclib.exceptions import GRPCError
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event

from fuota.bridge import open_loop
from fuota.config.value import Bind
from fuota.generated.chirpstack3 import device_queue_pb2 as pb
from fuota.generated.chirpstack3.device_queue_grpc import DeviceQueueServiceBase
from fuota.rpc.methods import unary
from fuota.rpc.server import serve
from tests.process.certificates import Authority

LOOPBACK = Bind("127.0.0.1", 0)
Body = Callable[[pb.DeviceQueueItem], Awaitable[int]]


async def add_one(item: pb.DeviceQueueItem) -> int:
    await trio.lowlevel.checkpoint()
    return item.f_cnt + 1


class Queue(DeviceQueueServiceBase):
    """`Enqueue` answers with the frame counter that `body` makes of the item."""

    def __init__(self, body: Body) -> None:
        self._body = body

    @unary
    async def Enqueue(self, request: pb.EnqueueDeviceQueueItemRequest) -> pb.EnqueueDeviceQueueItemResponse:
        return pb.EnqueueDeviceQueueItemResponse(f_cnt=await self._body(request.device_queue_item))

    @unary
    async def Flush(self, request: pb.FlushDeviceQueueRequest) -> Any:
        raise NotImplementedError

    @unary
    async def List(self, request: pb.ListDeviceQueueItemsRequest) -> pb.ListDeviceQueueItemsResponse:
        return pb.ListDeviceQueueItemsResponse(
            device_queue_items=[pb.DeviceQueueItem(dev_eui=request.dev_eui, data=bytes(2**20))] * 3
        )


@attrs.frozen
class Served:
    service: Any
    bind: Bind
    stop: Callable[[], None]
    """Begin to stop the server."""
    ended: trio.Event
    """Is set when it has."""


class Serving(Protocol):
    def __call__(
        self,
        body: Body = ...,
        *,
        bind: Bind = ...,
        tls: ssl.SSLContext | None = ...,
        answer: Callable[[Exception], GRPCError | None] = ...,
        services: list[Any] | None = ...,
    ) -> AbstractAsyncContextManager[Served]: ...


@pytest.fixture
def serving() -> Serving:
    """Inside it a loop is open and the service is up; the server is stopped at the end."""
    return _serving


@asynccontextmanager
async def _serving(
    body: Body = add_one,
    *,
    bind: Bind = LOOPBACK,
    tls: ssl.SSLContext | None = None,
    answer: Callable[[Exception], GRPCError | None] = lambda error: None,
    services: list[Any] | None = None,
) -> AsyncIterator[Served]:
    services = services or [Queue(body)]
    stop, ended = trio.CancelScope(), trio.Event()

    async def run(task_status: trio.TaskStatus[str]) -> None:
        with stop:
            await serve(services, bind, tls=tls, answer=answer, task_status=task_status)
        ended.set()

    with trio.fail_after(20):
        async with open_loop(), trio.open_nursery() as nursery:
            address = await nursery.start(run)
            yield Served(services[0], Bind.parse(address), stop.cancel, ended)
            stop.cancel()


class RawPeer:
    """An HTTP/2 client that says what it likes, frame by frame."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.h2 = H2Connection(
            H2Configuration(
                client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False
            )
        )
        self.h2.initiate_connection()

    async def send(self, raw: bytes = b"") -> None:
        await self.stream.send_all(self.h2.data_to_send() + raw)

    async def call(
        self, path: bytes, body: bytes | None, *, end: bool = True, send: bool = True, **extra: bytes
    ) -> int:
        """Begin a call; a `body` of None leaves it open, without a message. `send`: now, not later."""
        headers = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path),
            (b":authority", b"x"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            *((name.replace("_", "-").encode(), value) for name, value in extra.items()),
        ]
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, headers)
        if body is not None:
            for at in range(0, len(body), 16384):
                self.h2.send_data(stream_id, body[at : at + 16384])
            if end:
                self.h2.end_stream(stream_id)
        if send:
            await self.send()
        return stream_id

    async def events(self) -> list[Event]:
        """What comes next; empty when the peer has hung up."""
        try:
            data = await self.stream.receive_some(65536)
        except trio.BrokenResourceError:
            return []
        return self.h2.receive_data(data) if data else []

    async def trailers(self, stream_id: int) -> dict[bytes, bytes]:
        """The headers and trailers of a call, when it has ended."""
        found: dict[bytes, bytes] = {}
        while events := await self.events():
            await self.send()
            for event in events:
                if getattr(event, "stream_id", None) == stream_id:
                    found |= dict(getattr(event, "headers", None) or ())
            if b"grpc-status" in found:
                return found
        raise AssertionError("the server has hung up")


@pytest.fixture
def raw_peer() -> Callable[[Bind], AbstractAsyncContextManager[RawPeer]]:
    @asynccontextmanager
    async def connect(bind: Bind) -> AsyncIterator[RawPeer]:
        async with await trio.open_tcp_stream(bind.host, bind.port) as stream:
            yield RawPeer(stream)

    return connect


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")
