"""The gRPC client, on real sockets, before servers that refuse, hang, restart, or are not there."""

import socket
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import trio
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from fuota.bridge import open_loop
from fuota.config.value import Bind
from fuota.generated.chirpstack3 import device_queue_pb2 as pb
from fuota.generated.chirpstack3.device_queue_grpc import DeviceQueueServiceStub
from fuota.rpc.calling import Calling
from fuota.rpc.client import call, connect
from fuota.rpc.errors import RpcError
from fuota.rpc.server import serve
from tests.process.rpc.failures import enqueue, failure, failure_or_none, listening


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


async def test_an_address_that_does_not_answer_does_not_hide_the_next_one(
    serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent to 127.0.0.2 is dropped, for the queue there is full."""
    found = socket.getaddrinfo

    def both(host: str, *more: Any, **named: Any) -> list[Any]:
        addresses = ("127.0.0.2", "127.0.0.1") if host == "chirpstack.example" else (host,)
        return [info for address in addresses for info in found(address, *more, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    async with serving() as served:
        with ExitStack() as opened, socket.socket() as hole:
            hole.bind(("127.0.0.2", served.bind.port))
            hole.listen(0)
            for _ in range(4):
                filling = opened.enter_context(socket.socket())
                filling.setblocking(False)
                with suppress(BlockingIOError):
                    filling.connect(hole.getsockname())
            async with connect(Bind("chirpstack.example", served.bind.port)) as channel:
                assert await enqueue(channel, timeout=4) == 2


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


def near_its_end(channel: Channel, calls: int) -> Calling:
    """The connection of the channel, which has numbers for so many more calls."""
    connection = channel._protocol
    assert isinstance(connection, Calling)
    h2 = connection.connection._connection
    h2.highest_outbound_stream_id = h2.HIGHEST_ALLOWED_STREAM_ID - 2 * calls
    return connection


async def test_a_connection_that_has_no_number_for_another_call_is_left(serving: Any) -> None:
    """As after 2**30 of them; those that are under way then are answered."""
    began, let_go = trio.Event(), trio.Event()
    late: list[int] = []

    async def body(queued: pb.DeviceQueueItem) -> int:
        if not began.is_set():
            began.set()
            await let_go.wait()
        return 2

    async with serving(body) as served, connect(served.bind) as channel:

        async def under_way() -> None:
            late.append(await enqueue(channel))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(under_way)
            await began.wait()
            first = near_its_end(channel, calls=2)
            for _ in range(6):
                assert await enqueue(channel) == 2
            second = near_its_end(channel, calls=0)
            assert second is not first
            let_go.set()
        assert late == [2]
        await first.closed.wait()
        assert await enqueue(channel) == 2
        await second.closed.wait()


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
