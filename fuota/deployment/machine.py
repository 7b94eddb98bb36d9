"""The life of a deployment, as a pure function.

    CreatingGroup ─ SettingUpGroups ─ SettingUpFragments ─ ArrangingSession ─ AwaitingStart
        ─ Transmitting (─ RestoringGroup) ─ (AwaitingEnd) ─ Settling (─ Repeating ─ ArrangingSession …)
        (─ Concluding) (─ Draining) ─ DeletingGroup ─ Ended

Devices go through the unicast steps at their own pace; the deployment only counts them. The start of the
session is the one barrier: it is fixed when every device is prepared or has failed. A window that closes
before all fragments have left the queue, early enough to be heard, is followed by another, for all devices
alike, which goes on where it stopped. (A queue of which nothing at all has left is no reason: another window
would not help it.) Devices that then tell that they have not enough are set up anew, and all is sent once more,
and again for as long as each round leaves fewer of them.
"""

from datetime import datetime

import attrs

from fuota.deployment.messages import (
    Cancel,
    Counted,
    Drained,
    Emptied,
    Expired,
    Fact,
    FragmentsEnqueued,
    GroupCreated,
    GroupDeleted,
    GroupLost,
    GroupRefused,
    Tally,
    Waiting,
)
from fuota.deployment.pace import drained, first, room
from fuota.deployment.plan import RESTORATIONS, Plan, StatusRequest
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
    InSession,
    Repeating,
    RestoringGroup,
    Round,
    Session,
    SettingUpFragments,
    SettingUpGroups,
    Settling,
    State,
    Transmitting,
    Why,
)
from fuota.deployment.windows import (
    after,
    following,
    heard,
    may_be_put_off,
    may_follow,
    opening,
    session,
    too_late,
    worth_another,
)

BATCH = 20
"""Fragments between two commits of the cursor: what a crash may repeat."""


def step(plan: Plan, state: State, message: Fact, now: datetime) -> State:
    """The state after `message`; the same one if it does not matter."""
    # fmt: off
    match state, message:
        case (Ended() | DeletingGroup() | Abandoning() | CreatingGroupInVain()), Cancel(): return state
        case (CreatingGroup() | RestoringGroup()), Cancel(): return CreatingGroupInVain()
        case _, Cancel(): return Abandoning(Why.CANCELLED, "cancelled")

        case CreatingGroup(again), GroupCreated(group_id): return SettingUpGroups(group_id, again)
        case CreatingGroup(), GroupRefused(detail): return Abandoning(Why.GROUP_REFUSED, detail)
        case CreatingGroupInVain(), GroupCreated() | GroupRefused(): return Abandoning(Why.CANCELLED, "cancelled")
        case SettingUpGroups(group_id), GroupLost(lost_id) if lost_id == group_id: return CreatingGroup(again=True)

        case SettingUpGroups(group_id, again), Counted(tally) if not tally.group: return SettingUpFragments(group_id, again)
        case SettingUpFragments(), Counted(tally) if tally.deserted: return nobody_left(tally)
        case SettingUpFragments(group_id), Counted(tally) if not (tally.group or tally.fragments):
            return ArrangingSession(group_id, session(plan, tally.prepared, now), 0)

        case (ArrangingSession() | AwaitingStart() | Transmitting()) as here, Counted(tally) if tally.all_told:
            return _nobody_to_ask(plan, here, tally)
        case (ArrangingSession() | AwaitingStart()) as here, Expired(tally, away=False) if tally.deserted:
            return _settling(here, now)
        case Transmitting() as here, Counted(tally) if tally.deserted: return _settling(here, now)
        case ArrangingSession() as here, Counted(tally) if tally.ready and not (tally.prepared or tally.asked):
            return here.to(AwaitingStart)
        case (ArrangingSession() | AwaitingStart()) as here, Expired(tally, away, slow) \
                if away or may_be_put_off(plan, here.session, tally, now):
            return here.to(ArrangingSession, session=following(plan, here.session, tally.listening, now, put_off=not away, slow=slow))
        case (ArrangingSession() | AwaitingStart()) as here, Expired() if too_late(plan, here.session, now): return _settling(here, now)
        case (ArrangingSession() | AwaitingStart()) as here, Expired(): return _transmitting(plan, here, now)

        case Transmitting() as here, FragmentsEnqueued(upto) if here.sent < upto <= plan.fragments:
            return _enqueued(plan, here, upto, now)
        case Transmitting() as here, Expired(): return here.to(AwaitingEnd)
        case (Transmitting() | AwaitingEnd() | Settling()) as here, GroupLost() if here.lost < RESTORATIONS:
            return RestoringGroup(here.session, here.lost + 1, here.used, here.before, here.round)
        case Transmitting(), GroupLost(_, detail): return Abandoning(Why.GROUP_LOST, detail)
        case Transmitting(), GroupRefused(detail): return Abandoning(Why.GROUP_REFUSED, detail)
        case RestoringGroup(session_, lost, used, round=round) as here, GroupCreated(group) if here.repeating:
            return Repeating(group, session_, 0, lost, used, round=attrs.evolve(round, lost=lost))
        case RestoringGroup(session_, lost, used, before, round), GroupCreated(group, members):
            window = following(plan, session_, members, now)
            return ArrangingSession(group, window, before, lost, used, before=before, round=round)
        case RestoringGroup(), GroupRefused(detail): return Abandoning(Why.GROUP_LOST, detail)
        case Repeating(group_id) as here, GroupLost(lost_id) if lost_id == group_id and here.lost < RESTORATIONS:
            return RestoringGroup(here.session, here.lost + 1, here.used, 0, here.round, repeating=True)
        case Repeating(group_id), GroupLost(lost_id, detail) if lost_id == group_id: return Abandoning(Why.GROUP_LOST, detail)

        case AwaitingEnd() as here, Emptied(): return here.to(AwaitingEnd, looked=True)
        case Settling() as here, Emptied(): return here.to(Settling, looked=True)
        case AwaitingEnd(looked=True) as here, Expired(tally) if here.sent < plan.fragments and may_follow(plan, here, here.sent):
            return _another(plan, here, here.sent, tally.listening, now)
        case (AwaitingEnd() | Settling()) as here, Waiting() as seen \
                if may_follow(plan, here, heard(plan, here, seen)) \
                and (here.sent < plan.fragments or worth_another(plan, here, seen)):
            return _another(plan, here, heard(plan, here, seen), seen.listening, now)
        case (AwaitingEnd() | Settling(looked=False)) as here, Waiting(): return here.to(Settling, looked=True)
        case AwaitingEnd(), GroupLost(_, detail) if plan.status_request is StatusRequest.NO_REQUEST:
            return Abandoning(Why.GROUP_LOST, detail)
        case (AwaitingEnd() | Settling(looked=False)) as here, GroupLost(): return here.to(Settling, looked=True, lost=here.lost + 1)
        case AwaitingEnd(looked=True) as here, Expired(): return here.to(Settling, looked=True)
        case (AwaitingEnd() | Settling() | Concluding()) as here, Counted(tally) if tally.all_settled: return _all_settled(here, tally, now)
        case Settling() as here, Counted(tally) if tally.all_told: return _all_told(plan, here, tally, now)
        case Repeating() as here, Drained(): return here.to(Repeating, drained=True)
        case Repeating() as here, Counted(tally) if here.drained and tally.all_settled: return DeletingGroup(*_why(tally))
        case Repeating() as here, Counted(tally) if here.drained and not tally.behind:
            return here.to(ArrangingSession, session=after(plan, here.session, tally.prepared, now))
        case Draining(), Drained() | GroupLost(): return DeletingGroup(Why.DONE, "")
        case Abandoning(why, detail), Counted(tally) if tally.all_settled: return DeletingGroup(why, detail)
        case DeletingGroup(why, detail), GroupDeleted(): return Ended(why, detail)

        case _: return state
    # fmt: on


def nobody_left(tally: Tally) -> State:
    """Nobody to send to: because all have failed, unless some had all before their group was deleted."""
    if tally.incomplete:
        return Abandoning(*_why(tally))
    return DeletingGroup(*_why(tally))


def _why(tally: Tally) -> tuple[Why, str]:
    served = tally.complete or tally.released
    return (Why.DONE, "") if served else (Why.NOBODY_LEFT, "no device is left to send to")


def _another(plan: Plan, state: AwaitingEnd | Settling, heard: int, devices: int, now: datetime) -> State:
    """Another window, for what follows the fragments that were `heard`."""
    window = after(plan, state.session, devices, now)
    return state.to(ArrangingSession, session=window, sent=heard, before=heard, used=state.used + 1)


def _settling(state: InSession, now: datetime) -> Settling:
    """Nobody agrees to the session, which has begun, or it is too late for it: nothing is sent in it, and those
    that may listen all the same, or have heard enough in one before, are asked. (What arrives sooner may be
    from an earlier deployment.)
    """
    window = attrs.evolve(state.session, end=min(now, state.session.end), empty=not _begun(state))
    return state.to(Settling, looked=True, session=window)


def _begun(state: InSession) -> bool:
    """Whether anything of this round may have been heard: the cursor does not tell, for it goes back."""
    closed, lost = state.used > state.round.windows, state.lost > state.round.lost
    return isinstance(state, Transmitting) or closed or lost


def _nobody_to_ask(plan: Plan, state: InSession, tally: Tally) -> State:
    """All have settled, or are `Incomplete`: the session is not waited for."""
    if tally.incomplete and _round_follows(plan, state, tally):
        return _repeating(state, tally, drained=True)
    return nobody_left(tally)


def _all_told(plan: Plan, state: Settling, tally: Tally, now: datetime) -> State:
    if _round_follows(plan, state, tally):
        return _repeating(state, tally, drained=_nobody_needs_more(state, tally, now))
    return state.to(Concluding)


def _round_follows(plan: Plan, state: InSession, tally: Tally) -> bool:
    """Whether another round is made: if there is a group, and the one before has left fewer devices; the second
    in any case, for what was not heard in the first may have been for a fault that is over."""
    fewer = state.round.number == 1 or tally.incomplete < state.round.incomplete
    return fewer and state.lost <= RESTORATIONS and plan.room_after(state.used + 1)


def _repeating(state: InSession, tally: Tally, *, drained: bool) -> State:
    another = Round(state.round.number + 1, state.used + 1, tally.incomplete, state.lost)
    return state.to(Repeating, sent=0, before=0, used=state.used + 1, round=another, drained=drained)


def _all_settled(state: InSession, tally: Tally, now: datetime) -> State:
    if state.sent == 0:
        return DeletingGroup(*_why(tally))
    if _nobody_needs_more(state, tally, now):
        return DeletingGroup(Why.DONE, "")
    return Draining(state.group_id, state.session.end)


def _nobody_needs_more(state: InSession, tally: Tally, now: datetime) -> bool:
    """Device stacks in the field say that they are complete when they have received fragments enough, and need
    one or two of those that follow to finish."""
    return not tally.complete or now >= state.session.end


def _transmitting(plan: Plan, state: ArrangingSession | AwaitingStart, now: datetime) -> State:
    begin = first(plan, state.session, opening(plan, state.session), now)
    upto = _batch(plan, state.session, state.sent, begin)
    return state.to(Transmitting, upto=upto, drained=begin)


def _batch(plan: Plan, session: Session, sent: int, begin: datetime) -> int:
    """The last fragment of the next batch, which goes out from `begin` on; `sent` if none can be heard."""
    return min(sent + min(BATCH, room(plan, session, begin)), plan.fragments)


def _enqueued(plan: Plan, state: Transmitting, sent: int, now: datetime) -> State:
    """A batch is in the queue. One that came too late to be heard as a whole is sent again in another session."""
    begin = drained(plan, state.drained or now, sent - state.sent, now)
    if begin > state.session.end:
        return state.to(AwaitingEnd)
    if sent == plan.fragments and plan.status_request is StatusRequest.AFTER_FRAGMENT_ENQUEUE:
        return state.to(Settling, sent=sent)
    begin = max(begin, now)
    upto = _batch(plan, state.session, sent, begin)
    if upto == sent:
        return state.to(AwaitingEnd, sent=sent)
    return state.to(Transmitting, sent=sent, upto=upto, drained=begin)
