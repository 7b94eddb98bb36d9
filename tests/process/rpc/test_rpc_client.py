"""The gRPC client against servers of every kind, on real sockets: only `RpcError` comes out."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamEnded

from fuota.bridge import open_loop
from fuota.config import Bind
from fuota.generated.chirpstack3 import device_queue_pb2 as pb
from fuota.generated.chirpstack3.device_queue_grpc import DeviceQueueServiceStub
from fuota.rpc.client import call, connect
from fuota.rpc.errors import RpcError
from fuota.rpc.server import serve

Peer = Callable[[trio.SocketStream], Awaitable[None]]


async def enqueue(channel: Channel, *, timeout: float = 10) -> int:  # noqa: ASYNC109
    request = pb.EnqueueDeviceQueueItemRequest(device_queue_item=pb.DeviceQueueItem(f_cnt=1))
    metadata = {"authorization": "Bearer secret"}
    response = await call(
        DeviceQueueServiceStub(channel).Enqueue, request, timeout=timeout, metadata=metadata
    )
    return response.f_cnt


@asynccontextmanager
async def listening(peer: Peer) -> AsyncIterator[Channel]:
    """A channel to a peer that is anything but a gRPC server."""
    async with open_loop(), trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, peer, [listener])
        async with connect(Bind(*listener.socket.getsockname())) as channel:
            yield channel
        nursery.cancel_scope.cancel()


async def failure(channel: Channel, *, timeout: float = 10) -> RpcError:  # noqa: ASYNC109
    with trio.fail_after(20), pytest.raises(RpcError) as raised:
        await enqueue(channel, timeout=timeout)
    return raised.value


async def test_status_and_detail_of_the_server(serving: Any) -> None:
    async def refuse(queued: pb.DeviceQueueItem) -> int:
        raise GRPCError(Status.NOT_FOUND, "object does not exist: ü")

    async with serving(refuse) as served, connect(served.bind) as channel:
        error = await failure(channel)
    assert (error.status, error.detail) == (Status.NOT_FOUND, "object does not exist: ü")
    assert str(error) == "NOT_FOUND: object does not exist: ü"


@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid"])
async def test_nobody_there(host: str) -> None:
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        async with open_loop(), connect(Bind(host, unused.getsockname()[1])) as channel:
            assert (await failure(channel)).status is Status.UNAVAILABLE


async def test_a_frozen_peer_is_left(serving: Any) -> None:
    """The connection through which nothing comes is given up; the next call makes a new one."""
    frozen = False

    async def relay(client: trio.SocketStream) -> None:
        freezes = not relayed
        relayed.append(client)

        async def pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
            try:
                while data := await source.receive_some():
                    if not (freezes and frozen):
                        await sink.send_all(data)
                await sink.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

        server = await trio.open_tcp_stream(served.bind.host, served.bind.port)
        async with server, client, trio.open_nursery() as nursery:
            nursery.start_soon(pump, client, server)
            nursery.start_soon(pump, server, client)

    relayed: list[trio.SocketStream] = []
    async with serving() as served, listening(relay) as channel:
        assert await enqueue(channel) == 2
        frozen = True
        others: list[RpcError] = []

        async def also_waiting() -> None:
            others.append(await failure(channel, timeout=15))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(also_waiting)
            error = await failure(channel, timeout=0.1)
        assert (error.status, error.detail) == (Status.DEADLINE_EXCEEDED, "no answer within 0.1 s")
        assert [other.status for other in others] == [Status.UNAVAILABLE]
        assert await enqueue(channel) == 2
        assert len(relayed) == 2


async def test_a_slow_call_does_not_end_the_others(serving: Any) -> None:
    """The peer talks, if not about this call: its connection stays."""
    began, let_go = trio.Event(), trio.Event()
    connections = 0

    async def body(queued: pb.DeviceQueueItem) -> int:
        if not began.is_set():
            began.set()
            await let_go.wait()
        return 2

    async with serving(body) as served, connect(served.bind) as channel, trio.open_nursery() as nursery:

        async def too_slow() -> None:
            assert (await failure(channel, timeout=2)).status is Status.DEADLINE_EXCEEDED
            let_go.set()

        nursery.start_soon(too_slow)
        await began.wait()
        protocol = channel._protocol
        while not let_go.is_set():
            assert await enqueue(channel) == 2
            connections += channel._protocol is not protocol
        assert await enqueue(channel) == 2
        assert connections == 0


async def test_a_peer_that_never_speaks() -> None:
    async def mute(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with listening(mute) as channel:
        assert (await failure(channel, timeout=0.05)).status is Status.DEADLINE_EXCEEDED


async def test_a_restarted_server_is_found_again(serving: Any) -> None:
    async with serving() as first, connect(first.bind) as channel:
        assert await enqueue(channel) == 2
        first.stop()
        while (error := await failure_or_none(channel)) is None:
            pass
        assert error.status is Status.UNAVAILABLE
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, [first.service], first.bind)
            assert await enqueue(channel) == 2
            nursery.cancel_scope.cancel()


async def failure_or_none(channel: Channel) -> RpcError | None:
    try:
        await enqueue(channel)
    except RpcError as error:
        return error
    return None


async def test_cancelling_cancels_at_the_server(serving: Any) -> None:
    began, cancelled = trio.Event(), trio.Event()

    async def body(queued: pb.DeviceQueueItem) -> int:
        began.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with serving(body) as served, connect(served.bind) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(enqueue, channel)
            await began.wait()
            nursery.cancel_scope.cancel()
        await cancelled.wait()


@pytest.mark.parametrize(
    "garbage",
    [b"", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", bytes(100), b"\xff" * 20000],
    ids=["hangs up", "HTTP/1.1", "zeros", "noise"],
)
async def test_no_http2(garbage: bytes) -> None:
    async def peer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(garbage)
        await stream.aclose()

    async with listening(peer) as channel:
        assert (await failure(channel)).status is Status.UNAVAILABLE


def answered(name: str, head: Any, body: bytes | None, trailers: Any, status: Status) -> Any:
    return pytest.param(head, body, trailers, status, id=name)


OK = [(b":status", b"200"), (b"content-type", b"application/grpc")]
DONE = [(b"grpc-status", b"0")]
MESSAGE = b"\0" + (2).to_bytes(4) + pb.EnqueueDeviceQueueItemResponse(f_cnt=9).SerializeToString()


@pytest.mark.parametrize(
    ("head", "body", "trailers", "status"),
    [
        answered("no message", [*OK, *DONE], None, None, Status.INTERNAL),
        answered("no data", OK, b"", DONE, Status.INTERNAL),
        answered("half a message", OK, MESSAGE[:6], DONE, Status.INTERNAL),
        answered("another message", OK, b"\0\0\0\0\x02\xff\xff", DONE, Status.INTERNAL),
        answered("compressed", OK, b"\1\0\0\0\0", DONE, Status.INTERNAL),
        answered("4 GiB announced", OK, b"\0\xff\xff\xff\xff", DONE, Status.RESOURCE_EXHAUSTED),
        answered("no status", OK, MESSAGE, [], Status.UNKNOWN),
        answered("odd status", OK, MESSAGE, [(b"grpc-status", b"x")], Status.UNKNOWN),
        answered("headers only", OK, None, None, Status.UNKNOWN),
        answered("odd metadata", [*OK, (b"x-bin", b"\xff")], MESSAGE, DONE, Status.INTERNAL),
        answered(
            "not ASCII", [*OK, (b"x", b"\xff")], MESSAGE, [(b"grpc-status", b"7")], Status.PERMISSION_DENIED
        ),
        answered("not gRPC", [(b":status", b"200")], b"<html>", [], Status.UNKNOWN),
        answered("a proxy without a server", [(b":status", b"503")], b"<html>", None, Status.UNAVAILABLE),
        answered("a proxy without a route", [(b":status", b"404")], b"<html>", None, Status.UNAVAILABLE),
        answered("a proxy that refuses", [(b":status", b"401")], b"<html>", None, Status.UNAUTHENTICATED),
        answered("no :status", [(b"x", b"y")], None, None, Status.INTERNAL),
    ],
)
async def test_odd_answers(head: Any, body: bytes | None, trailers: Any, status: Status) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        h2 = H2Connection(H2Configuration(client_side=False, validate_outbound_headers=False))
        h2.initiate_connection()
        while data := await stream.receive_some():
            for event in h2.receive_data(data):
                if isinstance(event, StreamEnded):
                    h2.send_headers(event.stream_id, head, end_stream=body is None)
                    if body is not None:
                        h2.send_data(event.stream_id, body, end_stream=not trailers)
                    if trailers:
                        h2.send_headers(event.stream_id, trailers, end_stream=True)
            await stream.send_all(h2.data_to_send())

    async with listening(answer) as channel:
        error = await failure(channel, timeout=1)
        assert error.status is status
        assert "secret" not in str(error)


async def test_noise_in_every_place_of_an_answer() -> None:
    """A good answer with a few octets changed or lost, many times over: an answer or an `RpcError`."""
    chance = random.Random(201)

    async def answer(stream: trio.SocketStream) -> None:
        h2 = H2Connection(H2Configuration(client_side=False))
        h2.initiate_connection()
        h2.receive_data(await stream.receive_some())
        while 1 not in h2.streams:
            h2.receive_data(await stream.receive_some())
        h2.send_headers(1, OK)
        h2.send_data(1, MESSAGE)
        h2.ping(b"12345678")
        h2.send_headers(1, DONE, end_stream=True)
        noisy = bytearray(h2.data_to_send())
        for _ in range(chance.randrange(1, 6)):
            noisy[chance.randrange(len(noisy))] = chance.randrange(256)
        try:
            await stream.send_all(noisy[: chance.randrange(len(noisy) * 2)])
            await stream.send_eof()
            await stream.receive_some()
        except trio.BrokenResourceError:
            pass
        await stream.aclose()

    outcomes = set()
    async with open_loop(), trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, [listener])
        for _ in range(300):
            async with connect(Bind(*listener.socket.getsockname())) as channel:
                error = await failure_or_none(channel)
                outcomes.add(error and error.status)
        nursery.cancel_scope.cancel()
    assert {None, Status.UNAVAILABLE} < outcomes
    assert Status.DEADLINE_EXCEEDED not in outcomes


@pytest.mark.parametrize("goodbye", ["reset", "goaway", "push"])
async def test_the_server_breaks_off(goodbye: str) -> None:
    async def peer(stream: trio.SocketStream) -> None:
        h2 = H2Connection(H2Configuration(client_side=False))
        h2.initiate_connection()
        while data := await stream.receive_some():
            for event in h2.receive_data(data):
                if isinstance(event, RequestReceived) and goodbye == "reset":
                    h2.reset_stream(event.stream_id)
                elif isinstance(event, RequestReceived) and goodbye == "goaway":
                    h2.close_connection()
            out = h2.data_to_send()
            await stream.send_all(out if goodbye != "push" else out + b"\0\0\4\5\4\0\0\0\1\0\0\0\2")

    async with listening(peer) as channel:
        assert (await failure(channel)).status is Status.UNAVAILABLE


async def test_a_large_answer(serving: Any) -> None:
    """3 MiB: more than HTTP/2 has in flight at once."""
    async with serving() as served, connect(served.bind) as channel:
        request = pb.ListDeviceQueueItemsRequest(dev_eui="0102030405060708")
        response = await call(DeviceQueueServiceStub(channel).List, request, timeout=10)
        assert len(response.device_queue_items) == 3
        assert len(response.device_queue_items[2].data) == 2**20


async def test_a_token_that_can_not_be_sent_is_not_shown() -> None:
    async with open_loop(), connect(Bind("127.0.0.1", 1)) as channel:
        with pytest.raises(RpcError) as raised:
            await call(
                DeviceQueueServiceStub(channel).Flush,
                pb.FlushDeviceQueueRequest(),
                timeout=1,
                metadata={"authorization": "Bearer secret\n"},
            )
        assert "secret" not in str(raised.getrepr(chain=True, style="native"))
