"""What the server needs of a LoRaWAN network, whichever generation of ChirpStack provides it."""

from collections.abc import Callable
from typing import Protocol
from uuid import UUID

import attrs

from fuota.deployment.plan import ClassCScheduling, MulticastClass
from fuota.lorawan.eui import EUI64
from fuota.lorawan.region import Region


class NetworkError(Exception):
    """The network could not do what was asked."""

    def __init__(self, status: str, detail: str) -> None:
        super().__init__(f"{status}: {detail}" if detail else status)
        self.status = status
        self.detail = detail


class Unreachable(NetworkError):
    """The network can not be reached, or takes nothing at present: asking again later may well help."""


class GroupGone(NetworkError):
    """The multicast group that the call is about does not exist any more; asking again would not help."""


class NotActivated(NetworkError):
    """The device has no session with the network at present: it takes a downlink when it has joined again."""


class Trouble(NetworkError):
    """The network failed in itself (INTERNAL, UNKNOWN): asking again may help, but not for ever."""

    alone: bool = True
    """Whether other calls were answered just before: then it is this one that has the trouble."""


class TokenRefused(Trouble):
    """The network refuses the token of this server, or what was asked with it."""

    own: bool = False
    """Whether the token is good otherwise: then what the call is about is not the token's."""


class Refused(NetworkError):
    """The network understood and declined: asking again would not help."""


class NotFound(Refused):
    """What the call is about does not exist: the device, the group or the application."""


def answered(error: NetworkError) -> bool:
    """Whether it is said by a network that works."""
    if isinstance(error, TokenRefused):
        return error.own
    return isinstance(error, Refused | GroupGone | NotActivated)


@attrs.frozen
class About:
    """What a call is about, as far as that is known."""

    application_id: str = ""
    """Its devices have one Network Server, which may be away; see also `TokenRefused.own`."""
    group: str = ""
    """The name of that of the deployment for which it is made: a few calls do not wait behind a crowd."""


ANYTHING = About()


@attrs.frozen(kw_only=True)
class Group:
    """A multicast group as the network has to know it."""

    name: str
    """By which it is found again; unique to its deployment."""
    application_id: str
    mc_class: MulticastClass
    mc_addr: int
    mc_nwk_s_key: bytes = attrs.field(repr=False)
    mc_app_s_key: bytes = attrs.field(repr=False)
    frequency: int
    """Hz."""
    dr: int
    periodicity: int
    """Class B ping-slot periodicity, 0–7."""
    f_cnt: int = 0
    """With which its frame counter begins."""
    region: Region | None = None
    """None where the network does not ask (ChirpStack v3)."""
    class_c_scheduling: ClassCScheduling = ClassCScheduling.DELAY
    gateways: tuple[str, ...] = ()
    """EUIs of those that send to it; with none the network chooses. (ChirpStack v3 always does.)"""

    @property
    def about(self) -> About:
        return About(self.application_id, self.name)


@attrs.frozen
class KnownGroup:
    """A multicast group that the network has made."""

    id: str
    name: str
    application_id: str

    @property
    def about(self) -> About:
        return About(self.application_id, self.name)


@attrs.frozen
class Queued:
    """A unicast downlink that waits in its device's queue."""

    item: str
    """By which a `Fate` names it."""
    already: bool = False
    """It was there before."""


def group_name(deployment_id: UUID) -> str:
    """By which the group of a deployment is found again."""
    return f"fuota-{deployment_id}"


class Network(Protocol):
    """Every call raises `NetworkError` and nothing else; each has a time limit of its own.

    Calls may run side by side, and the implementation bounds how many do. Only those that change one group's
    queue (`multicast`, `flush`) are made one after the other, and `multicast` after `waiting`.
    """

    async def ensure_group(self, group: Group) -> str:
        """The id of the group of this name, which is made if there is none. May be repeated."""

    async def has_group(self, group: KnownGroup) -> bool:
        """Whether the group still exists."""

    async def add_device(self, group: KnownGroup, dev_eui: EUI64) -> None:
        """Make the device a member. May be repeated. Raises `GroupGone` where that is what is wrong."""

    async def downlink(
        self,
        dev_eui: EUI64,
        f_port: int,
        data: bytes,
        *,
        unless_pending: bool,
        urgent: bool = False,
        about: About = ANYTHING,
    ) -> Queued:
        """Put a unicast downlink into the device's queue.

        `unless_pending`: not if the same payload still waits there, as it does when a request is
        repeated to a device that has not been heard since. Then that is what is returned, the last
        of several.

        `urgent`: it does not wait behind any that is not.

        Raises `NotActivated` where the network says so.
        """

    async def withdraw(
        self, dev_eui: EUI64, ours: Callable[[int, bytes], bool], *, about: About = ANYTHING
    ) -> bool:
        """Empty the device's queue, if `ours` is true of port and payload of all that waits there.

        It can only be emptied as a whole. False: something else waits there, and all of it still does.
        (What comes into the queue between a look at it and its emptying is lost.) May be repeated.
        """

    async def multicast(self, group: KnownGroup, f_port: int, data: bytes) -> None:
        """Put a downlink behind those already in the group's queue. Raises `GroupGone` like `add_device`."""

    async def waiting(self, group: KnownGroup) -> frozenset[tuple[int, bytes]]:
        """FCnt and payload of the downlinks in the group's queue. Raises `GroupGone` where that is said.

        With several gateways, each may be there for several of them.
        """

    async def flush(self, group: KnownGroup) -> None:
        """Empty the group's queue. May be repeated; that the group is gone is fine."""

    async def delete_group(self, group: Group) -> None:
        """Take out all that is queued for the group of this name, and delete it. May be repeated."""
