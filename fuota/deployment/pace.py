"""A group's queue as it drains: how many fragments can be on the air before a window closes.

A window of 64 s with a fragment each 0.4 s, and its leeway of 5 s:

     0 s   the devices listen, by their own clocks
     5 s   the first batch of 20 is enqueued, and counted as if it went out from 0 s on (`first`)
     8 s   when it is on the air at the earliest (`drained`), and so on, 8 s for each batch. One that took
           long to enqueue is counted from the answer on, with the leeway on top: it may come all at once,
           when a device whose clock is ahead is about to close its window
    56 s   20 more can be heard (`room`), and at 60 s 10; what would come later waits for another window
  ..57 s   the queue is looked at: if it is empty, all devices have heard what was in it (`next_look`)
    64 s   it is looked at again: what waits there was not heard, and if the look was late, nor were as many
           as may have left it meanwhile (`unheard`)
"""

from datetime import datetime, timedelta
from math import ceil

from fuota.deployment.plan import BEACON_PERIOD, MulticastClass, Plan
from fuota.deployment.states import Session
from fuota.lorawan.airtime import modulation, time_on_air

FRAGMENT_HEADER = 3
PHY_OVERHEAD = 13
"""MHDR, FHDR without options, FPort and MIC, in octets."""

LOOK = timedelta(seconds=30)
"""The longest time between two looks at a queue that nothing is put into."""

LATE = timedelta(seconds=2)
"""What the network may take for a batch before it counts as away meanwhile."""


def leeway(plan: Plan) -> timedelta:
    """By how much a device's clock may be behind and still all be heard that is sent to it: as far as it is
    taken for right (`CLOCK_TOLERANCE` of `fuota.device.agreement`), unless that is much of a short window."""
    return min(timedelta(seconds=5), plan.window / 12)


def pace(plan: Plan) -> timedelta:
    """From one fragment to the next, at the least: a ping slot (class B) or the time on air (class C).

    0 if nobody knows: no region has the frequency and the data rate.
    """
    if plan.mc_class is MulticastClass.B:
        return BEACON_PERIOD / (1 << 7 - plan.periodicity)
    rate = modulation(plan.frequency, plan.dr, plan.region)
    if rate is None:
        return timedelta(0)
    return time_on_air(rate, plan.frag_size + FRAGMENT_HEADER + PHY_OVERHEAD)


def room(plan: Plan, session: Session, begin: datetime) -> int:
    """Fragments that can be heard if the first of them goes out at `begin`."""
    if begin >= session.end:
        return 0
    each = pace(plan)
    return (session.end - begin) // each if each else plan.fragments


def first(plan: Plan, session: Session, opening: datetime, now: datetime) -> datetime:
    """When the first fragment of a session goes out, if it is enqueued now: in time, or as the next one."""
    return session.start if now <= opening + LATE else now + pace(plan) + leeway(plan)


def margin(plan: Plan) -> timedelta:
    """How long before the window closes a fragment has to leave the queue, for a device whose clock is ahead
    to hear it; 0 if it has the time from beacons."""
    return timedelta(0) if plan.mc_class is MulticastClass.B else leeway(plan)


def next_look(plan: Plan, left: timedelta) -> timedelta:
    """How long to wait with the next look at the queue, if the window closes in `left`.

    Three quarters of what is left until the margin: a few looks show an empty queue in a window of any
    length, and the last of them has time for its answer.
    """
    before = left - margin(plan)
    if before <= min(LATE, plan.window / 16):
        return max(left, timedelta(0))
    return min(LOOK, before * 3 / 4)


def unheard(plan: Plan, gone: int, late: timedelta) -> int:
    """How many of those `gone` from the queue may have left it when nobody listened any more: in this time,
    or just before it, if a device's clock is ahead. They leave it no sooner than one is on the air after
    the other, and as quickly as they did in the window.
    """
    late += margin(plan)
    each = pace(plan)
    at_most = ceil(late / each) if each else gone
    return min(at_most, ceil(gone * (late / plan.window)) + 1, gone) if late else 0


def drained(plan: Plan, begin: datetime, fragments: int, now: datetime) -> datetime:
    """When so many fragments have been on the air that were to go out from `begin` on and are enqueued now.

    If that took long they may all have come just now, when some devices are about to close their windows.
    """
    done = begin + fragments * pace(plan)
    return done if now <= done + LATE else now + fragments * pace(plan) + leeway(plan)
