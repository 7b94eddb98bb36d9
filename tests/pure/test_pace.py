"""What is put into a group's queue can be heard before the window closes, or it does not count."""

from datetime import datetime, timedelta

import attrs
import pytest

from fuota.deployment.effects import Multicast, effects
from fuota.deployment.machine import step
from fuota.deployment.messages import Expired, FragmentsEnqueued, Tally, Waiting
from fuota.deployment.pace import drained, first, leeway, margin, next_look, pace, room, unheard
from fuota.deployment.plan import WINDOWS, MulticastClass, Plan
from fuota.deployment.record import milestones
from fuota.deployment.states import (
    ArrangingSession,
    AwaitingEnd,
    AwaitingStart,
    Session,
    Settling,
    State,
    Transmitting,
)
from fuota.deployment.windows import heard, opening

SECOND = timedelta(seconds=1)
READY = Tally(group=0, fragments=0, prepared=0, asked=0, ready=3, unheard=0, leaving=0, settled=0, complete=0)


@pytest.fixture
def class_b(plan: Plan) -> Plan:
    """A window of two beacon periods with 16 slots each: one in 8 s."""
    return attrs.evolve(plan, mc_class=MulticastClass.B, time_out=1, periodicity=3, redundancy=0)


def opened(plan: Plan, session: Session, now: datetime) -> State:
    return step(plan, AwaitingStart("g", session, 0), Expired(READY), now)


def test_a_fragment_is_as_long_as_its_slot_or_its_time_on_air(plan: Plan, class_b: Plan) -> None:
    assert pace(class_b) == 8 * SECOND
    assert timedelta(seconds=0.1) < pace(plan) < timedelta(seconds=0.13)
    assert not pace(attrs.evolve(plan, frequency=100)), "nobody knows the region"


def test_as_many_fragments_have_room_as_slots_are_left(class_b: Plan, now: datetime) -> None:
    session = Session(1, now, now + class_b.window)
    assert room(class_b, session, session.start) == 32
    assert room(class_b, session, session.end - 17 * SECOND) == 2
    assert room(class_b, session, session.end) == 0


def test_what_left_the_queue_too_late_is_as_much_as_leaves_it_in_that_time(plan: Plan, class_b: Plan) -> None:
    """As in the window: 32 fragments in 64 s, or in 256 s; some before, where a clock may be ahead."""
    assert unheard(plan, 32, 3 * SECOND) == 5
    assert unheard(plan, 32, SECOND / 10) == 4
    assert unheard(class_b, 32, SECOND / 10) == 1
    assert unheard(class_b, 32, 20 * SECOND) == 3, "no more than there were slots"
    assert unheard(attrs.evolve(plan, frequency=100), 0, SECOND) == 0
    assert unheard(attrs.evolve(plan, frequency=100), 1, SECOND) == 1


def closing(plan: Plan, session: Session, redundancy: int, gone: int, late: float, windows: int) -> int:
    """How many of those gone from the queue are sent again: 32 of them left it in this window."""
    ordered = attrs.evolve(plan, redundancy=redundancy)
    closed = AwaitingEnd("g", session, gone, used=windows - 1, before=gone - 32)
    return gone - heard(ordered, closed, Waiting(0, 3, late=late * SECOND))


@pytest.mark.parametrize(("redundancy", "windows"), [(7, 0), (8, 1), (15, 1), (16, 2), (60, 7)])
def test_half_of_the_coded_fragments_make_up_for_the_ends_of_so_many_windows(
    redundancy: int, windows: int, plan: Plan, session: Session
) -> None:
    gone = plan.nb_frag + 32
    counts = [closing(plan, session, redundancy, gone, 0.1, number) for number in range(1, 9)]
    assert counts == [0] * windows + [4] * (8 - windows)
    assert closing(plan, session, redundancy, gone, 3, 1) == 5, "nobody could look for long"


@pytest.mark.parametrize(("coded", "again"), [(-10, 4), (0, 4), (3, 4), (4, 0)])
def test_but_for_uncoded_ones_it_is_a_matter_of_luck(
    coded: int, again: int, plan: Plan, session: Session
) -> None:
    plan = attrs.evolve(plan, firmware_size=40 * plan.frag_size)
    assert closing(plan, session, 60, 40 + coded, 0.1, 1) == again


@pytest.mark.parametrize("late", [0, 3, 600])
def test_where_more_waits_than_counts_nothing_was_heard(late: int, plan: Plan, session: Session) -> None:
    """A batch that came too late for the window waits there, too."""
    closed = AwaitingEnd("g", session, 6)
    after = step(plan, closed, Waiting(8, 3, late=late * SECOND), session.end + late * SECOND)
    assert isinstance(after, ArrangingSession)
    assert after.sent == 0


def test_a_session_that_begins_late_begins_with_the_next_slot(class_b: Plan, now: datetime) -> None:
    session = Session(1, now, now + class_b.window)
    begins = [first(class_b, session, now, now + late * SECOND) for late in (0, 2, 3)]
    assert begins == [now, now, now + 11 * SECOND + leeway(class_b)]


def test_a_batch_that_took_long_may_have_come_just_now(plan: Plan, now: datetime) -> None:
    on_air = 20 * pace(plan)
    assert drained(plan, now, 20, now + SECOND) == now + on_air
    assert drained(plan, now, 20, now + 10 * SECOND) == now + 10 * SECOND + leeway(plan) + on_air


def test_what_comes_when_a_device_may_have_closed_its_window_is_sent_again(
    plan: Plan, session: Session
) -> None:
    """Its clock may be ahead."""
    state = opened(plan, session, opening(plan, session))
    enough = 20 * pace(plan) + leeway(plan)
    for left, reached in ((enough, 20), (enough - SECOND, 0)):
        after = step(plan, state, FragmentsEnqueued(20), session.end - left)
        assert after == AwaitingEnd("g", session, reached)


def test_a_batch_is_no_longer_than_what_can_be_heard(class_b: Plan, now: datetime) -> None:
    session = Session(1, now, now + class_b.window)
    state = opened(class_b, session, session.end - 53 * SECOND)
    assert isinstance(state, Transmitting)
    assert effects(class_b, state)[0] == Multicast("g", 0, 5)
    state = step(class_b, state, FragmentsEnqueued(5), session.end - 52 * SECOND)
    assert state == AwaitingEnd("g", session, 5)
    assert milestones(class_b, state) == ()
    state = step(class_b, state, Waiting(0, 3), session.end)
    assert isinstance(state, ArrangingSession)
    assert (state.session.number, state.sent, state.used) == (2, 5, 1)


def test_a_start_after_which_nothing_can_be_heard_is_put_off(class_b: Plan, now: datetime) -> None:
    session = Session(40, now, now + class_b.window)
    state = opened(class_b, session, session.end - 10 * SECOND)
    assert isinstance(state, ArrangingSession)
    assert (state.session.number, state.used) == (41, 0)


def test_a_batch_that_came_too_late_does_not_count(plan: Plan, session: Session) -> None:
    state = opened(plan, session, opening(plan, session))
    state = step(plan, state, FragmentsEnqueued(20), session.start + 3 * SECOND)
    assert isinstance(state, Transmitting)
    state = step(plan, state, FragmentsEnqueued(40), session.end - SECOND)
    assert state == AwaitingEnd("g", session, 20)


def test_a_plan_that_fills_its_window_is_sent_in_one_session(class_b: Plan, now: datetime) -> None:
    full = attrs.evolve(class_b, firmware_size=32 * class_b.frag_size)
    session = Session(1, now, now + full.window)
    state = opened(full, session, now + SECOND)
    state = step(full, state, FragmentsEnqueued(20), now + 2 * SECOND)
    assert isinstance(state, Transmitting)
    assert effects(full, state)[0] == Multicast("g", 20, 32)
    assert step(full, state, FragmentsEnqueued(32), now + 3 * SECOND) == AwaitingEnd("g", session, 32)


def test_the_last_session_is_settled_for_whatever_was_sent(plan: Plan, session: Session) -> None:
    state = AwaitingEnd("g", session, 20, used=WINDOWS - 1)
    assert step(plan, state, Waiting(0, 3), session.end) == Settling(
        "g", session, 20, used=WINDOWS - 1, looked=True
    )


def test_a_state_that_an_older_version_has_stored_goes_on(plan: Plan, session: Session) -> None:
    old = Transmitting("g", session, 20)
    state = step(plan, old, FragmentsEnqueued(40), session.start + 10 * SECOND)
    assert isinstance(state, Transmitting)
    assert (state.sent, state.upto) == (40, plan.fragments)


@pytest.mark.parametrize("redundancy", [0, 10])
@pytest.mark.parametrize("time_out", range(16))
def test_a_queue_is_looked_at_a_few_times_and_shortly_before_the_window_closes(
    plan: Plan, time_out: int, redundancy: int
) -> None:
    plan = attrs.evolve(plan, time_out=time_out, redundancy=redundancy)
    left, looks = plan.window, [plan.window]
    while left > timedelta(0):
        left -= next_look(plan, left)
        looks.append(left)
    assert left == timedelta(0), "when it closes"
    assert len(looks) <= plan.window / (30 * SECOND) + 5
    assert margin(plan) < looks[-2] <= margin(plan) + min(2 * SECOND, plan.window / 16)
