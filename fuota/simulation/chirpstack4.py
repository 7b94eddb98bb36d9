"""The simulated ChirpStack behind the API of ChirpStack 4, over real sockets.

Where a row is there already, or what it points to is not, the real one lets its database speak; so does this.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from uuid import NAMESPACE_OID, uuid5

from google.protobuf.empty_pb2 import Empty

from fuota.generated.chirpstack4 import device_pb2 as device_pb
from fuota.generated.chirpstack4 import device_profile_pb2 as profile_pb
from fuota.generated.chirpstack4 import multicast_group_pb2 as group_pb
from fuota.generated.chirpstack4.device_grpc import DeviceServiceBase
from fuota.generated.chirpstack4.device_profile_grpc import DeviceProfileServiceBase
from fuota.generated.chirpstack4.multicast_group_grpc import MulticastGroupServiceBase
from fuota.simulation import spelling4 as spelling
from fuota.simulation.api import Service, api, serve_services
from fuota.simulation.chirpstack import ApiError, Queue


class MulticastGroups(MulticastGroupServiceBase, Service):
    """`api.MulticastGroupService`."""

    @api
    def Create(self, request: group_pb.CreateMulticastGroupRequest) -> group_pb.CreateMulticastGroupResponse:
        message = request.multicast_group
        settings = spelling.settings(message, self.conditions.exponents)
        with inserting("multicast_group", "application_id", limited=self.conditions.limited):
            group = self.chirpstack.create_group(settings, f_cnt=message.f_cnt)
        return group_pb.CreateMulticastGroupResponse(id=group.id)

    @api
    def Get(self, request: group_pb.GetMulticastGroupRequest) -> group_pb.GetMulticastGroupResponse:
        group = self.chirpstack.group(spelling.group_id("id", request.id))
        message = spelling.multicast_group(group, self.conditions.exponents)
        return group_pb.GetMulticastGroupResponse(multicast_group=message)

    @api
    def Update(self, request: group_pb.UpdateMulticastGroupRequest) -> Empty:
        message = request.multicast_group
        settings = spelling.settings(message, self.conditions.exponents)
        self.chirpstack.update_group(spelling.group_id("id", message.id), settings, f_cnt=message.f_cnt)
        return Empty()

    @api
    def Delete(self, request: group_pb.DeleteMulticastGroupRequest) -> Empty:
        self.chirpstack.delete_group(spelling.group_id("id", request.id))
        return Empty()

    @api
    def List(self, request: group_pb.ListMulticastGroupsRequest) -> group_pb.ListMulticastGroupsResponse:
        if self.conditions.limited:
            self.chirpstack.application(request.application_id)
        member = spelling.dev_eui(request.dev_eui) if request.dev_eui else None
        found = [
            group
            for group in self.chirpstack.groups_like(request.search, request.application_id or None)
            if member is None or member in group.members
        ]
        page = found[request.offset :][: request.limit]  # none when the limit is 0
        return group_pb.ListMulticastGroupsResponse(
            total_count=len(found),
            result=[
                group_pb.MulticastGroupListItem(
                    id=group.id,
                    name=group.settings.name,
                    region=spelling.region(group.settings),
                    group_type=spelling.group_type(group.settings),
                    application_id=group.settings.application_id,
                    application_name="simulation",
                )
                for group in page
            ],
        )

    @api
    def AddDevice(self, request: group_pb.AddDeviceToMulticastGroupRequest) -> Empty:
        group_id = spelling.group_id("multicast_group_id", request.multicast_group_id)
        dev_eui = spelling.dev_eui(request.dev_eui)
        with inserting("multicast_group_device"):
            self.chirpstack.add_device(group_id, dev_eui)
        return Empty()

    @api
    def RemoveDevice(self, request: group_pb.RemoveDeviceFromMulticastGroupRequest) -> Empty:
        group_id = spelling.group_id("multicast_group_id", request.multicast_group_id)
        self.chirpstack.remove_device(group_id, spelling.dev_eui(request.dev_eui))
        return Empty()

    @api
    def AddGateway(self, request: group_pb.AddGatewayToMulticastGroupRequest) -> Empty:
        group_id = spelling.group_id("multicast_group_id", request.multicast_group_id)
        gateway = spelling.eui("gateway_id", request.gateway_id)
        with inserting("multicast_group_gateway"):
            self.chirpstack.add_gateway(group_id, gateway)
        return Empty()

    @api
    def RemoveGateway(self, request: group_pb.RemoveGatewayFromMulticastGroupRequest) -> Empty:
        group_id = spelling.group_id("multicast_group_id", request.multicast_group_id)
        self.chirpstack.remove_gateway(group_id, spelling.eui("gateway_id", request.gateway_id))
        return Empty()

    @api
    def Enqueue(
        self, request: group_pb.EnqueueMulticastGroupQueueItemRequest
    ) -> group_pb.EnqueueMulticastGroupQueueItemResponse:
        item = request.queue_item
        group_id = spelling.group_id("multicast_group_id", item.multicast_group_id)
        if group_id not in self.chirpstack.groups and not self.conditions.limited:
            raise ApiError("INTERNAL", f"Object does not exist (id: {group_id})")
        queued = self.chirpstack.multicast(group_id, item.f_port, item.data)
        return group_pb.EnqueueMulticastGroupQueueItemResponse(f_cnt=queued.f_cnt)

    @api
    def FlushQueue(self, request: group_pb.FlushMulticastGroupQueueRequest) -> Empty:
        self._queue(request.multicast_group_id).items.clear()
        return Empty()

    @api
    def ListQueue(
        self, request: group_pb.ListMulticastGroupQueueRequest
    ) -> group_pb.ListMulticastGroupQueueResponse:
        items = [
            group_pb.MulticastGroupQueueItem(
                multicast_group_id=request.multicast_group_id,
                f_cnt=item.f_cnt,
                f_port=item.f_port,
                data=item.data,
            )
            for item in self._queue(request.multicast_group_id).items
        ]
        return group_pb.ListMulticastGroupQueueResponse(items=items)

    def _queue(self, group_id: str) -> Queue:
        return self.chirpstack.group(spelling.group_id("multicast_group_id", group_id)).queue


class Devices(DeviceServiceBase, Service):
    """`api.DeviceService`, as far as it is about queues."""

    @api
    def Enqueue(
        self, request: device_pb.EnqueueDeviceQueueItemRequest
    ) -> device_pb.EnqueueDeviceQueueItemResponse:
        item = request.queue_item
        dev_eui = spelling.dev_eui(item.dev_eui)
        with inserting("device_queue_item", "dev_eui", limited=self.conditions.limited):
            queue = self.chirpstack.queue(dev_eui)
        if request.flush_queue:
            queue.items.clear()
        queued = queue.push(item.f_port, item.data, item.confirmed)
        return device_pb.EnqueueDeviceQueueItemResponse(id=item_id(item.dev_eui, queued.f_cnt))

    @api
    def FlushQueue(self, request: device_pb.FlushDeviceQueueRequest) -> Empty:
        self.chirpstack.queue(spelling.dev_eui(request.dev_eui)).items.clear()
        return Empty()

    @api
    def GetQueue(
        self, request: device_pb.GetDeviceQueueItemsRequest
    ) -> device_pb.GetDeviceQueueItemsResponse:
        dev_eui = spelling.dev_eui(request.dev_eui)
        unknown = dev_eui not in self.chirpstack.applications and not self.conditions.limited
        waiting = () if unknown else self.chirpstack.queue(dev_eui).items
        items = [
            device_pb.DeviceQueueItem(
                id=item_id(request.dev_eui, item.f_cnt),
                dev_eui=request.dev_eui,
                confirmed=item.confirmed,
                f_port=item.f_port,
                data=item.data,
            )
            for item in waiting
        ]
        return device_pb.GetDeviceQueueItemsResponse(
            total_count=len(items), result=() if request.count_only else items
        )


class DeviceProfiles(DeviceProfileServiceBase, Service):
    """`api.DeviceProfileService`, as far as every token may use it."""

    @api
    def ListAdrAlgorithms(self, request: Empty) -> profile_pb.ListDeviceProfileAdrAlgorithmsResponse:
        default = profile_pb.AdrAlgorithmListItem(id="default", name="Default ADR algorithm")
        return profile_pb.ListDeviceProfileAdrAlgorithmsResponse(total_count=1, result=[default])


@contextmanager
def inserting(table: str, pointer: str = "", *, limited: bool = False) -> Iterator[None]:
    """Around what makes a row in the table.

    `pointer`: the column whose target is not looked for before, unless the token is limited.
    """
    try:
        yield
    except ApiError as error:
        if error.status == "ALREADY_EXISTS":
            raise ApiError(
                "INTERNAL", f'duplicate key value violates unique constraint "{table}_pkey"'
            ) from error
        if error.status == "NOT_FOUND" and pointer and not limited:
            constraint = f'violates foreign key constraint "{table}_{pointer}_fkey"'
            raise ApiError("INTERNAL", f'insert or update on table "{table}" {constraint}') from error
        raise


def item_id(dev_eui: str, number: int) -> str:
    """A UUID for each downlink of each device."""
    return str(uuid5(NAMESPACE_OID, f"{dev_eui} {number}"))


serve_api = partial(serve_services, (MulticastGroups, Devices, DeviceProfiles))
