"""When sessions of a deployment start, and when one follows another."""

from datetime import datetime, timedelta
from itertools import pairwise

import attrs
import pytest

from fuota.deployment.effects import (
    Flush,
    effects,
)
from fuota.deployment.machine import step
from fuota.deployment.messages import (
    Counted,
    Expired,
    GroupLost,
    Waiting,
)
from fuota.deployment.plan import RESTORATIONS, SESSIONS, WINDOWS, MulticastClass, Plan, StatusRequest
from fuota.deployment.record import milestones
from fuota.deployment.states import (
    Abandoning,
    ArrangingSession,
    AwaitingEnd,
    AwaitingStart,
    Concluding,
    Repeating,
    Session,
    Settling,
    State,
    Transmitting,
    Why,
)
from fuota.deployment.windows import (
    AT_A_TIME,
    BEACON_ACQUISITION,
    EACH,
    MOST_PATIENT,
    PATIENT,
    opening,
    session,
)
from fuota.device.standing import OFTEN
from fuota.lorawan.gpstime import gps_seconds
from fuota.network.calls import CALL_TIMEOUT
from fuota.network.gate import PLACES, Lane
from tests.pure.states import tally, transmitting


def test_class_c_starts_when_every_attempt_can_have_been_answered(plan: Plan, now: datetime) -> None:
    planned = session(plan, 1000, now)
    attempts = plan.unicast_attempts * plan.unicast_timeout
    assert attempts < planned.start - now < attempts + timedelta(seconds=5)
    assert planned.start.microsecond == 0
    assert planned.end - planned.start == timedelta(seconds=2**plan.time_out)


def test_more_time_is_left_for_those_who_were_not_asked_in_time(plan: Plan, now: datetime) -> None:
    """As much as they need at worst, with a network that answers in the time that it is given."""
    assert PLACES[Lane.DEVICES] == AT_A_TIME
    assert EACH.total_seconds() == CALL_TIMEOUT / AT_A_TIME
    before = session(plan, 1000, now, 2, 1)
    after = session(plan, 1000, now, 2, 1, slow=640)
    assert after.start - before.start == timedelta(seconds=640 / PLACES[Lane.DEVICES] * CALL_TIMEOUT)
    due, left = ArrangingSession("g", before, 0), tally(prepared=640, ready=360)
    put_off = step(plan, due, Expired(left, slow=640), before.start)
    assert put_off == due.to(ArrangingSession, session=session(plan, 1000, before.start, 3, 2, slow=640))


def test_however_few_they_are_they_wait_for_a_call(plan: Plan, now: datetime) -> None:
    """And behind those of other deployments, which nobody counts: a round may be for one device of 200."""
    first, later = (
        [session(plan, 200, now, 2, times, slow=slow).start - now for slow in (0, 1, 32, 33)]
        for times in (1, PATIENT)
    )
    assert first[1] - first[0] == timedelta(seconds=CALL_TIMEOUT)
    assert first[1] == first[2] <= first[3]
    assert later[1] - later[0] > timedelta(minutes=5)


def test_they_get_much_more_of_it_when_that_was_not_enough(plan: Plan, now: datetime) -> None:
    """For a hundred seconds at first, up to three hours."""
    leads = [session(plan, 1000, now, 2, times, slow=640).start - now for times in range(1, MOST_PATIENT)]
    without = [session(plan, 1000, now, 2, times).start - now for times in range(1, MOST_PATIENT)]
    more = [lead - other for lead, other in zip(leads, without, strict=True)]
    assert more[0] == 640 * EACH == timedelta(seconds=100)
    assert all(1.5 < later / sooner < 1.7 for sooner, later in pairwise(more[: PATIENT + 1]))
    assert timedelta(hours=3) < more[PATIENT] < timedelta(hours=3.1)
    assert more[PATIENT:] == [more[PATIENT]] * (MOST_PATIENT - PATIENT - 1)
    fleet = session(plan, 100_000, now, 2, PATIENT, slow=100_000).start
    assert fleet - session(plan, 100_000, now, 2, PATIENT).start == timedelta(days=1)


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_an_attempt_has_twice_its_time_when_the_start_has_been_put_off_often(
    attempts: int, plan: Plan, now: datetime
) -> None:
    """For it may go on air late in it."""
    ordered = attrs.evolve(plan, unicast_attempts=attempts, unicast_timeout=timedelta(hours=1))
    leads = [session(ordered, 10, now, 1, put_off).start - now for put_off in (0, OFTEN, OFTEN + 1)]
    twice, more = leads[1] - leads[0], leads[2] - leads[1]
    assert twice // timedelta(minutes=10) == attempts * 6
    assert more < timedelta(minutes=1)


def test_class_b_starts_on_a_beacon_that_every_device_can_have_found(plan: Plan, now: datetime) -> None:
    plan = attrs.evolve(plan, mc_class=MulticastClass.B, time_out=2)
    planned = session(plan, 10, now)
    earliest = now + plan.unicast_attempts * plan.unicast_timeout + BEACON_ACQUISITION
    assert gps_seconds(planned.start) % 128 == 0
    assert earliest <= planned.start <= earliest + timedelta(seconds=131)
    assert planned.end - planned.start == timedelta(seconds=4 * 128)
    assert opening(plan, planned) == planned.start


def test_the_first_fragment_is_sent_a_little_after_the_window_opens(plan: Plan, session: Session) -> None:
    assert opening(plan, session) == session.start + timedelta(seconds=5)
    short = attrs.evolve(plan, time_out=3)
    assert timedelta(seconds=0.5) < opening(short, session) - session.start < timedelta(seconds=1)


def test_a_session_is_moved_for_all_or_for_none(plan: Plan, session: Session) -> None:
    arranging = ArrangingSession("g", session, 0)
    some = step(plan, arranging, Expired(tally(asked=1, ready=2)), session.start)
    assert transmitting(some, "g", session, 0)
    none = step(plan, arranging, Expired(tally(prepared=3)), session.start)
    assert isinstance(none, ArrangingSession)
    assert none.session.number == 2
    assert none.session.start > session.start


def test_a_window_that_passed_while_the_server_was_away_is_followed_by_another(
    plan: Plan, session: Session
) -> None:
    late = session.end + timedelta(hours=1)
    after = step(plan, AwaitingStart("g", session, 0), Expired(tally(ready=3)), late)
    assert isinstance(after, ArrangingSession)
    assert (after.session.number, after.sent, after.used) == (2, 0, 0)
    after = step(plan, Transmitting("g", session, 20), Expired(tally(ready=3)), late)
    assert after == AwaitingEnd("g", session, 20)
    assert milestones(plan, after) == ()
    after = step(plan, after, Waiting(0, 3), late)
    assert isinstance(after, ArrangingSession)
    assert (after.session.number, after.sent, after.used) == (2, 17, 1), (
        "the last ones may have come too late"
    )
    assert after.session.start > late


@pytest.mark.parametrize("kind", [AwaitingEnd, Settling])
@pytest.mark.parametrize(
    ("sent", "left", "in_time", "goes_on_at"),
    [
        (51, 0, None, None),
        (51, 1, 51, 50),
        (51, 1, None, 50),
        (51, 50, 2, 1),
        (51, 50, None, 0),
        (51, 51, 1, None),
        (51, 70, 1, None),
        (20, 0, None, 17),
        (20, 0, 20, 19),
        (20, 5, 12, 12),
        (20, 30, 1, 0),
    ],
)
def test_what_still_waits_when_the_window_closes_is_sent_in_another(
    kind: type[AwaitingEnd | Settling],
    sent: int,
    left: int,
    in_time: int | None,
    goes_on_at: int | None,
    plan: Plan,
    session: Session,
) -> None:
    """Unless it is all of it: a queue of which nothing is sent is not helped by another window."""
    plan = attrs.evolve(plan, firmware_size=21 * plan.frag_size, redundancy=30)
    assert plan.fragments == 51
    closed = kind("g", session, sent, used=2)
    after = step(plan, closed, Waiting(left, 3, in_time=in_time), session.end)
    if goes_on_at is None:
        assert after == Settling("g", session, sent, used=2, looked=True)
    else:
        assert isinstance(after, ArrangingSession)
        assert (after.session.number, after.sent, after.used) == (2, goes_on_at, 3)
        assert effects(plan, after)[0] == Flush("g")
        agreed = step(plan, after, Counted(tally(ready=3)), session.end)
        assert effects(plan, agreed)[0] == Flush("g"), "it may not have succeeded yet"
    last = attrs.evolve(closed, used=WINDOWS - 1)
    assert step(plan, last, Waiting(left, 3), session.end) == Settling(
        "g", session, sent, used=WINDOWS - 1, looked=True
    )


def test_there_are_only_so_many_sessions(plan: Plan, session: Session) -> None:
    """That is, windows in which something was sent: a start that nobody could be told of uses none."""
    last = Transmitting("g", attrs.evolve(session, number=40), 2, used=SESSIONS - 1)
    after = step(plan, step(plan, last, Expired(tally(ready=3)), session.end), Waiting(0, 3), session.end)
    assert after == Settling("g", last.session, 2, used=SESSIONS - 1, looked=True)
    assert milestones(plan, after) == ()
    before = Transmitting("g", attrs.evolve(session, put_off=3), 20, used=SESSIONS - 2)
    after = step(plan, step(plan, before, Expired(tally(ready=3)), session.end), Waiting(0, 3), session.end)
    assert isinstance(after, ArrangingSession)
    assert after.used == SESSIONS - 1
    assert after.session.put_off == 1, "it may be put off again, and what was learnt is not all forgotten"


@pytest.mark.parametrize(
    ("sent", "left", "late", "heard"),
    [(51, 5, 0, 44), (51, 0, 8, 47), (43, 0, 8, 41), (51, 11, 0, None), (40, 0, 0, 40), (44, 9, 0, 35)],
    ids=["some wait", "late", "few", "none has left", "none was sent", "more wait than were counted"],
)
def test_what_was_heard_in_earlier_windows_was_heard(
    sent: int, left: int, late: int, heard: int | None, plan: Plan, session: Session
) -> None:
    """And it says nothing of how quickly they left the queue in this one."""
    uncoded = attrs.evolve(plan, redundancy=0, firmware_size=51 * plan.frag_size)
    closed = AwaitingEnd("g", session, sent, used=2, before=40)
    after = step(uncoded, closed, Waiting(left, 3, late=timedelta(seconds=late)), session.end)
    if heard is None:
        assert after == closed.to(Settling, looked=True)
    else:
        assert isinstance(after, ArrangingSession)
        assert (after.sent, after.before, after.used) == (heard, heard, 3)


@pytest.mark.parametrize(
    ("left", "lowest", "heard"),
    [(8, 13, 9), (8, None, 0), (8, 21, 16), (1, 1, 0)],
    ids=["late", "unknown", "all", "none"],
)
def test_what_waits_is_known_by_its_numbers(
    left: int, lowest: int | None, heard: int, plan: Plan, session: Session
) -> None:
    """More of a batch may be in the queue than was counted when the window closed."""
    uncoded = attrs.evolve(plan, redundancy=0, firmware_size=51 * plan.frag_size)
    closed = AwaitingEnd("g", session, 20 if lowest else 8)
    after = step(uncoded, closed, Waiting(left, 3, late=timedelta(seconds=2), lowest=lowest), session.end)
    assert isinstance(after, ArrangingSession)
    assert after.sent == heard


@pytest.mark.parametrize("looked", [False, True])
@pytest.mark.parametrize(
    ("heard", "windows"), [(2, 5), (3, 5), (3, 6), (25, 49), (25, 50), (50, 98), (50, 99)]
)
def test_but_more_of_them_where_each_brings_its_share(
    heard: int, windows: int, looked: bool, plan: Plan, session: Session
) -> None:
    """A hundredth of the fragments, one with the other, as with a network that sends one in 5 s."""
    plan = attrs.evolve(plan, mc_class=MulticastClass.B)  # in which no device closes its window early
    closed = AwaitingEnd("g", session, heard, used=windows - 1, looked=looked)
    fact = Expired(tally(ready=3)) if looked else Waiting(0, 3)
    after = step(plan, closed, fact, session.end)
    assert isinstance(after, ArrangingSession if heard / 51 >= windows / WINDOWS else Settling)
    assert after.used == windows - (not isinstance(after, ArrangingSession))


def test_nor_are_there_more_than_there_are_frame_counters_for(plan: Plan, session: Session) -> None:
    large = attrs.evolve(plan, firmware_size=4990 * plan.frag_size)
    windows = [AwaitingEnd("g", session, 4000, used=used) for used in range(1, 12)]
    after = [step(large, closed, Waiting(0, 3), session.end) for closed in windows]
    last = max(state.used for state in after if isinstance(state, ArrangingSession))
    assert large.mc_fcnt(RESTORATIONS, last) + large.fragments <= large.max_mc_fcnt < 2**16
    assert RESTORATIONS * large.mc_fcnt(1) + (last + 2) * large.fragments > large.max_mc_fcnt


@pytest.mark.parametrize(
    ("fact", "before", "put_off"),
    [
        (Expired(tally(prepared=3)), 40, 41),
        (Expired(tally(prepared=3)), MOST_PATIENT, None),
        (Expired(tally(ready=3), away=True), MOST_PATIENT, MOST_PATIENT),
        (Expired(tally(prepared=1, ready=2), away=True), 0, 0),
        (Expired(tally(prepared=1, ready=2)), PATIENT - 1, PATIENT),
        (Expired(tally(prepared=1, ready=2)), PATIENT, None),
        (Expired(tally(asked=1, ready=2)), 0, None),
        (Expired(tally(ready=3)), 0, None),
    ],
    ids=[
        "nobody",
        "nobody ever",
        "away",
        "not asked because of that",
        "one not asked in time",
        "once more",
        "one silent",
        "all",
    ],
)
def test_a_start_is_put_off_for_those_whom_the_network_could_not_ask(
    fact: Expired, before: int, put_off: int | None, plan: Plan, session: Session
) -> None:
    """So often while it works, and for as long as it is away."""
    due = attrs.evolve(session, number=40, put_off=before)
    for state in (ArrangingSession("g", due, 20, 1, 2), AwaitingStart("g", due, 20, 1, 2)):
        after = step(plan, state, fact, opening(plan, due))
        if put_off is not None:
            assert isinstance(after, ArrangingSession)
            assert (after.session.number, after.session.put_off) == (41, put_off)
            assert (after.sent, after.lost, after.used) == (20, 1, 2)
            assert after.session.start > due.start
        else:
            assert transmitting(after, "g", due, 20, lost=1, used=2)


def test_a_start_that_comes_too_late_each_time_is_not_put_off_for_ever(plan: Plan, session: Session) -> None:
    """It takes the network longer than the window to say that it works; so nothing could be sent in any."""
    here: State = ArrangingSession("g", session, 0)
    rounds, sessions = [1], 0
    while isinstance(here, ArrangingSession):
        sessions += 1
        here = step(plan, here, Expired(tally(ready=3)), here.session.end)
        if isinstance(here, Settling):
            assert here.session.empty
            repeating = step(plan, here, Counted(tally(incomplete=3)), here.session.end)
            if isinstance(repeating, Repeating):
                rounds.append(repeating.round.number)
                here = step(plan, repeating, Counted(tally(prepared=3)), here.session.end)
            else:
                assert isinstance(repeating, Concluding)
    assert rounds == [1, 2]
    assert MOST_PATIENT < sessions <= 2 * (MOST_PATIENT + 1)


@pytest.mark.parametrize("asked", StatusRequest)
def test_where_no_device_will_tell_a_queue_that_stands_still_gets_another_window(
    asked: StatusRequest, plan: Plan, session: Session
) -> None:
    """They would be let go without the image; else those that say so are sent it in another round."""
    plan = attrs.evolve(plan, status_request=asked)
    closed, nothing = AwaitingEnd("g", session, plan.fragments), Waiting(plan.fragments, 3, in_time=1)
    after = step(plan, closed, nothing, session.end)
    assert isinstance(after, ArrangingSession if asked is StatusRequest.NO_REQUEST else Settling)
    last = attrs.evolve(closed, used=SESSIONS - 1)
    assert isinstance(step(plan, last, nothing, session.end), Settling)


@pytest.mark.parametrize("asked", StatusRequest)
def test_where_no_device_will_tell_a_group_that_is_deleted_once_too_often_ends_it(
    asked: StatusRequest, plan: Plan, session: Session
) -> None:
    plan = attrs.evolve(plan, status_request=asked)
    closed = AwaitingEnd("g", session, plan.fragments, RESTORATIONS)
    after = step(plan, closed, GroupLost("g", "gone"), session.end)
    if asked is StatusRequest.NO_REQUEST:
        assert after == Abandoning(Why.GROUP_LOST, "gone")
    else:
        assert isinstance(after, Settling)
