"""The life of a deployment, as a pure function.

    CreatingGroup ─ SettingUpGroups ─ SettingUpFragments ─ ArrangingSession ─ AwaitingStart
        ─ Transmitting (─ RestoringGroup) ─ (AwaitingEnd) ─ Settling (─ Draining) ─ DeletingGroup ─ Ended

Devices go through the unicast steps at their own pace; the deployment only counts them. The start of the
session is the one barrier: it is fixed when every device is prepared or has failed. A window that closes
before all fragments have left the queue, early enough to be heard, is followed by another, for all devices
alike, which goes on where it stopped. (A queue of which nothing at all has left is no reason: another window
would not help it.)
"""

from datetime import datetime, timedelta

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
from fuota.deployment.pace import drained, first, leeway, room, unheard
from fuota.deployment.plan import RESTORATIONS, SESSIONS, WINDOWS, MulticastClass, Plan, StatusRequest
from fuota.deployment.states import (
    Abandoning,
    ArrangingSession,
    AwaitingEnd,
    AwaitingStart,
    CreatingGroup,
    CreatingGroupInVain,
    DeletingGroup,
    Draining,
    Ended,
    RestoringGroup,
    Session,
    SettingUpFragments,
    SettingUpGroups,
    Settling,
    State,
    Transmitting,
    Why,
)
from fuota.device.standing import OFTEN
from fuota.lorawan.gpstime import next_beacon

PATIENT = 10
"""How often the start is put off, while the network works, for devices that it has not been able to ask in time."""

EACH = timedelta(seconds=5 / 32)
"""How much longer it takes to ask one more device, where the network needs the 5 s that it is given for an
answer, and 32 devices are asked at a time."""

BATCH = 20
"""Fragments between two commits of the cursor: what a crash may repeat."""

BEACON_ACQUISITION = timedelta(seconds=135)
"""How long before a class B session a device stack begins to look for beacons (SWL2001)."""


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

        case (ArrangingSession() | AwaitingStart() | Transmitting()), Counted(tally) if tally.deserted:
            return nobody_left(tally)
        case ArrangingSession() as here, Counted(tally) if tally.ready and not (tally.prepared or tally.asked):
            return here.to(AwaitingStart)
        case (ArrangingSession() | AwaitingStart()) as here, Expired(tally, away, slow) \
                if away or not tally.ready or too_late(plan, here.session, now) or (tally.prepared and here.session.put_off < PATIENT):
            return here.to(ArrangingSession, session=following(plan, here.session, tally.listening, now, put_off=not away, slow=slow))
        case (ArrangingSession() | AwaitingStart()) as here, Expired(): return _transmitting(plan, here, now)

        case Transmitting() as here, FragmentsEnqueued(upto) if here.sent < upto <= plan.fragments:
            return _enqueued(plan, here, upto, now)
        case Transmitting() as here, Expired(): return here.to(AwaitingEnd)
        case (Transmitting() | AwaitingEnd() | Settling()) as here, GroupLost() if here.lost < RESTORATIONS:
            return RestoringGroup(here.session, here.lost + 1, here.used, here.before)
        case Transmitting(), GroupLost(_, detail): return Abandoning(Why.GROUP_LOST, detail)
        case Transmitting(), GroupRefused(detail): return Abandoning(Why.GROUP_REFUSED, detail)
        case RestoringGroup(session_, lost, used, before), GroupCreated(group, members):
            return ArrangingSession(group, following(plan, session_, members, now), before, lost, used, before=before)
        case RestoringGroup(), GroupRefused(detail): return Abandoning(Why.GROUP_LOST, detail)

        case AwaitingEnd() as here, Emptied(): return here.to(AwaitingEnd, looked=True)
        case Settling() as here, Emptied(): return here.to(Settling, looked=True)
        case AwaitingEnd(looked=True) as here, Expired(tally) if here.sent < plan.fragments and _may_follow(plan, here, here.sent):
            return _another(plan, here, here.sent, tally.listening, now)
        case (AwaitingEnd() | Settling()) as here, Waiting() as seen \
                if _may_follow(plan, here, _heard(plan, here, seen)) \
                and (here.sent < plan.fragments or _worth_another(plan, here, seen)):
            return _another(plan, here, _heard(plan, here, seen), seen.listening, now)
        case (AwaitingEnd() | Settling(looked=False)) as here, Waiting() | GroupLost(): return here.to(Settling, looked=True)
        case AwaitingEnd(looked=True) as here, Expired(): return here.to(Settling, looked=True)
        case (AwaitingEnd() | Settling()) as here, Counted(tally) if tally.all_settled: return _all_settled(here, tally, now)
        case Draining(), Drained() | GroupLost(): return DeletingGroup(Why.DONE, "")
        case Abandoning(why, detail), Counted(tally) if tally.all_settled: return DeletingGroup(why, detail)
        case DeletingGroup(why, detail), GroupDeleted(): return Ended(why, detail)

        case _: return state
    # fmt: on


def session(
    plan: Plan, devices: int, now: datetime, number: int = 1, put_off: int = 0, slow: int = 0
) -> Session:
    """The next window: late enough that every device can use all its attempts to agree to it, with some more
    time each time it is put off for a network that is `slow` to ask so many of them, or that says when a request
    is on air: an attempt lasts up to twice as long then.

    It starts on a whole GPS second; class B at the start of a beacon period, which begins no sooner than a
    device that agrees last can have found the beacon (TS005 section 3.4).
    """
    slack = timedelta(seconds=(1 + put_off) * (2 + devices / 1000)) + slow * EACH
    often = OFTEN if plan.unicast_attempts == 1 else PATIENT
    lead = plan.unicast_attempts * plan.unicast_timeout * (1 + min(put_off / often, 1)) + slack
    if plan.mc_class is MulticastClass.B:
        start = next_beacon(now + lead + BEACON_ACQUISITION)
    else:
        start = (now + lead).replace(microsecond=0) + timedelta(seconds=1)
    return Session(number, start, start + plan.window, put_off)


def following(
    plan: Plan, last: Session, devices: int, now: datetime, *, put_off: bool = False, slow: int = 0
) -> Session:
    """The window in place of `last`; `put_off`: that counts as one of the times that it may be."""
    return session(plan, devices, now, last.number + 1, last.put_off + put_off, slow)


def opening(plan: Plan, session: Session) -> datetime:
    """When the first fragment is sent: class C devices whose clocks are a little late shall hear it too."""
    if plan.mc_class is MulticastClass.B:
        return session.start
    return session.start + leeway(plan)


def nobody_left(tally: Tally) -> State:
    """Nobody to send to: because all have failed, unless some had all before their group was deleted."""
    served = tally.complete or tally.released
    why, detail = (Why.DONE, "") if served else (Why.NOBODY_LEFT, "no device is left to send to")
    if tally.unheard:
        return Abandoning(why, detail)
    return DeletingGroup(why, detail)


def _another(plan: Plan, state: AwaitingEnd | Settling, heard: int, devices: int, now: datetime) -> State:
    """Another window, for what follows the fragments that were `heard`. It may be put off as well: half of what
    was learnt of the network is kept."""
    last = state.session
    window = session(plan, devices, now, last.number + 1, last.put_off // 2)
    return state.to(ArrangingSession, session=window, sent=heard, before=heard, used=state.used + 1)


def _heard(plan: Plan, state: AwaitingEnd | Settling, seen: Waiting) -> int:
    """Up to which fragment the devices have heard all, as far as is known."""
    gone = _gone(state, seen)
    lately = max(gone - state.before, 0)
    return gone - min(unheard(plan, lately, seen.late, state.used + 1), lately)


def _gone(state: AwaitingEnd | Settling, seen: Waiting) -> int:
    """Up to which fragment all have left the queue; what came too late to count may wait there, too."""
    if seen.lowest is not None:
        return min(seen.lowest - 1, state.sent)
    return max(state.sent - seen.left, 0)


def _may_follow(plan: Plan, state: AwaitingEnd | Settling, heard: int) -> bool:
    """Whether there may be another window: after the first `SESSIONS` only if each has brought its share, and
    there are frame counters for all fragments once more."""
    windows = state.used + 1
    on_course = heard * WINDOWS >= windows * plan.fragments
    return windows < SESSIONS or (on_course and plan.room_after(windows))


def _worth_another(plan: Plan, state: AwaitingEnd | Settling, seen: Waiting) -> bool:
    """Whether what is not known to have been heard would be heard in another window: not if nothing at all
    leaves the queue."""
    leaves = _gone(state, seen) > state.before or seen.moved
    return leaves and _heard(plan, state, seen) < state.sent


def _all_settled(state: AwaitingEnd | Settling, tally: Tally, now: datetime) -> State:
    """Device stacks in the field say that they are complete when they have received fragments enough, and need
    one or two of those that follow to finish."""
    if tally.complete and now < state.session.end:
        return Draining(state.group_id, state.session.end)
    return DeletingGroup(Why.DONE, "")


def too_late(plan: Plan, session: Session, now: datetime) -> bool:
    """Whether nothing that is sent from now on can be heard any more."""
    return not room(plan, session, first(plan, session, opening(plan, session), now))


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
