"""A device and its session: the start, its clock, and what it is when it has not agreed."""

from datetime import datetime, timedelta

import attrs
import pytest

from fuota.deployment.plan import Plan
from fuota.deployment.states import Session
from fuota.device.agreement import NOT_TOLD
from fuota.device.effects import Ask, Assignment, effects
from fuota.device.machine import step
from fuota.device.messages import (
    Abandon,
    Answered,
    Arrange,
    ClockAnswered,
    Close,
    Conclude,
    Expired,
    Release,
    Verify,
)
from fuota.device.standing import standing
from fuota.device.states import (
    AskingStatus,
    Complete,
    CorrectingClock,
    Failed,
    Incomplete,
    Listening,
    Prepared,
    Reason,
    Released,
    SettingUpSession,
    State,
    StillListening,
    Unheard,
    Withdrawing,
)
from fuota.lorawan.eui import EUI64
from tests.pure.answers import SECOND, asked, session_answer, status_answer


@pytest.mark.parametrize("kind", [AskingStatus, StillListening])
def test_another_session_comes_before_the_question_what_was_received(
    kind: type[State], plan: Plan, session: Session, now: datetime
) -> None:
    arguments = (session, 1, now) if kind is AskingStatus else (session, now)
    asked = kind(*arguments)
    assert step(plan, asked, Arrange(session), now) is asked
    after = step(plan, asked, Arrange(attrs.evolve(session, number=2)), now)
    assert isinstance(after, SettingUpSession)
    assert after.session.number == 2


@pytest.mark.parametrize("bit", ["dr_error", "freq_error"])
def test_a_refused_session_fails(bit: str, plan: Plan, session: Session, now: datetime) -> None:
    answer = session_answer(None, **{bit: True})
    after = step(plan, asked(session, 1, now), Answered(answer, now), now)
    assert isinstance(after, Failed)
    assert after.reason is Reason.SESSION_REFUSED


@pytest.mark.parametrize("off", [-3600, -6, 6, 3600])
def test_a_device_whose_clock_is_off_is_told_so_and_not_counted_on(
    off: int, plan: Plan, session: Session, now: datetime
) -> None:
    now = session.start - timedelta(seconds=4000)
    state = step(plan, asked(session, 1, now), Answered(session_answer(4000 + off), now), now)
    assert isinstance(state, CorrectingClock)
    assert state.otherwise.reason is Reason.CLOCK_OFF
    assert f"{-off:+d} s" in state.otherwise.detail
    (ask,) = effects(Assignment(plan, EUI64(bytes(8)), bytes(16), now), state)
    assert isinstance(ask, Ask)
    assert type(ask.command).__name__ == "ForceDeviceResyncReq"
    assert ask.package.port == 202
    again = step(plan, state, ClockAnswered(-off), now)
    assert isinstance(again, SettingUpSession)
    assert again.session is session
    closed = step(plan, state, Close(session), session.start)
    assert isinstance(closed, Unheard), "it may hear a part of the window, or all"
    assert closed.otherwise.reason is Reason.CLOCK_OFF


def test_a_clock_may_be_put_right_until_the_start_where_no_attempt_follows(
    plan: Plan, session: Session, now: datetime
) -> None:
    """It may take longer than an attempt: two uplinks, and calls to ChirpStack that are made again."""
    only = attrs.evolve(plan, unicast_attempts=1)
    state = step(only, asked(session, 1, now), Answered(session_answer(4000), now), now)
    assert isinstance(state, CorrectingClock)
    later = session.start - SECOND
    again = step(only, state, Expired(), later)
    assert again == attrs.evolve(state, deadline=later + plan.unicast_timeout)
    assert isinstance(step(only, again, ClockAnswered(3900), later), SettingUpSession)
    assert step(only, again, Expired(), session.start) == Unheard(session, state.otherwise)
    twice = attrs.evolve(state, put_right=True)
    asked_again = step(only, twice, Expired(), later)
    assert asked_again == Unheard(session, state.otherwise), "it has been asked again"


@pytest.mark.parametrize("correction", [0, 3600])
def test_a_device_that_disagrees_whatever_its_clock_is_corrected_by_is_not_asked_for_ever(
    correction: int, plan: Plan, session: Session, now: datetime
) -> None:
    state: State = asked(session, 1, now)
    asks = 0
    while isinstance(state, SettingUpSession):
        asks += 1
        state = step(plan, state, Answered(session_answer(None, mc_group_undefined=True), now), now)
        assert isinstance(state, CorrectingClock)
        state = step(plan, state, ClockAnswered(correction), now)
    assert state == Unheard(session, Failed(Reason.SESSION_REFUSED, "group undefined"))
    assert asks == plan.unicast_attempts + 1


def test_a_device_whose_clock_is_right_has_agreed_however_long_its_answer_was_on_its_way(
    plan: Plan, session: Session, now: datetime
) -> None:
    """Device stacks say at the request how long it is until the start, and may not be heard before long."""
    state = step(plan, asked(session, 1, now), Answered(session_answer(100), now), now + 40 * SECOND)
    assert state == Listening(session), "by the instant at which a gateway has heard it"
    late = now + 40 * SECOND
    state = step(plan, asked(session, 1, now), Answered(session_answer(100), late), late)
    assert isinstance(state, CorrectingClock)
    assert step(plan, state, ClockAnswered(1), late) == Listening(session)
    unknown = step(plan, asked(session, 1, now), Answered(session_answer(0xFFFFFF), now), now)
    assert isinstance(step(plan, unknown, ClockAnswered(0), now), SettingUpSession), "it has not said a start"
    put_right_meanwhile = Answered(session_answer(100), late, overtaken=True)
    state = step(plan, asked(session, 1, now), put_right_meanwhile, late)
    assert isinstance(step(plan, state, ClockAnswered(0), late), SettingUpSession), "by its old clock"


@pytest.mark.parametrize("off", [-5, 0, 5])
def test_a_few_seconds_of_clock_error_are_tolerated(
    off: int, plan: Plan, session: Session, now: datetime
) -> None:
    state = step(plan, asked(session, 1, now), Answered(session_answer(100 + off), now), now)
    assert state == Listening(session)


def test_time_to_start_counts_from_when_the_uplink_was_received(
    plan: Plan, session: Session, now: datetime
) -> None:
    late = now + timedelta(seconds=60)
    state = step(plan, asked(session, 1, now), Answered(session_answer(100), now), late)
    assert state == Listening(session)


@pytest.mark.parametrize("time_to_start", [60, 0xFFFFFF, None])
def test_an_answer_from_before_the_request_does_not_disagree(
    time_to_start: int | None, plan: Plan, session: Session, now: datetime
) -> None:
    """It is to the request of a session whose start was put off."""
    state = asked(session, 1, now + plan.unicast_timeout)
    answer = session_answer(time_to_start)
    assert step(plan, state, Answered(answer, now - 5.1 * SECOND), now + SECOND) is state
    after = step(plan, state, Answered(answer, now - 4.9 * SECOND), now + SECOND)
    assert isinstance(after, CorrectingClock), "a gateway's clock may be a little behind"
    agreeing = session_answer(round((session.start - now).total_seconds()) + 60)
    assert step(plan, state, Answered(agreeing, now - 60 * SECOND), now) == Listening(session)
    refusing = Answered(session_answer(None, freq_error=True), now - 60 * SECOND)
    assert isinstance(step(plan, state, refusing, now), Failed)


@pytest.mark.parametrize("time_to_start", [60, 0xFFFFFF, None])
def test_nor_does_one_that_comes_while_the_network_is_asked_to_take_the_request(
    time_to_start: int | None, plan: Plan, session: Session, now: datetime
) -> None:
    """A start was put off, and the answer to its request is late. What is under way goes on."""
    answer = Answered(session_answer(time_to_start), now, early=True)
    second = asked(attrs.evolve(session, number=2), 1, now + plan.unicast_timeout)
    assert step(plan, second, answer, now) is second
    assert isinstance(step(plan, second, attrs.evolve(answer, early=False), now), CorrectingClock)
    for other in (attrs.evolve(second, session=session), attrs.evolve(second, attempt=2)):
        assert isinstance(step(plan, other, answer, now), CorrectingClock), "it was asked for no other start"
    agreeing = session_answer(round((session.start - now).total_seconds()))
    assert step(plan, second, Answered(agreeing, now, early=True), now) == Listening(second.session)


def test_a_start_that_has_passed_is_missed_by_a_clock_that_is_right(
    plan: Plan, session: Session, now: datetime
) -> None:
    """The device was asked too late: it is left alone until it is told of another start, if there is one."""
    missed = session_answer(None)
    first = asked(session, 1, now)
    assert isinstance(step(plan, first, Answered(missed, session.start), session.start), CorrectingClock)
    again = attrs.evolve(first, attempt=2, put_right=True)
    assert isinstance(step(plan, again, Answered(missed, session.start), session.start), SettingUpSession)
    session = attrs.evolve(session, put_off=1)
    state = asked(session, 1, now)
    almost = session.start - 5 * SECOND
    assert step(plan, state, Answered(missed, almost), almost) is state
    earlier = almost - SECOND
    assert isinstance(step(plan, state, Answered(missed, earlier), earlier), CorrectingClock)
    unknown = Answered(session_answer(0xFFFFFF), session.start)
    assert isinstance(step(plan, state, unknown, session.start), CorrectingClock), (
        "that is no matter of the start"
    )
    late = session.start + SECOND
    told = step(plan, state, Answered(missed, late), late)
    assert isinstance(told, SettingUpSession)
    (ask,) = effects(Assignment(plan, EUI64(bytes(8)), bytes(16), now), told)
    assert isinstance(ask, Ask)
    assert ask.useful_until == session.start, "nothing is asked any more"
    only = attrs.evolve(plan, unicast_attempts=1)
    assert standing(only, told) == standing(only, state), (
        "the start is put off for it as for one not yet asked"
    )
    assert step(plan, told, Close(session), late) == Unheard(session, NOT_TOLD)
    in_time = attrs.evolve(told, attempt=2, deadline=late)
    assert step(plan, in_time, Close(session), late) == Unheard(
        session, Failed(Reason.NO_ANSWER, "to the session request before the start")
    )


def test_a_request_that_was_made_before_the_clock_was_set_back_is_answered_all_the_same(
    plan: Plan, session: Session, now: datetime
) -> None:
    state = asked(session, 1, now + timedelta(hours=1))
    after = step(plan, state, Answered(session_answer(5), now - SECOND), now)
    assert isinstance(after, CorrectingClock)


def test_an_undefined_group_that_was_just_accepted_is_a_missed_start(
    plan: Plan, session: Session, now: datetime
) -> None:
    state = step(
        plan,
        asked(session, 3, now),
        Answered(session_answer(None, mc_group_undefined=True), now),
        now,
    )
    assert isinstance(state, CorrectingClock)
    state = step(plan, state, Expired(), session.start)
    assert isinstance(state, Unheard)
    assert state.otherwise.reason is Reason.SESSION_REFUSED


def test_a_group_that_is_undefined_is_asked_about_again_whatever_else_is_said_of_it(
    plan: Plan, session: Session, now: datetime
) -> None:
    """LoRaMac-node sets all three bits, also while it is sending."""
    all_bits = session_answer(None, dr_error=True, freq_error=True, mc_group_undefined=True)
    state = step(plan, asked(session, 1, now), Answered(all_bits, now), now)
    assert isinstance(state, CorrectingClock)
    assert state.otherwise == Failed(Reason.SESSION_REFUSED, "group undefined")
    again = step(plan, state, Expired(), now)
    assert isinstance(again, SettingUpSession)
    agreeing = session_answer(round((session.start - now).total_seconds()))
    assert step(plan, again, Answered(agreeing, now), now) == Listening(session)


def test_a_retry_never_moves_the_start(plan: Plan, session: Session, now: datetime) -> None:
    state: State = asked(session, 1, now)
    for later in (10, 20):
        state = step(plan, state, Expired(), now + timedelta(seconds=later))
        assert isinstance(state, SettingUpSession)
        assert state.session is session


def test_who_listened_to_a_part_of_the_fragments_is_not_released(plan: Plan, session: Session) -> None:
    assert step(plan, Listening(session), Release(), session.end) == Released()
    after = step(plan, Listening(session), Release(whole=False), session.end)
    assert isinstance(after, Incomplete)
    assert isinstance(after.otherwise, Failed)
    assert after.otherwise.reason is Reason.INCOMPLETE
    assert step(plan, after, Conclude(), session.end) == after.otherwise


def test_another_session_is_arranged_with_every_device_that_is_left(
    plan: Plan, session: Session, now: datetime
) -> None:
    following = attrs.evolve(session, number=2)
    for state in (Prepared(), Listening(session), asked(session, 3, now)):
        after = step(plan, state, Arrange(following), now)
        assert isinstance(after, SettingUpSession)
        assert after.session is following
        assert after.attempt == 1
    assert step(plan, Listening(following), Arrange(session), now) == Listening(following)


@pytest.mark.parametrize("kind", [SettingUpSession, CorrectingClock])
def test_a_start_counts_as_missed_that_was_put_off_when_the_network_had_taken_the_request(
    kind: type[SettingUpSession | CorrectingClock], plan: Plan, session: Session, now: datetime
) -> None:
    before = kind(session, 1, now, Failed(Reason.CLOCK_OFF, ""), missed=1)
    put_off = attrs.evolve(session, number=2, put_off=session.put_off + 1)
    for said, missed in [
        (Arrange(put_off), 2),
        (Arrange(put_off, asked=False), 1),
        (Arrange(attrs.evolve(session, number=2)), 1),
    ]:
        after = step(plan, before, said, now)
        assert isinstance(after, SettingUpSession)
        assert after.missed == missed
        again = step(plan, after, Expired(), now)
        assert isinstance(again, SettingUpSession)
        assert (again.attempt, again.missed) == (2, missed)
    another = step(plan, Listening(session), Arrange(put_off), now)
    assert isinstance(another, SettingUpSession)
    assert another.missed == 0


def test_whoever_has_not_agreed_when_the_session_begins_is_not_part_of_it(
    plan: Plan, session: Session, now: datetime
) -> None:
    late = step(plan, Prepared(), Close(session), session.start)
    assert isinstance(late, Unheard)
    assert late.otherwise.reason is Reason.START_MISSED
    assert step(plan, Prepared(), Verify(session), session.start) == late
    assert step(plan, Prepared(), Release(), session.start) == Incomplete(late.otherwise)
    silent = asked(session, 1, session.start)
    off = Failed(Reason.CLOCK_OFF, "")
    not_put_right = CorrectingClock(session, 1, silent.deadline, off)
    assert step(plan, not_put_right, Close(session), session.start) == Unheard(session, off)
    put_right = attrs.evolve(silent, otherwise=off)
    assert step(plan, put_right, Close(session), session.start) == Unheard(session, off)
    twice = attrs.evolve(silent, attempt=2)
    assert step(plan, twice, Close(session), session.start) == Unheard(session, silent.otherwise)
    early = session.start - SECOND
    assert step(plan, silent, Close(session), early) == Unheard(session, NOT_TOLD), (
        "it has its first attempt yet"
    )
    for said in (Close(session), Verify(session), Release()):
        waits = step(plan, silent, said, session.start + SECOND)
        assert waits == Unheard(session, NOT_TOLD), "the request still waits for the network to take it"
    assert step(plan, silent, Expired(), now) != Unheard(session, silent.otherwise), "it has attempts left"
    last = attrs.evolve(silent, attempt=3)
    assert step(plan, last, Expired(), now) == Unheard(session, silent.otherwise)


def test_one_whose_answer_was_lost_is_asked_with_the_others_what_it_has(
    plan: Plan, session: Session, now: datetime
) -> None:
    silent = Failed(Reason.NO_ANSWER, "to the session request")
    unheard, at = Unheard(session, silent), session.end
    asking = step(plan, unheard, Verify(session), at)
    assert isinstance(asking, AskingStatus)
    assert step(plan, asking, Answered(status_answer(41, 0), at), at) == Complete(41)
    assert step(plan, asking, Answered(status_answer(0, 41), at), at) == Incomplete(silent)
    assert step(plan, asking, Expired(), at) == silent, "once"
    assert step(plan, asking, Expired(), at - SECOND) == silent, "nobody waits for the end of its window"
    heard = step(plan, asking, Answered(status_answer(30, 11), at - SECOND), at - SECOND)
    assert isinstance(heard, StillListening)
    assert step(plan, unheard, Release(), at) == silent
    assert step(plan, unheard, Abandon("over"), at) == Withdrawing(silent)
    following = Session(2, at + 60 * SECOND, at + 120 * SECOND)
    assert isinstance(step(plan, unheard, Arrange(following), at), SettingUpSession)
    assert step(plan, unheard, Arrange(following), following.start) is unheard, "it has begun: another comes"


@pytest.mark.parametrize("reason", [Reason.SESSION_REFUSED, Reason.CLOCK_OFF, Reason.START_MISSED])
def test_one_that_has_said_why_it_would_hear_nothing_is_asked_like_the_others(
    reason: Reason, plan: Plan, session: Session
) -> None:
    """It was heard, so it is there: and is set up anew if it does not say what it has."""
    said, early, at = Failed(reason, "it said so"), session.start + SECOND, session.end
    asking = step(plan, Unheard(session, said), Verify(session), early)
    assert asking == AskingStatus(session, 1, early + plan.unicast_timeout, otherwise=said, missed=said)
    last = attrs.evolve(asking, attempt=plan.unicast_attempts)
    assert step(plan, last, Expired(), at) == Incomplete(said)
    waiting = step(plan, last, Expired(), early)
    assert isinstance(waiting, StillListening), "it may listen, as it was asked to"
    assert waiting.otherwise == said
    assert step(plan, Unheard(session, said), Release(), at) == Incomplete(said), "if nobody is asked"
    partly = step(plan, last, Answered(status_answer(9, 9), early), early)
    again = step(plan, partly, Expired(), at)
    assert isinstance(again, AskingStatus)
    assert step(plan, attrs.evolve(again, attempt=plan.unicast_attempts), Expired(), at) == Incomplete(said)


@pytest.mark.parametrize("listening", [False, True])
def test_of_a_session_that_nobody_has_agreed_to_nothing_can_have_been_heard(
    listening: bool, plan: Plan, session: Session
) -> None:
    """LoRaMac-node may count as many as are needed of another. It is not waited for either, though a device
    may have agreed when it was too late."""
    said, at = Failed(Reason.CLOCK_OFF, "it said so"), session.start + SECOND
    cut = attrs.evolve(session, end=at, empty=True)
    told = step(plan, Listening(session) if listening else Unheard(session, said), Verify(cut), at)
    assert isinstance(told, AskingStatus)
    assert told.session == cut
    for numbers in ((41, 0), (41, 3), (0, 41)):
        for memory in (False, True):
            answer = status_answer(*numbers, no_memory=memory)
            after = step(plan, told, Answered(answer, at), at)
            assert isinstance(after, Incomplete)
            assert listening or after.otherwise == said
    sent = attrs.evolve(told, session=attrs.evolve(cut, empty=False))
    assert step(plan, sent, Answered(status_answer(41, 0), at), at) == Complete(41), "it may be of one before"


@pytest.mark.parametrize("reason", [Reason.SESSION_REFUSED, Reason.CLOCK_OFF, Reason.START_MISSED])
def test_one_that_has_heard_nothing_has_failed_for_what_it_said_before(
    reason: Reason, plan: Plan, session: Session
) -> None:
    said, at = Failed(reason, "it said so"), session.end
    asking = step(plan, Unheard(session, said), Verify(session), at)
    assert step(plan, asking, Answered(status_answer(0, 41), at), at) == Incomplete(said)
    early = at - SECOND
    state = step(plan, asking, Answered(status_answer(0, 41), early), early)
    assert isinstance(state, StillListening)
    again = step(plan, state, Expired(), at)
    assert step(plan, again, Answered(status_answer(0, 41), at), at) == Incomplete(said)
    for heard in (1, 40):
        counted = step(plan, asking, Answered(status_answer(heard, 41 - heard), at), at)
        assert isinstance(counted, Incomplete)
        assert isinstance(counted.otherwise, Failed)
        assert counted.otherwise.reason is Reason.INCOMPLETE
    assert step(plan, asking, Answered(status_answer(41, 0), at), at) == Complete(41)


def test_an_answer_that_comes_when_the_session_has_begun_may_still_be_one(
    plan: Plan, session: Session, now: datetime
) -> None:
    unheard = Unheard(session, Failed(Reason.NO_ANSWER, ""))
    late = session.start + SECOND
    assert step(plan, unheard, Answered(session_answer(100), now), late) == Listening(session)
    assert step(plan, unheard, Answered(session_answer(160), now), late) is unheard, "its clock is off"
    assert step(plan, unheard, Answered(session_answer(100, dr_error=True), now), late) is unheard
