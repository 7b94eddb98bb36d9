"""What entering a state asks of the world: a pure function of the state, whichever way it was reached."""

from datetime import datetime
from typing import assert_never

import attrs

from fuota.deployment.machine import BATCH
from fuota.deployment.plan import Plan, StatusRequest
from fuota.deployment.states import (
    Abandoning,
    ArrangingSession,
    AwaitingEnd,
    AwaitingStart,
    Concluding,
    CreatingGroup,
    CreatingGroupInVain,
    DeletingGroup,
    Draining,
    Ended,
    Repeating,
    RestoringGroup,
    SettingUpFragments,
    SettingUpGroups,
    Settling,
    State,
    Transmitting,
)
from fuota.deployment.windows import opening
from fuota.device import messages as device
from fuota.device.standing import Stage

WAITING = frozenset({Stage.GROUP, Stage.PREPARED, Stage.ASKED, Stage.READY, Stage.UNHEARD, Stage.INCOMPLETE})
"""Stages in which a device whose actor has begun anew may wait to be told what the others know."""


@attrs.frozen
class CreateGroup:
    """Ask the network for the group; `GroupCreated` or `GroupRefused` comes back."""

    f_cnt: int = 0
    """With which it begins."""
    members: bool = True
    """Whether the devices that were members of the one before are made so again."""


@attrs.frozen
class JoinAgain:
    """Make the devices that have the key members of this group too; `Counted` comes back, and not before."""

    group_id: str


@attrs.frozen
class Multicast:
    """Put fragments `after + 1` … `upto` into the group's queue.

    `FragmentsEnqueued`, `GroupLost` or `GroupRefused` comes back.
    """

    group_id: str
    after: int
    upto: int


@attrs.frozen
class Watch:
    """Look for the group and at its queue from time to time until the window closes.

    `GroupLost`, `Emptied` or `Waiting` comes back.
    """

    group_id: str
    until: datetime


@attrs.frozen
class Flush:
    """Empty the group's queue; `Flushed` comes back."""

    group_id: str


@attrs.frozen
class Drain:
    """See the group's queue emptied by the network, for as long as anybody listens.

    `Drained` or `GroupLost` comes back.
    """

    group_id: str
    until: datetime


@attrs.frozen
class WakeAt:
    """`Expired` comes at this instant."""

    at: datetime


@attrs.frozen
class DeleteGroup:
    """Have the network delete the group; `GroupDeleted` comes back."""


@attrs.frozen
class Leave:
    """The actor has nothing left to do."""


Effect = CreateGroup | JoinAgain | Multicast | Watch | Flush | Drain | WakeAt | DeleteGroup | Leave


def effects(plan: Plan, state: State) -> tuple[Effect, ...]:
    """What `state` asks for."""
    match state:
        case CreatingGroup():
            return (CreateGroup(),)
        case CreatingGroupInVain():
            return (CreateGroup(members=False),)
        case RestoringGroup(_, lost, used):
            return (CreateGroup(plan.mc_fcnt(lost, used)),)
        case SettingUpFragments(group_id, again=True):
            return (JoinAgain(group_id),)
        case ArrangingSession(group_id, session) | AwaitingStart(group_id, session) as here:
            # who had joined a group that was lost may have answered before it was told of the next
            late = isinstance(here, ArrangingSession) and here.round.number > 1 and here.lost > 0
            join_again = (JoinAgain(group_id),) if late else ()
            flush = (Flush(group_id),) if here.used else ()
            return (*join_again, *flush, WakeAt(opening(plan, session)))
        case Transmitting(group_id, session, sent, upto=upto):
            batch = Multicast(group_id, sent, upto or min(sent + BATCH, plan.fragments))
            return (batch, WakeAt(session.end))
        case AwaitingEnd(session=session, looked=True):
            return (WakeAt(session.end),)
        case Settling(looked=True):
            return ()
        case AwaitingEnd(group_id, session) | Settling(group_id, session):
            return (Watch(group_id, session.end),)
        case Repeating(group_id, session, drained=drained):  # what waits there is of the round before
            return (Flush(group_id),) if drained else (Drain(group_id, session.end),)
        case Draining(group_id, until):
            return (Drain(group_id, until),)
        case DeletingGroup():
            return (DeleteGroup(),)
        case Ended():
            return (Leave(),)
        case SettingUpGroups() | SettingUpFragments() | Concluding() | Abandoning():
            return ()
        case _:
            assert_never(state)


def instruction(plan: Plan, state: State) -> device.Instruction | None:
    """What every device is to know while its deployment is in `state`; who knows it already ignores it."""
    match state:
        case SettingUpGroups(group_id) | SettingUpFragments(group_id) | Repeating(group_id):
            return device.Begin(group_id)
        case ArrangingSession(session=session) | AwaitingStart(session=session):
            return device.Arrange(session)
        case Transmitting(session=session) | AwaitingEnd(session=session):
            return device.Close(session)
        case Settling(session=session, sent=sent, looked=looked):
            ask = plan.status_request is not StatusRequest.NO_REQUEST
            return device.Verify(session, looked) if ask else device.Release(sent == plan.fragments)
        case Concluding():
            return device.Conclude()
        case CreatingGroupInVain():  # the answer may be long in coming, and says nothing that they wait for
            return device.Abandon("cancelled")
        case Abandoning(_, detail):
            return device.Abandon(detail)
        case CreatingGroup() | RestoringGroup() | Draining() | DeletingGroup() | Ended():
            return None
        case _:
            assert_never(state)


def may_wait(stage: Stage, told: device.Instruction) -> bool:
    """Whether a device that says where it stands may not have heard what it was told."""
    return stage in WAITING or (isinstance(told, device.Abandon) and stage < Stage.LEAVING)
