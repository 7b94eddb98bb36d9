"""Calls, connections and the server itself come to their end, whoever is at the other end."""

from contextlib import suppress
from typing import Any

import pytest
import trio
import trio_asyncio  # type: ignore[import-untyped]
from grpclib.const import Status
from grpclib.server import Server
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from fuota.config.value import Bind
from fuota.generated.chirpstack3 import device_queue_pb2 as pb
from fuota.rpc import server as rpc_server
from fuota.rpc.client import connect
from fuota.rpc.connection import Connection, LimitedStream
from tests.process.rpc.calls import LIST, PATH, RawPeerAt, assert_alive, enqueue, framed, item, uncollected

EVERY = Server.__gc_interval__
"""Connections until grpclib looks which have ended."""


class Waiting:
    """A body that waits until it is let go, and tells of its beginning and of being cancelled."""

    def __init__(self) -> None:
        self.began = trio.Event()
        self.cancelled = trio.Event()
        self.let_go = trio.Event()

    async def __call__(self, queued: pb.DeviceQueueItem) -> int:
        self.began.set()
        try:
            await self.let_go.wait()
        except trio.Cancelled:
            self.cancelled.set()
            raise
        return queued.f_cnt + 1


async def test_a_reset_cancels_the_body(serving: Any, raw_peer: RawPeerAt) -> None:
    body = Waiting()
    async with serving(body) as served, raw_peer(served.bind) as peer:
        stream_id = await peer.call(PATH, framed(item().SerializeToString()))
        await body.began.wait()
        peer.h2.reset_stream(stream_id, ErrorCodes.CANCEL)
        reset = peer.h2.data_to_send()
        await peer.send(reset + reset)
        await body.cancelled.wait()
        body.let_go.set()
        await assert_alive(served.bind)


async def test_a_lost_connection_cancels_the_body(serving: Any, raw_peer: RawPeerAt) -> None:
    body = Waiting()
    async with serving(body) as served:
        async with raw_peer(served.bind) as peer:
            await peer.call(PATH, framed(item().SerializeToString()))
            await body.began.wait()
        await body.cancelled.wait()


async def test_the_clients_deadline_cancels_the_body(serving: Any, raw_peer: RawPeerAt) -> None:
    body = Waiting()
    async with serving(body) as served, raw_peer(served.bind) as peer:
        stream_id = await peer.call(PATH, framed(item().SerializeToString()), grpc_timeout=b"50m")
        trailers = await peer.trailers(stream_id)
        assert Status(int(trailers[b"grpc-status"])) is Status.DEADLINE_EXCEEDED
        assert body.cancelled.is_set()


async def test_a_deadline_that_is_far_off_leaves_nothing_behind(serving: Any, raw_peer: RawPeerAt) -> None:
    """A timer would stay in memory until then, though the call has ended."""
    async with serving() as served, raw_peer(served.bind) as peer:
        loop = trio_asyncio.current_loop.get()
        assert loop is not None
        for deadline in (b"99999999H", b"61M", b"3601S", b"99999999m"):
            stream_id = await peer.call(PATH, framed(item().SerializeToString()), grpc_timeout=deadline)
            assert (await peer.trailers(stream_id))[b"grpc-status"] == b"0"
            assert max(timer.when() for timer in loop._timers) - loop.time() < 100


async def test_a_body_that_outlives_its_deadline_is_no_news(
    serving: Any, raw_peer: RawPeerAt, caplog: pytest.LogCaptureFixture
) -> None:
    async def goes_on(queued: pb.DeviceQueueItem) -> int:
        with suppress(trio.Cancelled):
            await trio.sleep_forever()
        return 2

    async with serving(goes_on) as served, raw_peer(served.bind) as peer:
        stream_id = await peer.call(PATH, framed(item().SerializeToString()), grpc_timeout=b"50m")
        trailers = await peer.trailers(stream_id)
        assert Status(int(trailers[b"grpc-status"])) is Status.DEADLINE_EXCEEDED
    assert not caplog.records


async def test_a_body_that_fails_over_its_deadline_is_logged(
    serving: Any, raw_peer: RawPeerAt, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(queued: pb.DeviceQueueItem) -> int:
        with suppress(trio.Cancelled):
            await trio.sleep_forever()
        raise ZeroDivisionError("a bug")

    async with serving(fails) as served, raw_peer(served.bind) as peer:
        stream_id = await peer.call(PATH, framed(item().SerializeToString()), grpc_timeout=b"50m")
        trailers = await peer.trailers(stream_id)
        assert Status(int(trailers[b"grpc-status"])) is Status.DEADLINE_EXCEEDED
    assert "ZeroDivisionError: a bug" in caplog.text


async def test_stopping_lets_calls_finish(serving: Any, raw_peer: RawPeerAt) -> None:
    body = Waiting()
    answers: list[int] = []
    async with (
        serving(body) as served,
        connect(served.bind) as channel,
        raw_peer(served.bind) as late,
        trio.open_nursery() as nursery,
    ):

        async def ask() -> None:
            answers.append(await enqueue(channel, 1))

        nursery.start_soon(ask)
        await body.began.wait()
        await late.send()
        await late.events()
        served.stop()
        while not await refused(served.bind):
            await trio.lowlevel.checkpoint()
        trailers = await late.trailers(await late.call(PATH, framed(item().SerializeToString())))
        assert Status(int(trailers[b"grpc-status"])) is Status.UNAVAILABLE
        body.let_go.set()
    assert answers == [2]


async def refused(bind: Bind) -> bool:
    try:
        stream = await trio.open_tcp_stream(bind.host, bind.port)
    except OSError:
        return True
    await stream.aclose()
    return False


@pytest.fixture
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server does not wait for long when it stops."""
    monkeypatch.setattr(rpc_server, "GRACE", 0.05)
    monkeypatch.setattr(rpc_server, "HANGING_UP", 0.05)


async def test_stopping_does_not_wait_for_ever(serving: Any, raw_peer: RawPeerAt, in_haste: None) -> None:
    """Neither for a body that does not end, nor for a client that does not hang up."""
    body = Waiting()
    async with serving(body) as served, raw_peer(served.bind) as peer:
        stream_id = await peer.call(PATH, framed(item().SerializeToString()))
        await body.began.wait()
        served.stop()
        trailers = await peer.trailers(stream_id)
        assert Status(int(trailers[b"grpc-status"])) is Status.UNAVAILABLE
        assert trailers[b"grpc-message"] == b"the server is stopping"
        assert body.cancelled.is_set()
        while await peer.events():
            pass


async def test_stopping_does_not_wait_for_a_peer_that_reads_nothing(
    serving: Any, raw_peer: RawPeerAt, in_haste: None
) -> None:
    body = Waiting()
    async with serving(body) as served, raw_peer(served.bind) as peer:
        await peer.call(PATH, framed(item().SerializeToString()))
        await body.began.wait()
        peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**30})
        peer.h2.increment_flow_control_window(2**30)
        for _ in range(8):  # 24 MiB, which is more than the kernel takes
            await peer.call(LIST, framed(b""))
        await trio.testing.wait_all_tasks_blocked(0.2)
        served.stop()
        with trio.fail_after(5):
            await body.cancelled.wait()
            while not await refused(served.bind):
                await trio.lowlevel.checkpoint()
            await served.ended.wait()


@pytest.mark.parametrize("asks", [False, True])
async def test_nothing_is_left_of_a_connection(serving: Any, raw_peer: RawPeerAt, asks: bool) -> None:
    """Not even for the garbage collector, which does not look at everything for hours; but grpclib lets go of
    calls only with every tenth connection."""
    async with serving() as served:
        with uncollected() as there_is:
            for _ in range(2 * EVERY):
                async with raw_peer(served.bind) as peer:
                    await peer.send()
                    await peer.events()
                    if asks:
                        await peer.trailers(await peer.call(PATH, framed(item().SerializeToString())))
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert len(there_is(Connection | LimitedStream)) <= 2 * EVERY * asks
