"""What a deployment actor is told."""

from collections.abc import Callable
from datetime import timedelta

import attrs

from fuota.deployment.states import State
from fuota.device.standing import Standing
from fuota.lorawan.eui import EUI64


@attrs.frozen
class Tally:
    """How many devices are at which stage of the present session; all together they are the fleet."""

    group: int
    fragments: int
    prepared: int
    asked: int
    ready: int
    unheard: int
    leaving: int
    settled: int
    complete: int
    """Of those settled."""
    released: int = 0
    """Of those settled: all was sent to them, and they were not asked, for that was the order, or did not say
    clearly that they have it."""
    incomplete: int = 0
    """Of those left: those that wait to be set up for another round, for they have not enough."""

    def undisturbed(self) -> "Tally":
        """The same, if none of the devices has had its time to agree."""
        return attrs.evolve(self, prepared=self.prepared + self.asked, asked=0)

    def unasked(self) -> "Tally":
        """The same, if nobody has been asked for this session."""
        return attrs.evolve(self, prepared=self.listening, asked=0, ready=0)

    def under_way(self) -> dict[str, int]:
        """How many devices are at each stage, without those that have settled and without zeros."""
        stages = {
            name: getattr(self, name)
            for name in (
                "group",
                "fragments",
                "prepared",
                "asked",
                "ready",
                "unheard",
                "incomplete",
                "leaving",
            )
        }
        return {name: number for name, number in stages.items() if number}

    @property
    def listening(self) -> int:
        """Those who have to be told of another session."""
        return self.prepared + self.asked + self.ready

    @property
    def reached(self) -> int:
        """Those who could be asked for the session, whatever they have answered."""
        return self.ready + self.unheard

    @property
    def behind(self) -> int:
        """Those who have yet to be set up for another round."""
        return self.incomplete + self.group + self.fragments

    @property
    def deserted(self) -> bool:
        """Nobody is left of whom it is known that it may listen."""
        return not (self.group or self.fragments or self.listening or self.leaving)

    @property
    def all_told(self) -> bool:
        """Of each device it is known what it has of the session, or that it does not say."""
        return self.deserted and not self.unheard

    @property
    def all_settled(self) -> bool:
        return self.all_told and not self.incomplete


@attrs.frozen
class GroupCreated:
    """The network has the group."""

    group_id: str
    members: int = 0
    """Devices that were made its members with it, as they were of one that was lost."""


@attrs.frozen
class GroupRefused:
    """The network declines to make the group."""

    detail: str


@attrs.frozen
class GroupLost:
    """The network does not have the group any more: somebody has deleted it."""

    group_id: str
    detail: str


@attrs.frozen
class Counted:
    """A device has moved on."""

    tally: Tally


@attrs.frozen
class FragmentsEnqueued:
    """All fragments up to number `sent` are in the group's queue."""

    sent: int


@attrs.frozen
class Expired:
    """The instant the present state waits for has come."""

    tally: Tally
    away: bool = False
    """Whether the network does not work at present."""
    slow: int = 0
    """How many devices it has not asked in time, though it works."""


@attrs.frozen
class Looked:
    """The start is to come, of which `alarm` told; whether the network is `away`, for this deployment."""

    alarm: Expired
    away: bool


@attrs.frozen
class Waiting:
    """The window has closed; `left` fragments have not left the group's queue."""

    left: int
    listening: int = 0
    """Devices that would have to be told of another session."""
    moved: bool = False
    """Whether anything was seen to leave it."""
    late: timedelta = timedelta(0)
    """For how long the window had been closed when the queue was looked at."""
    lowest: int | None = None
    """The lowest number of those that wait; None if it is not known."""
    in_time: int | None = None
    """The same at the last look when all devices listened, whatever their clocks."""


@attrs.frozen
class Emptied:
    """Everything has left the group's queue, and the devices listen still; or the window has closed, and the
    network has never shown the queue."""


@attrs.frozen
class Flushed:
    """Nothing waits in the group's queue any more."""


@attrs.frozen
class Drained:
    """Nothing waits in the group's queue any more, or nobody listens."""


@attrs.frozen
class GroupDeleted:
    """The network does not have the group any more."""


@attrs.frozen
class Cancel:
    """Stop the deployment and undo what can be undone."""


@attrs.frozen
class Announced:
    """A device says where it stands: whenever that changes, and when its actor has begun anew."""

    dev_eui: EUI64
    standing: Standing
    version: int
    """Of the state in which it does."""


Fact = (
    GroupCreated
    | GroupRefused
    | GroupLost
    | Counted
    | FragmentsEnqueued
    | Expired
    | Waiting
    | Emptied
    | Flushed
    | Drained
    | GroupDeleted
    | Cancel
)
"""What the machine understands."""


@attrs.frozen
class Cancellation:
    """`Cancel`, from somebody who waits for the state that the deployment is in then; it is written."""

    answer: Callable[[State], None]


@attrs.frozen
class Inquiry:
    """What does the network say, if it does not do what it is asked?"""

    answer: Callable[[str], None]


Message = Fact | Looked | Announced | Cancellation | Inquiry
"""What the actor understands."""
