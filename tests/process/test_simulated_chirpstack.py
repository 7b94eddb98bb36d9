"""The simulated ChirpStack over real sockets, as its other side sees it."""

from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import trio
from grpclib.const import Status

from fuota.bridge import open_loop
from fuota.clock import SystemClock
from fuota.config.value import Bind
from fuota.generated.chirpstack3 import device_queue_pb2 as queue_pb
from fuota.generated.chirpstack3 import multicast_group_pb2 as group_pb
from fuota.generated.chirpstack3.device_queue_grpc import DeviceQueueServiceStub
from fuota.generated.chirpstack3.multicast_group_grpc import MulticastGroupServiceStub
from fuota.rpc.client import call, connect
from fuota.rpc.errors import RpcError
from fuota.simulation.chirpstack3 import serve_api
from fuota.simulation.conditions import ApiConditions
from fuota.simulation.fleet import fleet
from fuota.simulation.world import World

TOKEN = "let-me-in"
NO_GROUP = "00000000-0000-4000-8000-000000000000"
KEY = bytes(range(16)).hex()


@attrs.frozen
class Api:
    """The two services, called with the right token."""

    world: World
    conditions: ApiConditions
    groups: MulticastGroupServiceStub
    queues: DeviceQueueServiceStub

    @property
    def dev_eui(self) -> str:
        return str(self.world.devices[0].dev_eui)

    async def __call__(self, method: Any, token: str = TOKEN, /, **request: Any) -> Any:
        metadata = {"authorization": f"Bearer {token}"} if token else {}
        return await call(method, method.request_type(**request), timeout=5, metadata=metadata)

    async def status(self, method: Any, **request: Any) -> tuple[Status, str]:
        with pytest.raises(RpcError) as caught:
            await self(method, **request)
        return caught.value.status, caught.value.detail

    async def group(self, **changed: Any) -> str:
        response = await self(
            self.groups.Create, multicast_group=group_pb.MulticastGroup(**(GROUP | changed))
        )
        made: str = response.id
        return made


GROUP: dict[str, Any] = {
    "name": "fuota-1",
    "mc_addr": "00ff0102",
    "mc_nwk_s_key": KEY,
    "mc_app_s_key": KEY,
    "group_type": group_pb.CLASS_B,
    "dr": 3,
    "frequency": 869_525_000,
    "ping_slot_period": 64,
    "application_id": 1,
}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    clock = SystemClock()
    world, conditions = World(fleet(2), clock=clock), ApiConditions(clock=clock)
    async with open_loop(), trio.open_nursery() as nursery:
        address = await nursery.start(
            lambda task_status: serve_api(
                world, Bind("127.0.0.1", 0), token=TOKEN, conditions=conditions, task_status=task_status
            )
        )
        async with connect(Bind.parse(address)) as channel:
            yield Api(world, conditions, MulticastGroupServiceStub(channel), DeviceQueueServiceStub(channel))
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("token", ["", "let-me-out"])
async def test_a_call_needs_the_token(api: Api, token: str) -> None:
    with pytest.raises(RpcError) as caught:
        await api(api.queues.List, token, dev_eui=api.dev_eui)
    assert caught.value.status is Status.UNAUTHENTICATED


async def test_a_group_is_told_as_it_was_made(api: Api) -> None:
    group_id = await api.group(f_cnt=7)
    told = (await api(api.groups.Get, id=group_id)).multicast_group
    assert told == group_pb.MulticastGroup(id=group_id, f_cnt=7, **GROUP)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mc_addr", "00ff01"),
        ("mc_addr", "00ff010g"),
        ("mc_nwk_s_key", KEY[2:]),
        ("mc_app_s_key", ""),
        ("ping_slot_period", 0),
        ("ping_slot_period", 100),
        ("group_type", 2),
    ],
)
async def test_a_group_that_makes_no_sense_is_refused_by_the_name_of_the_field(
    api: Api, field: str, value: object
) -> None:
    group = group_pb.MulticastGroup(**(GROUP | {field: value}))
    status, detail = await api.status(api.groups.Create, multicast_group=group)
    assert status is Status.INVALID_ARGUMENT
    assert detail.startswith(f"{field}: ")


async def test_groups_are_listed_page_by_page_and_by_search(api: Api) -> None:
    ids = {name: await api.group(name=name) for name in ("fuota-b", "fuota-a", "other")}
    await api(api.groups.AddDevice, multicast_group_id=ids["other"], dev_eui=api.dev_eui)

    async def listed(**request: Any) -> tuple[int, list[str]]:
        response = await api(api.groups.List, **request)
        return response.total_count, [item.name for item in response.result]

    assert await listed() == (3, [])
    assert await listed(limit=10) == (3, ["fuota-a", "fuota-b", "other"])
    assert await listed(limit=1, offset=1) == (3, ["fuota-b"])
    assert await listed(limit=10, search="fuota") == (2, ["fuota-a", "fuota-b"])
    assert await listed(limit=10, dev_eui=api.dev_eui) == (1, ["other"])
    assert await listed(limit=10, application_id=2) == (0, [])


async def test_a_member_is_added_once_and_removed_once(api: Api) -> None:
    member = {"multicast_group_id": await api.group(), "dev_eui": api.dev_eui}
    await api(api.groups.AddDevice, **member)
    assert (await api.status(api.groups.AddDevice, **member))[0] is Status.ALREADY_EXISTS
    await api(api.groups.RemoveDevice, **member)
    assert (await api.status(api.groups.RemoveDevice, **member))[0] is Status.NOT_FOUND


async def test_a_multicast_queue_counts_and_is_flushed(api: Api) -> None:
    group_id = await api.group(f_cnt=5)
    for number in range(3):
        item = group_pb.MulticastQueueItem(multicast_group_id=group_id, f_port=201, data=bytes([number]))
        assert (await api(api.groups.Enqueue, multicast_queue_item=item)).f_cnt == 5 + number
    listed = (await api(api.groups.ListQueue, multicast_group_id=group_id)).multicast_queue_items
    assert [(item.f_cnt, item.f_port, item.data) for item in listed] == [
        (5, 201, b"\0"),
        (6, 201, b"\1"),
        (7, 201, b"\2"),
    ]
    await api(api.groups.FlushQueue, multicast_group_id=group_id)
    assert not (await api(api.groups.ListQueue, multicast_group_id=group_id)).multicast_queue_items
    assert (await api(api.groups.Get, id=group_id)).multicast_group.f_cnt == 8


async def test_a_device_queue_counts_and_is_flushed(api: Api) -> None:
    for number in range(2):
        item = queue_pb.DeviceQueueItem(
            dev_eui=api.dev_eui.upper(), f_port=200, data=bytes([number]), confirmed=True
        )
        assert (await api(api.queues.Enqueue, device_queue_item=item)).f_cnt == number
    listed = await api(api.queues.List, dev_eui=api.dev_eui)
    assert listed.total_count == 2
    assert [(item.f_cnt, item.confirmed, item.data) for item in listed.device_queue_items] == [
        (0, True, b"\0"),
        (1, True, b"\1"),
    ]
    counted = await api(api.queues.List, dev_eui=api.dev_eui, count_only=True)
    assert (counted.total_count, len(counted.device_queue_items)) == (2, 0)
    await api(api.queues.Flush, dev_eui=api.dev_eui)
    assert (await api(api.queues.List, dev_eui=api.dev_eui)).total_count == 0


@pytest.mark.parametrize(
    ("dev_eui", "status"), [("0102", Status.INVALID_ARGUMENT), ("ff" * 8, Status.NOT_FOUND)]
)
async def test_a_device_that_is_not_there(api: Api, dev_eui: str, status: Status) -> None:
    item = queue_pb.DeviceQueueItem(dev_eui=dev_eui, f_port=200)
    member = {"multicast_group_id": await api.group(), "dev_eui": dev_eui}
    assert (await api.status(api.queues.Enqueue, device_queue_item=item))[0] is status
    assert (await api.status(api.queues.List, dev_eui=dev_eui))[0] is status
    assert (await api.status(api.queues.Flush, dev_eui=dev_eui))[0] is status
    assert (await api.status(api.groups.AddDevice, **member))[0] is status


@pytest.mark.parametrize(
    ("group_id", "status"), [("17", Status.INVALID_ARGUMENT), (NO_GROUP, Status.NOT_FOUND)]
)
async def test_a_group_that_is_not_there(api: Api, group_id: str, status: Status) -> None:
    """To whoever wants to send to it, the Application Server says so in other words."""
    fragment = Status.INTERNAL if status is Status.NOT_FOUND else status
    item = group_pb.MulticastQueueItem(multicast_group_id=group_id, f_port=201)
    assert (await api.status(api.groups.Get, id=group_id))[0] is status
    assert (await api.status(api.groups.Delete, id=group_id))[0] is status
    assert (await api.status(api.groups.Enqueue, multicast_queue_item=item))[0] is fragment
    assert (await api.status(api.groups.ListQueue, multicast_group_id=group_id))[0] is status
    assert (await api.status(api.groups.FlushQueue, multicast_group_id=group_id))[0] is status


async def test_to_a_limited_token_what_is_not_there_is_not_allowed(api: Api) -> None:
    api.conditions.limited = True
    item = group_pb.MulticastQueueItem(multicast_group_id=NO_GROUP, f_port=201)
    refused = [
        await api.status(api.groups.Get, id=NO_GROUP),
        await api.status(api.groups.Enqueue, multicast_queue_item=item),
        await api.status(api.queues.List, dev_eui="ff" * 8),
    ]
    assert {status for status, _ in refused} == {Status.UNAUTHENTICATED}
    assert (await api(api.groups.List, limit=1, application_id=1)).total_count == 0


async def test_port_0_is_refused(api: Api) -> None:
    item = queue_pb.DeviceQueueItem(dev_eui=api.dev_eui, data=b"\0")
    assert (await api.status(api.queues.Enqueue, device_queue_item=item))[0] is Status.INVALID_ARGUMENT


async def test_a_share_of_the_calls_fails_without_effect(api: Api) -> None:
    api.conditions.failing = 0.5
    failed = 0
    for number in range(40):
        item = queue_pb.DeviceQueueItem(dev_eui=api.dev_eui, f_port=200, data=bytes([number]))
        try:
            await api(api.queues.Enqueue, device_queue_item=item)
        except RpcError as error:
            failed += error.status is Status.UNAVAILABLE
    assert 10 < failed < 30
    assert len(api.world.chirpstack.queue(api.world.devices[0].dev_eui).items) == 40 - failed
