"""The gRPC server against clients of every kind, on real sockets."""

import random
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
import trio
from google.rpc.error_details_pb2 import BadRequest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from fuota.bridge import in_asyncio
from fuota.generated.chirpstack3 import device_queue_pb2 as pb
from fuota.generated.chirpstack3.device_queue_grpc import DeviceQueueServiceStub
from fuota.rpc.client import connect
from fuota.rpc.connection import MESSAGE_LIMIT
from fuota.rpc.errors import RpcError
from fuota.rpc.server import serve
from tests.process.rpc.calls import PATH, RawPeerAt, assert_alive, enqueue, framed, item


async def test_calls_run_side_by_side(serving: Any) -> None:
    """Each waits for the other, in Trio."""
    arrived: dict[int, trio.Event] = {1: trio.Event(), 2: trio.Event()}

    async def meet(queued: pb.DeviceQueueItem) -> int:
        arrived[queued.f_cnt].set()
        await arrived[3 - queued.f_cnt].wait()
        return queued.f_cnt

    answers: list[int] = []
    async with serving(meet) as served, connect(served.bind) as channel, trio.open_nursery() as nursery:

        async def ask(f_cnt: int) -> None:
            answers.append(await enqueue(channel, f_cnt))

        nursery.start_soon(ask, 1)
        nursery.start_soon(ask, 2)
    assert sorted(answers) == [1, 2]


async def test_official_client(serving: Any) -> None:
    """grpcio: the C core that most clients are made with."""

    def ask(address: str) -> tuple[int, grpc.StatusCode]:
        with grpc.insecure_channel(address) as channel:
            method = channel.unary_unary(
                PATH.decode(),
                request_serializer=pb.EnqueueDeviceQueueItemRequest.SerializeToString,
                response_deserializer=pb.EnqueueDeviceQueueItemResponse.FromString,
            )
            answer = method(item(1), timeout=10).f_cnt
            with pytest.raises(grpc.RpcError) as refused:
                method(item(2, bytes(MESSAGE_LIMIT + 1)), timeout=10)
            assert method(item(3, bytes(MESSAGE_LIMIT - 100)), timeout=10).f_cnt == 4
            return answer, refused.value.code()

    async with serving() as served:
        assert await trio.to_thread.run_sync(ask, str(served.bind)) == (2, grpc.StatusCode.RESOURCE_EXHAUSTED)


class Refusal(Exception):
    pass


def answer(error: Exception) -> GRPCError | None:
    if isinstance(error, Refusal):
        violation = BadRequest.FieldViolation(field="f_cnt", description="too large")
        return GRPCError(
            Status.INVALID_ARGUMENT, f"refused: {error}", [BadRequest(field_violations=[violation])]
        )
    return None


async def raise_alone(queued: pb.DeviceQueueItem) -> int:
    raise Refusal("alone")


async def raise_in_nursery(queued: pb.DeviceQueueItem) -> int:
    async with trio.open_nursery():
        raise Refusal("in a nursery")


async def raise_several(queued: pb.DeviceQueueItem) -> int:
    raise ExceptionGroup("", [Refusal("several"), ExceptionGroup("", [GRPCError(Status.ABORTED)])])


@pytest.mark.parametrize(
    ("body", "detail"),
    [(raise_alone, "alone"), (raise_in_nursery, "in a nursery"), (raise_several, "several")],
)
async def test_own_errors_have_a_status(serving: Any, body: Any, detail: str) -> None:
    async with serving(body, answer=answer) as served, connect(served.bind) as channel:
        with pytest.raises(GRPCError) as raised:
            await in_asyncio(DeviceQueueServiceStub(channel).Enqueue, item(), timeout=10)
        assert (raised.value.status, raised.value.message) == (Status.INVALID_ARGUMENT, f"refused: {detail}")
        assert raised.value.details[0].field_violations[0].field == "f_cnt"


async def test_a_bug_is_logged_and_unknown(serving: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def bug(queued: pb.DeviceQueueItem) -> int:
        raise ExceptionGroup("", [Refusal(), ZeroDivisionError("secret")])

    async with serving(bug, answer=answer) as served, connect(served.bind) as channel:
        with pytest.raises(RpcError) as raised:
            await enqueue(channel)
    assert raised.value.status is Status.UNKNOWN
    assert "secret" not in raised.value.detail
    assert "ZeroDivisionError: secret" in caplog.text


@pytest.mark.parametrize(
    ("message", "status"),
    [
        pytest.param(b"", Status.INVALID_ARGUMENT, id="none"),
        pytest.param(framed(b"\xff\xff"), Status.INVALID_ARGUMENT, id="not this message"),
        pytest.param(b"\0\0\0\0\x09abc", Status.INVALID_ARGUMENT, id="half a message"),
        pytest.param(b"\0\0", Status.INVALID_ARGUMENT, id="half a length"),
        pytest.param(b"\1\0\0\0\0", Status.UNIMPLEMENTED, id="compressed"),
        pytest.param(b"\0\xff\xff\xff\xff", Status.RESOURCE_EXHAUSTED, id="4 GiB announced"),
    ],
)
async def test_bad_messages_are_the_clients_fault(
    serving: Any, raw_peer: RawPeerAt, message: bytes, status: Status
) -> None:
    async with serving() as served, raw_peer(served.bind) as peer:
        trailers = await peer.trailers(await peer.call(PATH, message))
        assert Status(int(trailers[b"grpc-status"])) is status
        good = await peer.trailers(await peer.call(PATH, framed(item().SerializeToString())))
        assert good[b"grpc-status"] == b"0"


async def test_a_connection_survives_unknown_frames(serving: Any, raw_peer: RawPeerAt) -> None:
    unknown = b"\0\0\4" + b"\xfa" + b"\0" + b"\0\0\0\0" + b"what"  # length, type, flags, stream, body
    async with serving() as served, raw_peer(served.bind) as peer:
        await peer.send(unknown)
        trailers = await peer.trailers(await peer.call(PATH, framed(item().SerializeToString())))
        assert trailers[b"grpc-status"] == b"0"


@pytest.mark.parametrize("path", ["/äpi/Ü".encode(), b"/\xff\xfe", b"", b"/", b"/a/b/c/d"])
async def test_an_odd_path_is_not_found(serving: Any, raw_peer: RawPeerAt, path: bytes) -> None:
    async with serving() as served, raw_peer(served.bind) as peer:
        trailers = await peer.trailers(await peer.call(path, framed(b"")))
        assert Status(int(trailers[b"grpc-status"])) is Status.UNIMPLEMENTED
        good = await peer.trailers(await peer.call(PATH, framed(item().SerializeToString())))
        assert good[b"grpc-status"] == b"0"


@pytest.mark.parametrize("octets", [b"a", b"\xff!", "é".encode()])
async def test_metadata_in_octets_that_is_no_base64_is_passed_over(
    serving: Any, raw_peer: RawPeerAt, caplog: pytest.LogCaptureFixture, octets: bytes
) -> None:
    async with serving() as served, raw_peer(served.bind) as peer:
        answer = await peer.trailers(await peer.call(PATH, framed(item().SerializeToString()), x_bin=octets))
        assert answer[b"grpc-status"] == b"0"
    assert not caplog.records


async def test_odd_headers_hurt_nobody_else(serving: Any, raw_peer: RawPeerAt) -> None:
    async with serving() as served, raw_peer(served.bind) as peer:
        await peer.call(PATH, framed(b""), grpc_timeout=b"soon")
        await peer.call(PATH, framed(b""), user_agent="ü".encode())
        good = await peer.trailers(await peer.call(PATH, framed(item().SerializeToString())))
        assert good[b"grpc-status"] == b"0"


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", bytes(1000), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 1000]
)
async def test_garbage_ends_its_connection_only(serving: Any, garbage: bytes) -> None:
    async with serving() as served:
        async with await trio.open_tcp_stream(served.bind.host, served.bind.port) as stream:
            await stream.send_all(garbage)
            await stream.send_eof()
            while await stream.receive_some():
                pass
        await assert_alive(served.bind)


async def test_noise_in_every_place(serving: Any, raw_peer: RawPeerAt) -> None:
    """A good conversation with a few octets changed or lost, many times over."""
    chance = random.Random(201)
    async with serving() as served:
        for _ in range(150):
            async with raw_peer(served.bind) as peer:
                calls = [framed(item().SerializeToString()), framed(b"\xff"), b"\0\0"]
                for stream_id, message in zip((1, 3, 5), calls, strict=True):
                    await peer_call_unsent(peer, stream_id, message)
                peer.h2.reset_stream(3)
                peer.h2.ping(b"12345678")
                noisy = bytearray(peer.h2.data_to_send())
                for _ in range(chance.randrange(1, 6)):
                    noisy[chance.randrange(24, len(noisy))] = chance.randrange(256)
                if chance.random() < 0.3:
                    del noisy[chance.randrange(24, len(noisy)) :]
                await peer.stream.send_all(bytes(noisy))
                await peer.stream.send_eof()
                with trio.move_on_after(0.005):
                    await peer.stream.receive_some()
        await assert_alive(served.bind)


async def peer_call_unsent(peer: Any, stream_id: int, message: bytes) -> None:
    peer.h2.send_headers(
        stream_id,
        [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", PATH),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
        ],
    )
    peer.h2.send_data(stream_id, message, end_stream=True)


async def test_an_address_in_use_is_named(serving: Any) -> None:
    async with serving() as served:
        with pytest.raises(OSError, match=f"can not listen on {served.bind}: Address already in use"):
            await serve([], served.bind)
