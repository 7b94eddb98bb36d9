"""What ChirpStack keeps: devices, their downlink queues, multicast groups. No wire, no time."""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from uuid import UUID

import attrs

from fuota.deployment.plan import ClassCScheduling
from fuota.lorawan.eui import EUI64
from fuota.lorawan.region import Region
from fuota.simulation.radio import Channel


class ApiError(Exception):
    """What the API answers instead of a result: a gRPC status by its name, and a text."""

    def __init__(self, status: str, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


@attrs.frozen
class Item:
    """One downlink that waits."""

    f_port: int
    data: bytes
    f_cnt: int
    confirmed: bool = False


@attrs.define
class Queue:
    """Downlinks in their order, each with the frame counter that it was given when it came."""

    next_f_cnt: int = 0
    items: deque[Item] = attrs.field(factory=deque)
    on_push: Callable[[], None] | None = attrs.field(default=None, repr=False)

    def push(self, f_port: int, data: bytes, confirmed: bool = False) -> Item:
        if not 1 <= f_port <= 255:
            raise ApiError("INVALID_ARGUMENT", "f_port must be > 0")
        item = Item(f_port, data, self.next_f_cnt, confirmed)
        self.next_f_cnt += 1
        self.items.append(item)
        if self.on_push is not None:
            self.on_push()
        return item


@attrs.frozen(kw_only=True)
class GroupSettings:
    """A multicast group as it was ordered."""

    name: str
    application_id: str
    channel: Channel
    mc_addr: int
    mc_nwk_s_key: bytes = attrs.field(repr=False)
    mc_app_s_key: bytes = attrs.field(repr=False)
    region: Region | None = None
    """None where the API does not say (v3)."""
    class_c_scheduling: ClassCScheduling = ClassCScheduling.DELAY


@attrs.define(eq=False)
class Group:
    """A multicast group, its members and its queue."""

    id: str
    settings: GroupSettings
    queue: Queue
    members: dict[EUI64, None] = attrs.field(factory=dict)
    gateways: dict[EUI64, None] = attrs.field(factory=dict)
    """That send for it; with none ChirpStack chooses."""


@attrs.define
class ChirpStack:
    """Devices and multicast groups; raises `ApiError` as the Application Server's API does."""

    applications: dict[EUI64, str]
    """Each device's application id."""
    on_multicast: Callable[[Group], None] = attrs.field(repr=False)
    """Called when something was put into a group's queue."""
    on_unicast: Callable[[EUI64], None] = attrs.field(repr=False)
    """The same for a device's."""
    groups: dict[str, Group] = attrs.field(factory=dict, init=False)
    _made: int = attrs.field(default=0, init=False)
    """Groups, ever."""
    _queues: dict[EUI64, Queue] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._queues = {
            dev_eui: Queue(on_push=partial(self.on_unicast, dev_eui)) for dev_eui in self.applications
        }

    def queue(self, dev_eui: EUI64) -> Queue:
        """The downlink queue of a device."""
        try:
            return self._queues[dev_eui]
        except KeyError:
            raise ApiError("NOT_FOUND", f"device {dev_eui} does not exist") from None

    def group(self, group_id: str) -> Group:
        try:
            return self.groups[group_id]
        except KeyError:
            raise ApiError("NOT_FOUND", f"multicast-group {group_id} does not exist") from None

    def application(self, application_id: str) -> None:
        if application_id not in self.applications.values():
            raise ApiError("NOT_FOUND", f"application {application_id} does not exist")

    def create_group(self, settings: GroupSettings, *, f_cnt: int = 0) -> Group:
        """Make a group. ChirpStack gives it an id and minds no second one of the same name."""
        self.application(settings.application_id)
        self._made += 1
        group = Group(str(UUID(int=self._made, version=4)), settings, Queue(f_cnt))
        self.groups[group.id] = group
        return group

    def update_group(self, group_id: str, settings: GroupSettings, *, f_cnt: int) -> None:
        group = self.group(group_id)
        group.settings, group.queue.next_f_cnt = settings, f_cnt

    def delete_group(self, group_id: str) -> None:
        del self.groups[self.group(group_id).id]

    def groups_like(self, search: str, application_id: str | None) -> Iterable[Group]:
        """Groups whose name holds `search`, ordered by name."""
        found = [
            group
            for group in self.groups.values()
            if search in group.settings.name and application_id in (None, group.settings.application_id)
        ]
        return sorted(found, key=lambda group: group.settings.name)

    def add_device(self, group_id: str, dev_eui: EUI64) -> None:
        group = self.group(group_id)
        self.queue(dev_eui)
        if self.applications[dev_eui] != group.settings.application_id:
            raise ApiError(
                "FAILED_PRECONDITION", "device and multicast-group are not of the same application"
            )
        if dev_eui in group.members:
            raise ApiError("ALREADY_EXISTS", f"device {dev_eui} is a member already")
        group.members[dev_eui] = None

    def remove_device(self, group_id: str, dev_eui: EUI64) -> None:
        group = self.group(group_id)
        if dev_eui not in group.members:
            raise ApiError("NOT_FOUND", f"device {dev_eui} is no member")
        del group.members[dev_eui]

    def add_gateway(self, group_id: str, gateway: EUI64) -> None:
        gateways = self.group(group_id).gateways
        if gateway in gateways:
            raise ApiError("ALREADY_EXISTS", f"gateway {gateway} sends to the group already")
        gateways[gateway] = None

    def remove_gateway(self, group_id: str, gateway: EUI64) -> None:
        self.group(group_id).gateways.pop(gateway, None)

    def multicast(self, group_id: str, f_port: int, data: bytes) -> Item:
        """Put a downlink behind those in the group's queue."""
        group = self.group(group_id)
        item = group.queue.push(f_port, data)
        self.on_multicast(group)
        return item
