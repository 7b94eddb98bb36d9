"""A call with a token to peers of every kind, and how it fails."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from grpclib.client import Channel

from fuota.bridge import open_loop
from fuota.config.value import Bind
from fuota.generated.chirpstack3 import device_queue_pb2 as pb
from fuota.generated.chirpstack3.device_queue_grpc import DeviceQueueServiceStub
from fuota.rpc.client import call, connect
from fuota.rpc.errors import RpcError

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


async def failure_or_none(channel: Channel) -> RpcError | None:
    try:
        await enqueue(channel)
    except RpcError as error:
        return error
    return None
