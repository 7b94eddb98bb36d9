"""Where a deployment stands. A state's size does not depend on the number of devices.

Which devices are still awaited is never written here: each device's own state says where it stands, and
they are read with the deployment when it is resumed.
"""

from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

import attrs

S = TypeVar("S", bound="InSession")


class Why(Enum):
    """Why a deployment ended."""

    DONE = "done"
    NOBODY_LEFT = "nobody-left"
    GROUP_REFUSED = "group-refused"
    GROUP_LOST = "group-lost"
    CANCELLED = "cancelled"


@attrs.frozen
class Session:
    """One window in which the devices listen to the group: the same for all of them, and never moved. (One
    that nobody agrees to ends as it begins.)"""

    number: int
    """Counts from 1; a deployment may need more than one."""
    start: datetime
    end: datetime
    put_off: int = 0
    """How often the start was put off before, while the network worked, for those not asked in time."""
    empty: bool = False
    """Nobody agreed to it, and nothing was sent in it, nor before in its round."""


@attrs.frozen
class Round:
    """All fragments once, in one window or several."""

    number: int = 1
    """Counts from 1: those that follow are for devices that are `Incomplete`."""
    windows: int = 0
    """That had closed when it began."""
    incomplete: int = 0
    """Devices that it is for; 0 in the first, which is for all."""
    lost: int = 0
    """How often the group had been made again when its devices were set up."""


@attrs.frozen
class CreatingGroup:
    """The network is asked for the multicast group."""

    again: bool = False
    """There was one, and somebody has deleted it."""


@attrs.frozen
class CreatingGroupInVain:
    """The deployment was cancelled while its group was being made: the devices are let go, and the answer is
    awaited to undo it."""


@attrs.frozen
class SettingUpGroups:
    """Devices join the group and are given its key."""

    group_id: str
    again: bool = False


@attrs.frozen
class SettingUpFragments:
    """Every device has the group or has failed; some have no fragmentation session yet.

    If the group was made `again`, those that joined the one before are made its members first.
    """

    group_id: str
    again: bool = False


@attrs.frozen
class InSession:
    """What the states have in common in which there is a session."""

    group_id: str
    session: Session
    sent: int
    """Fragments of this round that are in the queue, or were heard in earlier sessions: the next one is
    `sent` + 1."""
    lost: int = 0
    """How often the group had to be made again."""
    used: int = 0
    """Windows that have closed, and others followed."""
    before: int = attrs.field(default=0, kw_only=True)
    """Fragments of this round that were heard in those."""
    round: Round = attrs.field(default=Round(), kw_only=True)

    def to(self, kind: type[S], **changes: Any) -> S:
        """A state of that kind, which has the same of these, but for `changes`."""
        common = {field.name: getattr(self, field.name) for field in attrs.fields(InSession)}
        return kind(**{**common, **changes})


@attrs.frozen
class ArrangingSession(InSession):
    """The start is fixed, and the devices are told."""


@attrs.frozen
class AwaitingStart(InSession):
    """Every device that is left has agreed to the session."""


@attrs.frozen
class Transmitting(InSession):
    """Fragments go into the group's queue, in order; the cursor is moved on batch by batch."""

    upto: int = 0
    """The last fragment of the batch that is on its way into the queue; 0: that of a full batch."""
    drained: datetime | None = None
    """When what was in the queue before this batch has been on the air, at the earliest."""


@attrs.frozen
class RestoringGroup:
    """Somebody has deleted the group, and what was queued for it: it is made again, with its members."""

    session: Session
    lost: int
    used: int = 0
    before: int = 0
    """Fragments that were heard in windows which had closed: what follows them is sent again."""
    round: Round = Round()
    repeating: bool = False
    """Not all devices of the round were set up."""


@attrs.frozen
class AwaitingEnd(InSession):
    """All fragments are in the queue, or all that can still be heard; the devices listen until the end.

    Then the queue is looked at, unless it has been `looked` at and was empty.
    """

    looked: bool = False


@attrs.frozen
class Settling(InSession):
    """The devices are asked what they have received, or let go if that was the order.

    If they still listen the queue is looked at when they do not any more, unless it was empty before.
    """

    looked: bool = False


@attrs.frozen
class Repeating(InSession):
    """The devices that are incomplete are set up once more, for another round."""

    drained: bool = True
    """Whether nobody needs what still waits in the queue: some devices say that they are complete, and listen
    for more (`Draining`)."""


@attrs.frozen
class Concluding(InSession):
    """No other round follows: the devices that are incomplete are told."""


@attrs.frozen
class Draining:
    """All devices have settled, and still listen: the group is deleted when nothing waits in its queue."""

    group_id: str
    until: datetime


@attrs.frozen
class Abandoning:
    """The deployment can not go on; the devices that are left are let go."""

    why: Why
    detail: str


@attrs.frozen
class DeletingGroup:
    """All devices have settled; the network is asked to delete the group."""

    why: Why
    detail: str


@attrs.frozen
class Ended:
    """Nothing is left to do."""

    why: Why
    detail: str


State = (
    CreatingGroup
    | CreatingGroupInVain
    | SettingUpGroups
    | SettingUpFragments
    | ArrangingSession
    | AwaitingStart
    | Transmitting
    | RestoringGroup
    | AwaitingEnd
    | Settling
    | Repeating
    | Concluding
    | Draining
    | Abandoning
    | DeletingGroup
    | Ended
)
