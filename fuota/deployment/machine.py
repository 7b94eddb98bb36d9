"""The life of a deployment, as a pure function.

    CreatingGroup ─ SettingUpGroups ─ SettingUpFragments ─ ArrangingSession ─ AwaitingStart
        ─ Transmitting ─ (AwaitingEnd) ─ Settling ─ DeletingGroup ─ Ended

Devices go through the unicast steps at their own pace; the deployment only counts them. The start of the
session is the one barrier: it is fixed when every device is prepared or has failed. A window that closes
before all fragments are in the queue is followed by another, for all devices alike, which goes on where it
stopped.
"""

from datetime import datetime, timedelta

from fuota.deployment.messages import (
    Cancel,
    Counted,
    Expired,
    Fact,
    FragmentsEnqueued,
    GroupCreated,
    GroupDeleted,
    GroupLost,
    GroupRefused,
)
from fuota.deployment.plan import MulticastClass, Plan, StatusRequest
from fuota.deployment.states import (
    Abandoning,
    ArrangingSession,
    AwaitingEnd,
    AwaitingStart,
    CreatingGroup,
    CreatingGroupInVain,
    DeletingGroup,
    Ended,
    Session,
    SettingUpFragments,
    SettingUpGroups,
    Settling,
    State,
    Transmitting,
    Why,
)
from fuota.lorawan.gpstime import next_beacon

SESSIONS = 5
"""How many windows a deployment may use before it settles for what its devices have received."""

BEACON_ACQUISITION = timedelta(seconds=135)
"""How long before a class B session a device stack begins to look for beacons (SWL2001)."""


def step(plan: Plan, state: State, message: Fact, now: datetime) -> State:
    """The state after `message`; the same one if it does not matter."""
    # fmt: off
    match state, message:
        case (Ended() | DeletingGroup() | Abandoning() | CreatingGroupInVain()), Cancel(): return state
        case CreatingGroup(), Cancel(): return CreatingGroupInVain()
        case _, Cancel(): return Abandoning(Why.CANCELLED, "cancelled")

        case CreatingGroup(), GroupCreated(group_id): return SettingUpGroups(group_id)
        case CreatingGroup(), GroupRefused(detail): return Abandoning(Why.GROUP_REFUSED, detail)
        case CreatingGroupInVain(), GroupCreated() | GroupRefused(): return Abandoning(Why.CANCELLED, "cancelled")

        case SettingUpGroups(group_id), Counted(tally) if not tally.group: return SettingUpFragments(group_id)
        case SettingUpFragments(), Counted(tally) if tally.all_settled: return nobody_left()
        case SettingUpFragments(group_id), Counted(tally) if not (tally.group or tally.fragments):
            return ArrangingSession(group_id, session(plan, 1, tally.prepared, now), 0)

        case (ArrangingSession() | AwaitingStart() | Transmitting()), Counted(tally) if tally.all_settled:
            return nobody_left()
        case ArrangingSession(group_id, session_, sent), Counted(tally) if tally.ready and not tally.prepared:
            return AwaitingStart(group_id, session_, sent)
        case (ArrangingSession(group_id, session_, sent) | AwaitingStart(group_id, session_, sent)), Expired(tally):
            return _session_due(plan, ArrangingSession(group_id, session_, sent), tally.ready, tally.prepared, now)

        case Transmitting(group_id, session_, already), FragmentsEnqueued(sent) if already < sent < plan.fragments:
            return Transmitting(group_id, session_, sent)
        case Transmitting(group_id, session_), FragmentsEnqueued(sent) if sent == plan.fragments:
            return _all_enqueued(plan, group_id, session_)
        case Transmitting(group_id, session_, sent), Expired(tally):
            return _next_session(plan, ArrangingSession(group_id, session_, sent), tally.ready, now)
        case Transmitting(), GroupLost(detail): return Abandoning(Why.GROUP_LOST, detail)

        case AwaitingEnd(group_id, session_, sent), Expired(): return Settling(group_id, session_, sent)
        case (AwaitingEnd() | Settling()), Counted(tally) if tally.all_settled: return DeletingGroup(Why.DONE, "")
        case Abandoning(why, detail), Counted(tally) if tally.all_settled: return DeletingGroup(why, detail)
        case DeletingGroup(why, detail), GroupDeleted(): return Ended(why, detail)

        case _: return state
    # fmt: on


def session(plan: Plan, number: int, devices: int, now: datetime) -> Session:
    """The next window: late enough that every device can use all its attempts to agree to it.

    It starts on a whole GPS second; class B at the start of a beacon period, which begins no sooner than a
    device that agrees last can have found the beacon (TS005 section 3.4).
    """
    lead = plan.unicast_attempts * plan.unicast_timeout + timedelta(seconds=2 + devices / 1000)
    if plan.mc_class is MulticastClass.B:
        start = next_beacon(now + lead + BEACON_ACQUISITION)
    else:
        start = (now + lead).replace(microsecond=0) + timedelta(seconds=1)
    return Session(number, start, start + plan.window)


def opening(plan: Plan, session: Session) -> datetime:
    """When the first fragment is sent: class C devices whose clocks are a little late shall hear it too."""
    if plan.mc_class is MulticastClass.B:
        return session.start
    return session.start + min(timedelta(seconds=2), plan.window / 16)


def nobody_left() -> State:
    return DeletingGroup(Why.NOBODY_LEFT, "no device is left to send to")


def _session_due(plan: Plan, arranged: ArrangingSession, ready: int, late: int, now: datetime) -> State:
    """The window opens: send if anybody listens, and if it has not passed while the server was away."""
    if ready and now < arranged.session.end:
        return Transmitting(arranged.group_id, arranged.session, arranged.sent)
    return _next_session(plan, arranged, ready + late, now)


def _next_session(plan: Plan, missed: ArrangingSession, devices: int, now: datetime) -> State:
    if missed.session.number == SESSIONS:
        return Settling(missed.group_id, missed.session, missed.sent)
    following = session(plan, missed.session.number + 1, devices, now)
    return ArrangingSession(missed.group_id, following, missed.sent)


def _all_enqueued(plan: Plan, group_id: str, session: Session) -> State:
    if plan.status_request is StatusRequest.AFTER_FRAGMENT_ENQUEUE:
        return Settling(group_id, session, plan.fragments)
    return AwaitingEnd(group_id, session, plan.fragments)
