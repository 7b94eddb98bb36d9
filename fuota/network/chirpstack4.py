"""The network port on ChirpStack 4."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias, TypeVar

import attrs
from google.protobuf.empty_pb2 import Empty
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Status

from fuota.config.settings import ChirpStackApi
from fuota.deployment.plan import ClassCScheduling, MulticastClass
from fuota.generated.chirpstack4 import common_pb2
from fuota.generated.chirpstack4 import device_pb2 as queue
from fuota.generated.chirpstack4 import multicast_group_pb2 as pb
from fuota.generated.chirpstack4.device_grpc import DeviceServiceStub
from fuota.generated.chirpstack4.device_profile_grpc import DeviceProfileServiceStub
from fuota.generated.chirpstack4.multicast_group_grpc import MulticastGroupServiceStub
from fuota.health import Health
from fuota.lorawan.eui import EUI64
from fuota.lorawan.region import Region
from fuota.network.calls import Calls
from fuota.network.chirpstack import PAGE, ChirpStack, Good, Page, known
from fuota.network.gate import Gate, Lane
from fuota.network.port import ANYTHING, About, Group, KnownGroup, Refused, TokenRefused
from fuota.rpc.client import connect
from fuota.rpc.errors import RpcError
from fuota.rpc.tls import client_context

CLASSES = {MulticastClass.B: pb.CLASS_B, MulticastClass.C: pb.CLASS_C}
SCHEDULINGS = {ClassCScheduling.DELAY: pb.DELAY, ClassCScheduling.GPS_TIME: pb.GPS_TIME}
REGIONS = {region: common_pb2.Region.Value(region.value) for region in Region}

Req = TypeVar("Req")
Res = TypeVar("Res")
Look: TypeAlias = Callable[[], Awaitable[bool]]
"""Whether the token may look at something."""


@attrs.frozen
class ChirpStack4(ChirpStack):
    """Calls to one ChirpStack 4; made by `connected`."""

    _groups: MulticastGroupServiceStub
    _devices: DeviceServiceStub
    _profiles: DeviceProfileServiceStub

    async def _page(self, group: Group | KnownGroup, offset: int, *, of_group: bool) -> Page:
        request = pb.ListMulticastGroupsRequest(
            limit=PAGE, offset=offset, search=group.name, application_id=group.application_id
        )
        lane = Lane.GROUPS if of_group else Lane.DEVICES
        about, good = group.about, self._good()
        page = await self._calls(self._groups.List, request, about=about, good=good, lane=lane, proves=False)
        return Page([(item.id, item.name) for item in page.result], page.total_count)

    async def _is_good(self, application_id: str) -> bool:
        """Any token that is good may ask for the ADR algorithms."""
        try:
            await self._calls.bare(self._profiles.ListAdrAlgorithms, Empty())
        except RpcError as error:
            if error.status is not Status.UNIMPLEMENTED:
                raise
            return await super()._is_good(application_id)
        return True

    async def _glance(self, application_id: str) -> None:
        await self._calls.bare(self._groups.List, _one_of(application_id))

    def _writing(self, *looks: Look, about: About = ANYTHING) -> Good:
        """For a call that changes something, which is refused to a key that may only read, without a reason.

        `looks` are at what is to be changed: whoever may have all of them, and not change it, is such a key.
        """

        async def good() -> bool:
            for number, look in enumerate(looks):
                if not await look():  # whoever may look at something has a good token
                    return number > 0 or await self._is_good(about.application_id)
            raise TokenRefused("UNAUTHENTICATED", "it may only read")

        return good

    def _at_group(self, group_id: str) -> Look:
        return partial(self._calls.allowed, self._groups.Get, pb.GetMulticastGroupRequest(id=group_id))

    async def _change(
        self,
        group: KnownGroup,
        method: UnaryUnaryMethod[Req, Res],
        request: Req,
        *,
        fine: tuple[Status, ...] = (),
    ) -> None:
        """A call that changes the group, or its queue."""
        good = self._writing(self._at_group(group.id))
        await self._of_group(group, method, request, fine=fine, good=good)

    def _at_device(self, dev_eui: EUI64) -> Look:
        request = queue.GetDeviceQueueItemsRequest(dev_eui=str(dev_eui), count_only=True)
        return partial(self._calls.allowed, self._devices.GetQueue, request)

    async def _create(self, group: Group) -> str:
        request = pb.CreateMulticastGroupRequest(multicast_group=_message(group, group.periodicity))
        look = partial(self._calls.allowed, self._groups.List, _one_of(group.application_id))
        return (await self._of_group(group, self._groups.Create, request, good=self._writing(look))).id

    async def _see_to_ping_slots(self, group_id: str, group: Group) -> None:
        """From 4.8 to 4.12 ChirpStack takes the periodicity for the exponent of the number of ping slots.

        It can be told by the period, which nobody gives it and which only those versions answer.
        """
        if group.mc_class is not MulticastClass.B:
            return
        get = pb.GetMulticastGroupRequest(id=group_id)
        answer = await self._of_group(group, self._groups.Get, get, fine=(Status.UNIMPLEMENTED,))
        made, exponent = answer.multicast_group, 7 - group.periodicity
        if made.class_b_ping_slot_period and made.class_b_ping_slot_periodicity != exponent:
            update = pb.UpdateMulticastGroupRequest(multicast_group=_message(group, exponent, group_id))
            await self._change(known(group, group_id), self._groups.Update, update)

    async def _add_gateway(self, group: KnownGroup, gateway: str) -> None:
        request = pb.AddGatewayToMulticastGroupRequest(multicast_group_id=group.id, gateway_id=gateway)
        await self._change(group, self._groups.AddGateway, request, fine=(Status.ALREADY_EXISTS,))

    async def _join(self, group: KnownGroup, dev_eui: EUI64) -> None:
        request = pb.AddDeviceToMulticastGroupRequest(multicast_group_id=group.id, dev_eui=str(dev_eui))
        looks = self._at_device(dev_eui), self._at_group(group.id)
        about, fine = group.about, (Status.ALREADY_EXISTS,)
        good = self._writing(*looks, about=about)
        await self._calls(self._groups.AddDevice, request, about=about, fine=fine, good=good)

    async def _pending(self, dev_eui: EUI64, about: About, lane: Lane) -> Mapping[tuple[int, bytes], str]:
        request = queue.GetDeviceQueueItemsRequest(dev_eui=str(dev_eui))
        pending = await self._calls(
            self._devices.GetQueue, request, about=about, good=self._good(about), lane=lane, proves=False
        )
        return {(item.f_port, item.data): item.id for item in pending.result}

    async def _push(self, dev_eui: EUI64, f_port: int, data: bytes, about: About, lane: Lane) -> str:
        item = queue.DeviceQueueItem(dev_eui=str(dev_eui), f_port=f_port, data=data)
        request = queue.EnqueueDeviceQueueItemRequest(queue_item=item)
        good = self._writing(self._at_device(dev_eui), about=about)
        queued = await self._calls(self._devices.Enqueue, request, about=about, good=good, lane=lane)
        return queued.id

    async def _empty(self, dev_eui: EUI64, about: About) -> None:
        request = queue.FlushDeviceQueueRequest(dev_eui=str(dev_eui))
        good = self._writing(self._at_device(dev_eui), about=about)
        await self._calls(self._devices.FlushQueue, request, about=about, good=good)

    async def _send(self, group: KnownGroup, f_port: int, data: bytes) -> None:
        item = pb.MulticastGroupQueueItem(multicast_group_id=group.id, f_port=f_port, data=data)
        request = pb.EnqueueMulticastGroupQueueItemRequest(queue_item=item)
        await self._change(group, self._groups.Enqueue, request)

    async def _queued(self, group: KnownGroup) -> Collection[tuple[int, bytes]]:
        request = pb.ListMulticastGroupQueueRequest(multicast_group_id=group.id)
        waiting = await self._of_group(group, self._groups.ListQueue, request, proves=False)
        return [(item.f_cnt, item.data) for item in waiting.items]

    async def _flush(self, group: KnownGroup) -> None:
        request = pb.FlushMulticastGroupQueueRequest(multicast_group_id=group.id)
        await self._change(group, self._groups.FlushQueue, request, fine=(Status.NOT_FOUND,))

    async def _delete(self, group: KnownGroup) -> None:
        request = pb.DeleteMulticastGroupRequest(id=group.id)
        await self._change(group, self._groups.Delete, request, fine=(Status.NOT_FOUND,))


@asynccontextmanager
async def connected(api: ChirpStackApi, health: Health) -> AsyncIterator[ChirpStack4]:
    """The ChirpStack of the settings, inside `bridge.open_loop`; the first call connects."""
    tls = client_context() if api.tls_enabled else None
    async with connect(api.server, tls=tls) as channel:
        yield chirpstack4(channel, api.token, health)


def chirpstack4(channel: Channel, token: str, health: Health) -> ChirpStack4:
    """The ChirpStack at the other end of `channel`."""
    return ChirpStack4(
        Calls(token, Gate(health)),
        MulticastGroupServiceStub(channel),
        DeviceServiceStub(channel),
        DeviceProfileServiceStub(channel),
    )


def _one_of(application_id: str) -> pb.ListMulticastGroupsRequest:
    """The groups of the application; whether they may be seen, and no more than one."""
    return pb.ListMulticastGroupsRequest(limit=1, application_id=application_id)


def _message(group: Group, ping_slots: int, group_id: str = "") -> pb.MulticastGroup:
    if group.region is None:
        raise Refused("INVALID_ARGUMENT", "ChirpStack 4 has to be told the region of a group")
    return pb.MulticastGroup(
        id=group_id,
        name=group.name,
        application_id=group.application_id,
        region=REGIONS[group.region],
        mc_addr=f"{group.mc_addr:08x}",
        mc_nwk_s_key=group.mc_nwk_s_key.hex(),
        mc_app_s_key=group.mc_app_s_key.hex(),
        f_cnt=group.f_cnt,
        group_type=CLASSES[group.mc_class],
        dr=group.dr,
        frequency=group.frequency,
        class_c_scheduling_type=SCHEDULINGS[group.class_c_scheduling],
        class_b_ping_slot_periodicity=ping_slots if group.mc_class is MulticastClass.B else 0,
    )
