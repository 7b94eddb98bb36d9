"""Whatever is answered to the gRPC client, only `RpcError` comes out."""

import random
from typing import Any

import pytest
import trio
from grpclib.const import Status
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived, StreamEnded

from fuota.bridge import open_loop
from fuota.config.value import Bind
from fuota.generated.chirpstack3 import device_queue_pb2 as pb
from fuota.rpc.client import connect
from tests.process.rpc.failures import failure, failure_or_none, listening


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
                    h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            out = h2.data_to_send()
            await stream.send_all(out if goodbye != "push" else out + b"\0\0\4\5\4\0\0\0\1\0\0\0\2")

    async with listening(peer) as channel:
        assert (await failure(channel)).status is Status.UNAVAILABLE
