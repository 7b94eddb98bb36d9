"""What one client may take of the gRPC server: places, memory, time."""

import gc
from collections.abc import Awaitable
from typing import Any

import pytest
import trio
from grpclib.const import Status
from h2.events import DataReceived, PingAckReceived
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, RstStreamFrame, WindowUpdateFrame

from fuota.generated.chirpstack3 import device_queue_pb2 as pb
from fuota.generated.chirpstack3.device_queue_grpc import DeviceQueueServiceStub
from fuota.rpc import methods as rpc_methods
from fuota.rpc import served as rpc_served
from fuota.rpc import server as rpc_server
from fuota.rpc.client import call as call_method
from fuota.rpc.client import connect
from fuota.rpc.connection import REMEMBERED
from fuota.rpc.served import PIECE, WINDOW
from tests.process.rpc.calls import LIST, PATH, RawPeerAt

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
PING = b"\0\0\x08\x06\0\0\0\0\0" + b"12345678"


def framed(data: bytes = b"") -> bytes:
    item = pb.EnqueueDeviceQueueItemRequest(device_queue_item=pb.DeviceQueueItem(f_cnt=1, data=data))
    message = item.SerializeToString()
    return b"\0" + len(message).to_bytes(4) + message


async def status(trailers: Awaitable[dict[bytes, bytes]]) -> Status:
    return Status(int((await trailers)[b"grpc-status"]))


async def know_the_windows(peer: Any) -> None:
    """Read the server's settings, without which no more than 64 KiB may be sent."""
    await peer.send()
    while peer.h2.outbound_flow_control_window < WINDOW:
        await peer.events()


async def test_a_stranger_makes_room_and_who_is_served_does_not(
    serving: Any, raw_peer: RawPeerAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc_server, "CONNECTIONS", 2)
    began, let_go = trio.Event(), trio.Event()

    async def wait(item: pb.DeviceQueueItem) -> int:
        began.set()
        await let_go.wait()
        return 2

    async with serving(wait) as served, raw_peer(served.bind) as busy, raw_peer(served.bind) as stranger:
        waiting = await busy.call(PATH, framed())
        await began.wait()
        await stranger.send()
        async with raw_peer(served.bind) as third:
            also = await third.call(PATH, framed())
            while await stranger.events():
                pass
            async with raw_peer(served.bind) as fourth:
                await fourth.send()
                while await fourth.events():
                    pass
            let_go.set()
            assert await status(third.trailers(also)) is Status.OK
        assert await status(busy.trailers(waiting)) is Status.OK


class Never:
    """A body that does not end, and tells of its beginning."""

    def __init__(self) -> None:
        self.began = trio.Event()

    async def __call__(self, item: pb.DeviceQueueItem) -> int:
        self.began.set()
        await trio.sleep_forever()


async def begins_to_take(peer: Any) -> int:
    """Ask for 3 MiB, and take what comes without being asked for more, which is 64 KiB."""
    call: int = await peer.call(LIST, framed())
    taken = 0
    while taken < 65535:
        taken += sum(len(event.data) for event in await peer.events() if isinstance(event, DataReceived))
    return call


async def test_who_takes_its_answer_slowly_keeps_its_place(
    serving: Any, raw_peer: RawPeerAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc_server, "CONNECTIONS", 2)
    body = Never()
    async with serving(body) as served, raw_peer(served.bind) as busy, raw_peer(served.bind) as slow:
        await busy.call(PATH, framed())
        await body.began.wait()
        call = await begins_to_take(slow)
        async with raw_peer(served.bind) as third:
            await third.send()
            while await third.events():
                pass
        slow.h2.increment_flow_control_window(1 << 24)
        slow.h2.increment_flow_control_window(1 << 24, call)
        await slow.send()
        assert await status(slow.trailers(call)) is Status.OK


async def test_who_takes_nothing_of_its_answer_makes_room(
    serving: Any, raw_peer: RawPeerAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc_server, "CONNECTIONS", 2)
    monkeypatch.setattr(rpc_served, "DAWDLING", 0.05)
    body = Never()
    async with serving(body) as served, raw_peer(served.bind) as busy, raw_peer(served.bind) as slow:
        await busy.call(PATH, framed())
        await body.began.wait()
        await begins_to_take(slow)
        let_in = False
        while not let_in:
            async with raw_peer(served.bind) as third:
                third.h2.ping(b"12345678")
                await third.send()
                while not let_in and (events := await third.events()):
                    let_in = any(isinstance(event, PingAckReceived) for event in events)
        while await slow.events():
            pass


async def test_a_peer_that_reads_nothing_is_not_answered_into_memory(serving: Any) -> None:
    """Its pings are left where they are, and so it can send no more of them; others are served."""
    async with (
        serving() as served,
        connect(served.bind) as channel,
        await trio.open_tcp_stream(served.bind.host, served.bind.port) as flood,
    ):
        await flood.send_all(PREFACE)
        sent = 0
        with trio.move_on_after(0.5) as stuck:
            while sent < 1 << 28:
                await flood.send_all(PING * 4096)
                sent += len(PING * 4096)
        assert stuck.cancelled_caught, f"it has taken {sent} octets of pings"
        item = pb.EnqueueDeviceQueueItemRequest(device_queue_item=pb.DeviceQueueItem(f_cnt=1))
        answer = await call_method(DeviceQueueServiceStub(channel).Enqueue, item, timeout=5)
        assert answer.f_cnt == 2


async def test_pieces_are_put_together(
    serving: Any, raw_peer: RawPeerAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc_served, "PIECE", 7)
    async with serving() as served, raw_peer(served.bind) as peer:
        for size in (0, 1, 500, 5_000):
            assert await status(peer.trailers(await peer.call(PATH, framed(bytes(size))))) is Status.OK


async def test_the_messages_of_all_have_a_bound_and_who_has_the_most_goes(
    serving: Any, raw_peer: RawPeerAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc_server, "MESSAGES", 10 * PIECE)
    async with (
        serving() as served,
        raw_peer(served.bind) as slow,
        raw_peer(served.bind) as peer,
        raw_peer(served.bind) as greedy,
    ):
        for each in (slow, peer, greedy):
            await know_the_windows(each)
        await slow.call(PATH, framed(bytes(12 * PIECE))[: 7 * PIECE], end=False)
        slow.h2.ping(b"12345678")
        await slow.send()
        while not any(isinstance(event, PingAckReceived) for event in await slow.events()):
            pass
        for size in (0, 4 * PIECE):
            call = await peer.call(PATH, framed(bytes(size)))
            assert await status(peer.trailers(call)) is Status.OK
        while await slow.events():
            pass
        call = await greedy.call(PATH, framed(bytes(12 * PIECE)))
        assert await status(greedy.trailers(call)) is Status.RESOURCE_EXHAUSTED


async def test_calls_that_are_reset_at_once_leave_nothing_behind(serving: Any, raw_peer: RawPeerAt) -> None:
    async with serving() as served, raw_peer(served.bind) as peer:
        for _ in range(5):
            for _ in range(100):
                await peer.call(PATH, None, send=False)
                peer.h2.reset_stream(peer.h2.get_next_available_stream_id() - 2)
            await peer.send()
        assert await status(peer.trailers(await peer.call(PATH, framed()))) is Status.OK
        all_ever = [each for each in gc.get_objects() if isinstance(each, rpc_served.Served)]
        (connection,) = [each for each in all_ever if not each.closed.is_set()]
        assert connection.processor.streams == {}


async def test_few_of_the_calls_that_have_ended_are_remembered(serving: Any, raw_peer: RawPeerAt) -> None:
    """And what comes late for one that is forgotten does not end the connection."""
    async with serving() as served, raw_peer(served.bind) as peer:
        for _ in range(REMEMBERED // 100 + 1):
            for _ in range(100):
                peer.h2.reset_stream(await peer.call(PATH, None, send=False))
            await peer.send()
        first = 1
        for late in (
            WindowUpdateFrame(first, window_increment=9),
            DataFrame(first, b"late"),
            RstStreamFrame(first),
        ):
            await peer.send(late.serialize())
        peer.h2.ping(b"12345678")
        await peer.send()
        answered = False
        while not answered:
            data = await peer.stream.receive_some()
            assert data
            answered = any(isinstance(event, PingAckReceived) for event in peer.h2.receive_data(data))
        assert await status(peer.trailers(await peer.call(PATH, framed()))) is Status.OK
        all_ever = [each for each in gc.get_objects() if isinstance(each, rpc_served.Served)]
        (connection,) = [each for each in all_ever if not each.closed.is_set()]
        ended = connection.connection._connection._closed_streams
        assert first not in ended
        assert len(ended) == REMEMBERED


async def test_a_message_that_does_not_come_is_not_waited_for(
    serving: Any, raw_peer: RawPeerAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc_methods, "ASKING", 0.05)
    async with serving() as served, raw_peer(served.bind) as peer:
        for message in (None, framed()[:3], framed()[:-1]):
            trailers = await peer.trailers(await peer.call(PATH, message, end=False))
            assert Status(int(trailers[b"grpc-status"])) is Status.DEADLINE_EXCEEDED
        assert await status(peer.trailers(await peer.call(PATH, framed()))) is Status.OK


async def test_an_answer_that_is_not_taken_is_given_up(
    serving: Any, raw_peer: RawPeerAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc_methods, "TAKING", 0.05)
    async with serving() as served, raw_peer(served.bind) as peer:
        peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        trailers = await peer.trailers(await peer.call(LIST, b"\0\0\0\0\0"))
        assert Status(int(trailers[b"grpc-status"])) is Status.DEADLINE_EXCEEDED
