"""A peer says that it takes no more calls over a connection, and answers those that it has."""

import gc
from contextlib import suppress

import pytest
import trio
import trio.testing
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded
from hyperframe.frame import GoAwayFrame, SettingsFrame

from fuota.generated.chirpstack3 import device_queue_pb2 as pb
from fuota.rpc.calling import Calling
from tests.process.rpc.calls import framed
from tests.process.rpc.failures import enqueue, failure, listening

HEAD = [(":status", "200"), ("content-type", "application/grpc")]
DONE = [("grpc-status", "0")]
MESSAGE = framed(pb.EnqueueDeviceQueueItemResponse(f_cnt=9).SerializeToString())


class Proxy:
    """Like nginx: says goodbye with the last call that it takes."""

    def __init__(self, takes: int, at_once: int) -> None:
        self.connections = self.taken = 0
        self.left = trio.Event()
        """By a client to which it has said goodbye."""
        self._takes = takes
        self._at_once = at_once

    async def __call__(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        h2 = H2Connection(H2Configuration(client_side=False))
        h2.initiate_connection()
        at_once = SettingsFrame(0, {SettingsFrame.MAX_CONCURRENT_STREAMS: self._at_once})
        await stream.send_all(h2.data_to_send() + at_once.serialize())  # h2 itself would insist on it at once
        taken = 0
        while data := await stream.receive_some():
            ended = [event for event in h2.receive_data(data) if isinstance(event, StreamEnded)]
            now = [event.stream_id for event in ended[: self._takes - taken]]
            taken += len(now)
            goodbye = b""
            if now and taken == self._takes:
                goodbye = h2.data_to_send() + GoAwayFrame(0, last_stream_id=now[-1]).serialize()
            for stream_id in now:
                h2.send_headers(stream_id, HEAD)
                h2.send_data(stream_id, MESSAGE)
                h2.send_headers(stream_id, DONE, end_stream=True)
            self.taken += len(now)
            await stream.send_all(goodbye + h2.data_to_send())
        if taken == self._takes:
            self.left.set()


@pytest.mark.parametrize(
    ("callers", "takes", "at_once"),
    [
        pytest.param(32, 33, 100, id="all are answered"),
        pytest.param(32, 20, 100, id="some are made again"),
        pytest.param(4, 3, 1, id="some have waited for their turn"),
    ],
)
async def test_a_peer_that_takes_no_more_calls_answers_those_it_has(
    callers: int, takes: int, at_once: int
) -> None:
    proxy = Proxy(takes, at_once)
    async with listening(proxy) as channel:
        assert await enqueue(channel) == 9
        async with trio.open_nursery() as nursery:
            for _ in range(callers):
                nursery.start_soon(enqueue, channel)
        with trio.fail_after(10):
            await proxy.left.wait()
        assert await enqueue(channel) == 9
    assert proxy.taken == callers + 2
    assert proxy.connections == 2


async def test_who_waits_for_long_may_see_several_connections_end() -> None:
    proxy = Proxy(2, 1)
    async with listening(proxy) as channel, trio.open_nursery() as nursery:
        for _ in range(12):
            nursery.start_soon(enqueue, channel)
    assert (proxy.taken, proxy.connections) == (12, 6)


async def test_who_waits_for_a_stream_learns_that_the_connection_is_cut() -> None:
    answered = 0

    async def cut(stream: trio.SocketStream) -> None:
        h2 = H2Connection(H2Configuration(client_side=False))
        h2.initiate_connection()
        one = SettingsFrame(0, {SettingsFrame.MAX_CONCURRENT_STREAMS: 1})
        await stream.send_all(h2.data_to_send() + one.serialize())
        while not any(
            isinstance(event, StreamEnded) for event in h2.receive_data(await stream.receive_some())
        ):
            await stream.send_all(h2.data_to_send())
        await trio.testing.wait_all_tasks_blocked(0.05)  # until the others wait behind it
        await stream.aclose()

    async def call() -> None:
        nonlocal answered
        assert "UNAVAILABLE" in str(await failure(channel))
        answered += 1

    async with listening(cut) as channel:
        with trio.fail_after(3):
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(call)
    assert answered == 4


async def test_nothing_is_left_of_connections_that_have_ended() -> None:
    """A look at everything would find what refers to itself, but that comes hours later."""
    proxy = Proxy(2, 100)
    gc.collect()
    gc.disable()
    try:
        async with listening(proxy) as channel:
            for _ in range(20):
                await enqueue(channel)
            await trio.testing.wait_all_tasks_blocked(0.05)
            left = [each for each in gc.get_objects() if isinstance(each, Calling)]
        assert proxy.connections == 10
        assert len(left) <= 2
    finally:
        gc.enable()


async def test_a_call_that_is_not_taken_twice_has_failed() -> None:
    connections = 0

    async def never(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        with suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                await stream.send_all(GoAwayFrame(0, last_stream_id=0).serialize())

    async with listening(never) as channel:
        assert str(await failure(channel)) == "UNAVAILABLE: the connection takes no more calls"
    assert connections == 2
