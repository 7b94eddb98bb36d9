"""Whether a plan can work at all: the numbering, the data rate and the window have to carry its fragments."""

from collections.abc import Iterator
from datetime import timedelta

import attrs

from fuota.deployment.pace import FRAGMENT_HEADER, pace
from fuota.deployment.plan import BEACON_PERIOD, MulticastClass, Plan
from fuota.deployment.problem import Problem
from fuota.lorawan.airtime import max_payload

DAY = timedelta(days=1)

MAX_FRAGMENTS = 16_383
"""N has 14 bits (TS004 section 5.8)."""

MAX_TIME_TO_START = timedelta(seconds=2**24 - 2)
"""TimeToStart has 24 bits; all of them set say that the device does not know the time (TS005 section 3.5)."""


def impossible(plan: Plan) -> Iterator[Problem]:
    """What can not work, with numbers."""
    yield from _too_far(plan)
    yield from _too_many(plan)
    yield from _too_long(plan)


def _too_far(plan: Plan) -> Iterator[Problem]:
    """A start that no device can count the seconds to."""
    if plan.unicast_attempts * plan.unicast_timeout > MAX_TIME_TO_START:
        yield Problem(
            "unicast_attempt_count",
            f"{plan.unicast_attempts} attempts of {plan.unicast_timeout / DAY:.1f} days each put the start "
            f"more than {MAX_TIME_TO_START // DAY} days off, further than a device can tell",
        )


def _too_many(plan: Plan) -> Iterator[Problem]:
    """What the numbering and the data rate can not carry."""
    if plan.nb_frag > MAX_FRAGMENTS:
        yield Problem(
            "payload",
            f"of {plan.firmware_size} octets makes {plan.nb_frag} fragments of {plan.frag_size}; "
            f"at most {MAX_FRAGMENTS} can be numbered",
        )
    elif plan.fragments > MAX_FRAGMENTS:
        yield Problem(
            "fragmentation_redundancy",
            f"{plan.redundancy} coded fragments after {plan.nb_frag} uncoded ones make {plan.fragments}; "
            f"at most {MAX_FRAGMENTS} can be numbered",
        )
    largest = max_payload(plan.frequency, plan.dr, plan.region)
    if largest is not None and plan.frag_size + FRAGMENT_HEADER > largest:
        yield Problem(
            "fragmentation_fragment_size",
            f"is {plan.frag_size} octets; data rate {plan.dr} at {plan.frequency} Hz carries "
            f"at most {max(largest - FRAGMENT_HEADER, 0)}",
        )


def _too_long(plan: Plan) -> Iterator[Problem]:
    """What can not be sent while the devices listen, even if nothing else is on the air."""
    if _in_time(plan):
        return
    longer = (each for each in range(plan.time_out + 1, 16) if _in_time(attrs.evolve(plan, time_out=each)))
    least = next(longer, None)
    fragments, window = _counted(plan.fragments, "fragment"), f"{plan.window.total_seconds():.0f} s"
    if plan.mc_class is MulticastClass.B:
        opened = f"{_counted(_ping_slots(plan), 'ping slot')} in {window}; {fragments} need one each"
    else:
        on_air = f"{(plan.fragments * pace(plan)).total_seconds():.1f} s on air"
        opened = f"a window of {window}; {fragments} {'is' if plan.fragments == 1 else 'are'} {on_air}"
    too_much = "not even 15 would do: the image is too large for the data rate"
    right = too_much if least is None else f"it must be at least {least}"
    yield Problem("multicast_timeout", f"{plan.time_out} opens {opened}; {right}")


def _in_time(plan: Plan) -> bool:
    if plan.mc_class is MulticastClass.B:
        return plan.fragments <= _ping_slots(plan)
    return plan.fragments * pace(plan) <= plan.window


def _ping_slots(plan: Plan) -> int:
    """In the whole window."""
    return (1 << 7 - plan.periodicity) * (plan.window // BEACON_PERIOD)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
