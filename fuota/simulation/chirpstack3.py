"""The simulated ChirpStack behind the API of the Application Server v3, over real sockets."""

from functools import partial

from google.protobuf.empty_pb2 import Empty

from fuota.generated.chirpstack3 import device_queue_pb2 as queue_pb
from fuota.generated.chirpstack3 import multicast_group_pb2 as group_pb
from fuota.generated.chirpstack3.device_queue_grpc import DeviceQueueServiceBase
from fuota.generated.chirpstack3.multicast_group_grpc import MulticastGroupServiceBase
from fuota.simulation import spelling3 as spelling
from fuota.simulation.api import Service, api, serve_services
from fuota.simulation.chirpstack import ApiError, Queue


class MulticastGroups(MulticastGroupServiceBase, Service):
    """`api.MulticastGroupService`."""

    @api
    def Create(self, request: group_pb.CreateMulticastGroupRequest) -> group_pb.CreateMulticastGroupResponse:
        message = request.multicast_group
        group = self.chirpstack.create_group(spelling.settings(message), f_cnt=message.f_cnt)
        return group_pb.CreateMulticastGroupResponse(id=group.id)

    @api
    def Get(self, request: group_pb.GetMulticastGroupRequest) -> group_pb.GetMulticastGroupResponse:
        group = self.chirpstack.group(spelling.group_id("id", request.id))
        return group_pb.GetMulticastGroupResponse(multicast_group=spelling.multicast_group(group))

    @api
    def Delete(self, request: group_pb.DeleteMulticastGroupRequest) -> Empty:
        self.chirpstack.delete_group(spelling.group_id("id", request.id))
        return Empty()

    @api
    def List(self, request: group_pb.ListMulticastGroupRequest) -> group_pb.ListMulticastGroupResponse:
        member = spelling.dev_eui(request.dev_eui) if request.dev_eui else None
        application_id = str(request.application_id) if request.application_id else None
        if self.conditions.limited:
            self.chirpstack.application(str(request.application_id))
        found = [
            group
            for group in self.chirpstack.groups_like(request.search, application_id)
            if member is None or member in group.members
        ]
        page = found[request.offset :][: request.limit]  # none when the limit is 0
        return group_pb.ListMulticastGroupResponse(
            total_count=len(found),
            result=[
                group_pb.MulticastGroupListItem(
                    id=group.id,
                    name=group.settings.name,
                    application_id=int(group.settings.application_id),
                    application_name="simulation",
                )
                for group in page
            ],
        )

    @api
    def AddDevice(self, request: group_pb.AddDeviceToMulticastGroupRequest) -> Empty:
        group_id = spelling.group_id("multicast_group_id", request.multicast_group_id)
        self.chirpstack.add_device(group_id, spelling.dev_eui(request.dev_eui))
        return Empty()

    @api
    def RemoveDevice(self, request: group_pb.RemoveDeviceFromMulticastGroupRequest) -> Empty:
        group_id = spelling.group_id("multicast_group_id", request.multicast_group_id)
        self.chirpstack.remove_device(group_id, spelling.dev_eui(request.dev_eui))
        return Empty()

    @api
    def Enqueue(
        self, request: group_pb.EnqueueMulticastQueueItemRequest
    ) -> group_pb.EnqueueMulticastQueueItemResponse:
        item = request.multicast_queue_item
        group_id = spelling.group_id("multicast_group_id", item.multicast_group_id)
        if group_id not in self.chirpstack.groups and not self.conditions.limited:
            missing = "get multicast-group error: object does not exist"
            raise ApiError("INTERNAL", f"enqueue multicast-group queue-item error: {missing}")
        queued = self.chirpstack.multicast(group_id, item.f_port, item.data)
        return group_pb.EnqueueMulticastQueueItemResponse(f_cnt=queued.f_cnt)

    @api
    def FlushQueue(self, request: group_pb.FlushMulticastGroupQueueItemsRequest) -> Empty:
        self._queue(request.multicast_group_id).items.clear()
        return Empty()

    @api
    def ListQueue(
        self, request: group_pb.ListMulticastGroupQueueItemsRequest
    ) -> group_pb.ListMulticastGroupQueueItemsResponse:
        items = [
            group_pb.MulticastQueueItem(
                multicast_group_id=request.multicast_group_id,
                f_cnt=item.f_cnt,
                f_port=item.f_port,
                data=item.data,
            )
            for item in self._queue(request.multicast_group_id).items
        ]
        return group_pb.ListMulticastGroupQueueItemsResponse(multicast_queue_items=items)

    def _queue(self, group_id: str) -> Queue:
        return self.chirpstack.group(spelling.group_id("multicast_group_id", group_id)).queue


class DeviceQueues(DeviceQueueServiceBase, Service):
    """`api.DeviceQueueService`."""

    @api
    def Enqueue(
        self, request: queue_pb.EnqueueDeviceQueueItemRequest
    ) -> queue_pb.EnqueueDeviceQueueItemResponse:
        item = request.device_queue_item
        if item.json_object:
            raise ApiError("FAILED_PRECONDITION", "no or invalid codec configured for application")
        queue = self.chirpstack.queue(spelling.dev_eui(item.dev_eui))
        queued = queue.push(item.f_port, item.data, item.confirmed)
        return queue_pb.EnqueueDeviceQueueItemResponse(f_cnt=queued.f_cnt)

    @api
    def Flush(self, request: queue_pb.FlushDeviceQueueRequest) -> Empty:
        self.chirpstack.queue(spelling.dev_eui(request.dev_eui)).items.clear()
        return Empty()

    @api
    def List(self, request: queue_pb.ListDeviceQueueItemsRequest) -> queue_pb.ListDeviceQueueItemsResponse:
        waiting = self.chirpstack.queue(spelling.dev_eui(request.dev_eui)).items
        items = [
            queue_pb.DeviceQueueItem(
                dev_eui=request.dev_eui,
                confirmed=item.confirmed,
                f_cnt=item.f_cnt,
                f_port=item.f_port,
                data=item.data,
            )
            for item in waiting
        ]
        return queue_pb.ListDeviceQueueItemsResponse(
            device_queue_items=() if request.count_only else items, total_count=len(items)
        )


serve_api = partial(serve_services, (MulticastGroups, DeviceQueues))
