"""The network port on the ChirpStack Application Server v3."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import attrs
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Status

from fuota.config import ChirpStackApi
from fuota.deployment.plan import MulticastClass
from fuota.generated.chirpstack3 import device_queue_pb2 as queue
from fuota.generated.chirpstack3 import multicast_group_pb2 as group_pb
from fuota.generated.chirpstack3.device_queue_grpc import DeviceQueueServiceStub
from fuota.generated.chirpstack3.multicast_group_grpc import MulticastGroupServiceStub
from fuota.health import Health
from fuota.lorawan.eui import EUI64
from fuota.network.gate import Always, Gate, Permit
from fuota.network.port import (
    Group,
    GroupGone,
    KnownGroup,
    NetworkError,
    NotFound,
    Refused,
    TokenRefused,
    Trouble,
    Unreachable,
)
from fuota.rpc.client import call, connect
from fuota.rpc.errors import RpcError
from fuota.rpc.tls import client_context

Req = TypeVar("Req")
Res = TypeVar("Res")

CALL_TIMEOUT = 5.0
"""Seconds that one call may take."""

AWAY = ("Unavailable", "DeadlineExceeded")
"""As Go spells these statuses."""

PAGE = 100
"""Groups asked for at a time when one is looked for by its name."""

ERRORS: Mapping[Status, type[NetworkError]] = {
    Status.UNAVAILABLE: Unreachable,
    Status.DEADLINE_EXCEEDED: Unreachable,
    Status.RESOURCE_EXHAUSTED: Unreachable,
    Status.ABORTED: Unreachable,
    Status.CANCELLED: Unreachable,
    Status.NOT_FOUND: NotFound,
    Status.INTERNAL: Trouble,
    Status.UNKNOWN: Trouble,
    Status.DATA_LOSS: Trouble,
    # a wrong token; or with one of an organization, a device that it has not
    Status.UNAUTHENTICATED: TokenRefused,
    Status.PERMISSION_DENIED: TokenRefused,
}
"""What a status means for whoever would ask again; all others are `Refused`."""

CLASSES = {MulticastClass.B: group_pb.CLASS_B, MulticastClass.C: group_pb.CLASS_C}


@attrs.frozen
class ApplicationServer:
    """Calls to one Application Server; made by `connected`."""

    _groups: MulticastGroupServiceStub
    _queues: DeviceQueueServiceStub
    _metadata: Mapping[str, str] = attrs.field(repr=False)
    _gate: Gate
    _permit: Permit

    def if_permitted(self, permit: Permit) -> "ApplicationServer":
        """The same for those who may call it only while `permit` says so; their calls wait meanwhile."""
        return attrs.evolve(self, permit=permit)

    async def ensure_group(self, group: Group) -> str:
        if found := await self._ids(group):
            return found[0]
        message = group_pb.MulticastGroup(
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
        request = group_pb.CreateMulticastGroupRequest(multicast_group=message)
        return (await self._call(self._groups.Create, request)).id

    async def has_group(self, group: KnownGroup) -> bool:
        return group.id in await self._ids(group)

    async def add_device(self, group: KnownGroup, dev_eui: EUI64) -> None:
        request = group_pb.AddDeviceToMulticastGroupRequest(multicast_group_id=group.id, dev_eui=str(dev_eui))
        async with self._about(group):
            await self._call(
                self._groups.AddDevice, request, fine=(Status.ALREADY_EXISTS,), owner=group.application_id
            )

    @asynccontextmanager
    async def _about(self, group: KnownGroup) -> AsyncIterator[None]:
        """Around a call that names the group by its id, for it is not said plainly that it is gone.

        It is NOT_FOUND, INTERNAL for a fragment, and UNAUTHENTICATED for a token of an organization.
        """
        try:
            yield
        except (NotFound, Trouble) as error:
            if not await self.has_group(group):
                raise GroupGone("NOT_FOUND", f"multicast group {group.id}") from error
            raise

    async def downlink(
        self, dev_eui: EUI64, f_port: int, data: bytes, *, unless_pending: bool, application_id: str = ""
    ) -> bool:
        if unless_pending:
            asked = queue.ListDeviceQueueItemsRequest(dev_eui=str(dev_eui))
            pending = await self._call(self._queues.List, asked, owner=application_id)
            if any((each.f_port, each.data) == (f_port, data) for each in pending.device_queue_items):
                return False
        item = queue.DeviceQueueItem(dev_eui=str(dev_eui), f_port=f_port, data=data)
        request = queue.EnqueueDeviceQueueItemRequest(device_queue_item=item)
        await self._call(self._queues.Enqueue, request, owner=application_id)
        return True

    async def multicast(self, group: KnownGroup, f_port: int, data: bytes) -> None:
        item = group_pb.MulticastQueueItem(multicast_group_id=group.id, f_port=f_port, data=data)
        request = group_pb.EnqueueMulticastQueueItemRequest(multicast_queue_item=item)
        async with self._about(group):
            await self._call(self._groups.Enqueue, request)

    async def delete_group(self, group: Group) -> None:
        for group_id in await self._ids(group):
            request = group_pb.DeleteMulticastGroupRequest(id=group_id)
            await self._call(self._groups.Delete, request, fine=(Status.NOT_FOUND,))

    async def _ids(self, group: Group | KnownGroup) -> list[str]:
        """Of the groups with this name; the search finds parts of names, page by page."""
        ids: list[str] = []
        offset, total = 0, 1
        while offset < total:
            request = group_pb.ListMulticastGroupRequest(
                limit=PAGE, offset=offset, search=group.name, application_id=int(group.application_id)
            )
            page = await self._call(self._groups.List, request, proves=False)
            ids += [item.id for item in page.result if item.name == group.name]
            offset, total = offset + PAGE, page.total_count
        return ids

    async def _call(
        self,
        method: UnaryUnaryMethod[Req, Res],
        request: Req,
        *,
        fine: tuple[Status, ...] = (),
        owner: str = "",
        proves: bool = True,
    ) -> Res:
        """`fine`: statuses that say that what is asked for is so already. `owner`: the application of the
        device that the call is about. `proves`: see `Gate.passage`; what only reads the Application Server's
        own database does not.
        """
        async with self._gate.passage(self._permit, proves=proves):
            try:
                return await self._bare_call(method, request)
            except RpcError as error:
                if error.status in fine:
                    return method.reply_type()
                meant = _meant(error)
                if isinstance(meant, TokenRefused):
                    meant.own = bool(owner) and await self._is_good_for(owner)
                raise meant from error

    async def _is_good_for(self, application_id: str) -> bool:
        """Whether the token may see the application."""
        request = group_pb.ListMulticastGroupRequest(limit=1, application_id=int(application_id))
        try:
            await self._bare_call(self._groups.List, request)
        except RpcError:
            return False
        return True

    async def _bare_call(self, method: UnaryUnaryMethod[Req, Res], request: Req) -> Res:
        return await call(method, request, timeout=CALL_TIMEOUT, metadata=self._metadata)


def _meant(error: RpcError) -> NetworkError:
    """What the error means for whoever would ask again.

    The Application Server says INTERNAL when its Network Server is away, and quotes it.
    """
    kind = ERRORS.get(error.status, Refused)
    if kind is Trouble and any(f"code = {away}" in error.detail for away in AWAY):
        kind = Unreachable
    return kind(error.status.name, error.detail)


@asynccontextmanager
async def connected(api: ChirpStackApi, health: Health) -> AsyncIterator[ApplicationServer]:
    """The Application Server of the settings, inside `bridge.open_loop`; the first call connects."""
    tls = client_context() if api.tls_enabled else None
    async with connect(api.server, tls=tls) as channel:
        yield application_server(channel, api.token, health)


def application_server(channel: Channel, token: str, health: Health) -> ApplicationServer:
    """The Application Server at the other end of `channel`."""
    return ApplicationServer(
        MulticastGroupServiceStub(channel),
        DeviceQueueServiceStub(channel),
        {"authorization": f"Bearer {token}"},
        Gate(health),
        Always(),
    )
