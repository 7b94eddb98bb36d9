"""The windows of a deployment: when the next one opens and closes."""

from datetime import datetime, timedelta

from fuota.deployment.messages import Tally, Waiting
from fuota.deployment.pace import LATE, first, leeway, room, unheard
from fuota.deployment.plan import SESSIONS, WINDOWS, MulticastClass, Plan, StatusRequest
from fuota.deployment.states import AwaitingEnd, Session, Settling
from fuota.device.standing import OFTEN
from fuota.lorawan.gpstime import next_beacon

PATIENT = 10
"""How often the start is put off, while the network works, for devices that it has not been able to ask in
time."""

MOST_PATIENT = 50
"""The same while none of the others has agreed: their clocks may all be wrong, and never put right. Or if it
takes the network longer than the window to say that it works."""

AT_A_TIME = 32
"""Devices, of all deployments, that are asked at the same time."""

EACH = timedelta(seconds=5) / AT_A_TIME
"""How much longer it takes to ask one more device, where the network needs the 5 s that it is given for an
answer."""

GROWTH = 1.6
"""How many times as much it is given when the start is put off again: devices of other deployments wait for
the same 32 places, nobody knows how many, and those of this one wait behind them once more."""

BEACON_ACQUISITION = timedelta(seconds=135)
"""How long before a class B session a device stack begins to look for beacons (SWL2001)."""


def session(
    plan: Plan, devices: int, now: datetime, number: int = 1, put_off: int = 0, slow: int = 0
) -> Session:
    """The next window: late enough that every device can use all its attempts to agree to it, with some more
    time each time it is put off for a network that is `slow` to ask so many of them, or that says when a
    request is on air: an attempt lasts up to twice as long then.

    It starts on a whole GPS second; class B at the start of a beacon period, which begins no sooner than a
    device that agrees last can have found the beacon (TS005 section 3.4).
    """
    slack = timedelta(seconds=(1 + put_off) * (2 + devices / 1000)) + _asking(slow, put_off)
    lead = plan.unicast_attempts * plan.unicast_timeout * (1 + min(put_off / OFTEN, 1)) + slack
    if plan.mc_class is MulticastClass.B:
        start = next_beacon(now + lead + BEACON_ACQUISITION)
    else:
        start = (now + lead).replace(microsecond=0) + timedelta(seconds=1)
    return Session(number, start, start + plan.window, put_off)


def _asking(devices: int, put_off: int) -> timedelta:
    """The time for those who were not asked in time, who wait for one call at least, however few they are: a
    day at most, after which calls are given up anyway."""
    if not devices:
        return timedelta(0)
    longer = GROWTH ** min(max(put_off - 1, 0), PATIENT)
    return min(max(devices, AT_A_TIME) * EACH * longer, timedelta(days=1))


def following(
    plan: Plan,
    last: Session,
    devices: int,
    now: datetime,
    *,
    put_off: bool = False,
    slow: int = 0,
) -> Session:
    """The window in place of `last`; `put_off`: that counts as one of the times that it may be."""
    return session(plan, devices, now, last.number + 1, last.put_off + put_off, slow)


def after(plan: Plan, last: Session, devices: int, now: datetime) -> Session:
    """The window after `last`, which has closed. It may be put off as well: half of what was learnt of the
    network is kept."""
    return session(plan, devices, now, last.number + 1, min(last.put_off, PATIENT) // 2)


def opening(plan: Plan, session: Session) -> datetime:
    """When the first fragment is sent: class C devices whose clocks are a little late shall hear it too."""
    if plan.mc_class is MulticastClass.B:
        return session.start
    return session.start + leeway(plan)


def too_late(plan: Plan, session: Session, now: datetime) -> bool:
    """Whether nothing that is sent from now on can be heard any more."""
    return not room(plan, session, first(plan, session, opening(plan, session), now))


def may_be_put_off(plan: Plan, session: Session, tally: Tally, now: datetime) -> bool:
    """For devices that were not asked in time; longer where there is nobody to send to without them, or it is
    too late to send anything."""
    if not tally.ready or too_late(plan, session, now):
        return session.put_off < MOST_PATIENT
    return session.put_off < PATIENT and tally.prepared > 0


def heard(plan: Plan, state: AwaitingEnd | Settling, seen: Waiting) -> int:
    """Up to which fragment the devices have heard all, as far as is known.

    Half of the coded fragments need not be heard, in all windows together, if they left the queue while it
    was being looked at; the other half is for what the air loses. Uncoded ones are not left to those: which
    of them a few coded ones make up for is a matter of luck.
    """
    gone = _gone(state, seen)
    lost = unheard(plan, max(gone - state.before, 0), seen.late)
    if seen.in_time is not None:
        lost = max(min(lost, gone + 1 - seen.in_time), 0)
    coded = gone - lost >= plan.nb_frag
    enough = 2 * _windows(state) * lost <= plan.redundancy
    return gone if coded and enough and seen.late <= LATE else gone - lost


def _windows(state: AwaitingEnd | Settling) -> int:
    """Of the present round."""
    return state.used + 1 - state.round.windows


def _gone(state: AwaitingEnd | Settling, seen: Waiting) -> int:
    """Up to which fragment all have left the queue; what came too late to count may wait there, too."""
    if seen.lowest is not None:
        return min(seen.lowest - 1, state.sent)
    return max(state.sent - seen.left, 0)


def may_follow(plan: Plan, state: AwaitingEnd | Settling, upto: int) -> bool:
    """Whether there may be another window: after the first `SESSIONS` only if each has brought its share, and
    there are frame counters for all fragments once more."""
    windows = _windows(state)
    on_course = windows < SESSIONS or upto * WINDOWS >= windows * plan.fragments
    return on_course and (state.used + 1 < SESSIONS or plan.room_after(state.used + 1))


def worth_another(plan: Plan, state: AwaitingEnd | Settling, seen: Waiting) -> bool:
    """Whether what is not known to have been heard would be heard in another window: not if nothing at all
    leaves the queue, unless no device will tell that it has heard nothing."""
    leaves = _gone(state, seen) > state.before or seen.moved
    hopeful = leaves or plan.status_request is StatusRequest.NO_REQUEST
    return hopeful and heard(plan, state, seen) < state.sent
