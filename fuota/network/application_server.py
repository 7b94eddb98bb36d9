"""The network port on the ChirpStack Application Server v3."""

import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

import attrs
from grpclib.client import Channel
from grpclib.const import Status

from fuota.config.settings import ChirpStackApi
from fuota.deployment.plan import MulticastClass
from fuota.generated.chirpstack3 import device_queue_pb2 as queue
from fuota.generated.chirpstack3 import multicast_group_pb2 as pb
from fuota.generated.chirpstack3.device_queue_grpc import DeviceQueueServiceStub
from fuota.generated.chirpstack3.multicast_group_grpc import MulticastGroupServiceStub
from fuota.health import Health
from fuota.lorawan.eui import EUI64
from fuota.network.calls import Calls
from fuota.network.chirpstack import PAGE, ChirpStack, Page
from fuota.network.gate import Gate, Lane
from fuota.network.port import About, Group, KnownGroup
from fuota.rpc.client import connect
from fuota.rpc.tls import client_context

INACTIVE = re.compile(r"code = NotFound\b|code = InvalidArgument\b.*security-context out of sync")
"""Quoted of the Network Server, for a downlink to a device: it has no session there, or another than the
Application Server was told of last. Both pass when it joins."""

CLASSES = {MulticastClass.B: pb.CLASS_B, MulticastClass.C: pb.CLASS_C}


@attrs.frozen
class ApplicationServer(ChirpStack):
    """Calls to one Application Server; made by `connected`."""

    _groups: MulticastGroupServiceStub
    _queues: DeviceQueueServiceStub

    async def _page(self, group: Group | KnownGroup, offset: int, *, of_group: bool) -> Page:
        request = pb.ListMulticastGroupRequest(
            limit=PAGE, offset=offset, search=group.name, application_id=int(group.application_id)
        )
        lane = Lane.GROUPS if of_group else Lane.DEVICES
        about, good = group.about, self._good()
        page = await self._calls(self._groups.List, request, about=about, good=good, lane=lane, proves=False)
        return Page([(item.id, item.name) for item in page.result], page.total_count)

    async def _glance(self, application_id: str) -> None:
        request = pb.ListMulticastGroupRequest(limit=1, application_id=int(application_id))
        await self._calls.bare(self._groups.List, request)

    async def _create(self, group: Group) -> str:
        message = pb.MulticastGroup(
            name=group.name,
            mc_addr=f"{group.mc_addr:08x}",
            mc_nwk_s_key=group.mc_nwk_s_key.hex(),
            mc_app_s_key=group.mc_app_s_key.hex(),
            group_type=CLASSES[group.mc_class],
            dr=group.dr,
            frequency=group.frequency,
            ping_slot_period=32 << group.periodicity if group.mc_class is MulticastClass.B else 0,
            application_id=int(group.application_id),
            f_cnt=group.f_cnt,
        )
        request = pb.CreateMulticastGroupRequest(multicast_group=message)
        return (await self._of_group(group, self._groups.Create, request)).id

    async def _see_to_ping_slots(self, group_id: str, group: Group) -> None:
        """They are those that the group was made with."""

    async def _add_gateway(self, group: KnownGroup, gateway: str) -> None:
        """The Application Server chooses the gateways."""

    async def _join(self, group: KnownGroup, dev_eui: EUI64) -> None:
        request = pb.AddDeviceToMulticastGroupRequest(multicast_group_id=group.id, dev_eui=str(dev_eui))
        about, fine = group.about, (Status.ALREADY_EXISTS,)
        await self._calls(self._groups.AddDevice, request, about=about, fine=fine, good=self._good(about))

    async def _pending(self, dev_eui: EUI64, about: About, lane: Lane) -> Mapping[tuple[int, bytes], str]:
        request = queue.ListDeviceQueueItemsRequest(dev_eui=str(dev_eui))
        pending = await self._calls(
            self._queues.List, request, about=about, good=self._good(about), lane=lane, proves=False
        )
        return {(item.f_port, item.data): str(item.f_cnt) for item in pending.device_queue_items}

    async def _push(self, dev_eui: EUI64, f_port: int, data: bytes, about: About, lane: Lane) -> str:
        item = queue.DeviceQueueItem(dev_eui=str(dev_eui), f_port=f_port, data=data)
        request = queue.EnqueueDeviceQueueItemRequest(device_queue_item=item)
        queued = await self._calls(
            self._queues.Enqueue, request, about=about, good=self._good(about), lane=lane, inactive=INACTIVE
        )
        return str(queued.f_cnt)

    async def _empty(self, dev_eui: EUI64, about: About) -> None:
        request = queue.FlushDeviceQueueRequest(dev_eui=str(dev_eui))
        await self._calls(self._queues.Flush, request, about=about, good=self._good(about))

    async def _send(self, group: KnownGroup, f_port: int, data: bytes) -> None:
        item = pb.MulticastQueueItem(multicast_group_id=group.id, f_port=f_port, data=data)
        request = pb.EnqueueMulticastQueueItemRequest(multicast_queue_item=item)
        await self._of_group(group, self._groups.Enqueue, request)

    async def _queued(self, group: KnownGroup) -> Collection[tuple[int, bytes]]:
        request = pb.ListMulticastGroupQueueItemsRequest(multicast_group_id=group.id)
        waiting = await self._of_group(group, self._groups.ListQueue, request, proves=False)
        return [(item.f_cnt, item.data) for item in waiting.multicast_queue_items]

    async def _flush(self, group: KnownGroup) -> None:
        request = pb.FlushMulticastGroupQueueItemsRequest(multicast_group_id=group.id)
        await self._of_group(group, self._groups.FlushQueue, request, fine=(Status.NOT_FOUND,))

    async def _delete(self, group: KnownGroup) -> None:
        request = pb.DeleteMulticastGroupRequest(id=group.id)
        await self._of_group(group, self._groups.Delete, request, fine=(Status.NOT_FOUND,))


@asynccontextmanager
async def connected(api: ChirpStackApi, health: Health) -> AsyncIterator[ApplicationServer]:
    """The Application Server of the settings, inside `bridge.open_loop`; the first call connects."""
    tls = client_context() if api.tls_enabled else None
    async with connect(api.server, tls=tls) as channel:
        yield application_server(channel, api.token, health)


def application_server(channel: Channel, token: str, health: Health) -> ApplicationServer:
    """The Application Server at the other end of `channel`."""
    calls = Calls(token, Gate(health))
    return ApplicationServer(calls, MulticastGroupServiceStub(channel), DeviceQueueServiceStub(channel))
