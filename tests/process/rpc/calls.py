"""What the calls of these tests are made of."""

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from types import UnionType
from typing import Any

from grpclib.client import Channel

from fuota.config.value import Bind
from fuota.generated.chirpstack3 import device_queue_pb2 as pb
from fuota.generated.chirpstack3.device_queue_grpc import DeviceQueueServiceStub
from fuota.rpc.client import call, connect

PATH = b"/api.DeviceQueueService/Enqueue"
LIST = b"/api.DeviceQueueService/List"
RawPeerAt = Callable[[Bind], AbstractAsyncContextManager[Any]]


def item(f_cnt: int = 1, data: bytes = b"") -> pb.EnqueueDeviceQueueItemRequest:
    return pb.EnqueueDeviceQueueItemRequest(device_queue_item=pb.DeviceQueueItem(f_cnt=f_cnt, data=data))


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4) + message


async def enqueue(channel: Channel, f_cnt: int = 1, data: bytes = b"", *, within: float = 10) -> int:
    response = await call(DeviceQueueServiceStub(channel).Enqueue, item(f_cnt, data), timeout=within)
    return response.f_cnt


async def assert_alive(bind: Bind) -> None:
    async with connect(bind) as channel:
        assert await enqueue(channel, 41) == 42


@contextmanager
def uncollected() -> Iterator[Callable[[type | UnionType], list[Any]]]:
    """The garbage collector does nothing meanwhile; the block may ask what there is of some types."""
    gc.collect()
    gc.disable()
    try:
        yield lambda kinds: [each for each in gc.get_objects() if isinstance(each, kinds)]
    finally:
        gc.enable()
