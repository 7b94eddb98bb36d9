"""The device machine: its table line by line, and its laws."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuota.deployment.plan import Plan
from fuota.deployment.states import Session
from fuota.device.effects import Ask, Assignment, Join, WakeAt, Withdraw, effects
from fuota.device.machine import step
from fuota.device.messages import (
    Abandon,
    Answered,
    Arrange,
    Begin,
    ClockAnswered,
    Close,
    Expired,
    Fact,
    Joined,
    Refused,
    Release,
    Verify,
    Withdrawn,
)
from fuota.device.record import ended
from fuota.device.standing import standing
from fuota.device.states import (
    AskingStatus,
    Complete,
    CorrectingClock,
    Failed,
    JoiningGroup,
    Listening,
    Prepared,
    Reason,
    Released,
    SettingUpFragments,
    SettingUpGroup,
    SettingUpSession,
    State,
    StillListening,
    Unconfirmed,
    Waiting,
    Withdrawing,
)
from fuota.fate import Dropped
from fuota.lorawan.eui import EUI64
from fuota.lorawan.fragmentation import FragSessionSetupAns, FragSessionStatusAns
from fuota.lorawan.multicast import McClassCSessionAns, McGroupSetupAns
from fuota.lorawan.package import Command

SECOND = timedelta(seconds=1)


def group_answer(*, id_error: bool = False, mc_group_id: int = 1) -> McGroupSetupAns:
    return McGroupSetupAns(mc_group_id=mc_group_id, id_error=id_error)


def fragments_answer(**bits: bool) -> FragSessionSetupAns:
    names = (
        "encoding_unsupported",
        "not_enough_memory",
        "frag_session_index_not_supported",
        "wrong_descriptor",
    )
    return FragSessionSetupAns(frag_index=2, **(dict.fromkeys(names, False) | bits))


def session_answer(time_to_start: int | None, *, mc_group_id: int = 1, **bits: bool) -> McClassCSessionAns:
    names = ("dr_error", "freq_error", "mc_group_undefined")
    return McClassCSessionAns(
        mc_group_id=mc_group_id, time_to_start=time_to_start, **(dict.fromkeys(names, False) | bits)
    )


def asked(session: Session, attempt: int, now: datetime) -> SettingUpSession:
    return SettingUpSession(session, attempt, now, Failed(Reason.NO_ANSWER, "to the session request"))


def status_answer(
    received: int, missing: int, *, no_memory: bool = False, frag_index: int = 2
) -> FragSessionStatusAns:
    return FragSessionStatusAns(
        frag_index=frag_index,
        nb_frag_received=received,
        missing_frag=missing,
        not_enough_matrix_memory=no_memory,
    )


def test_a_device_that_answers_everything_goes_straight_to_the_end(
    plan: Plan, session: Session, now: datetime
) -> None:
    state: State = Waiting()
    history: list[tuple[Fact, datetime]] = [
        (Begin("g"), now),
        (Joined(), now),
        (Answered(group_answer(), now), now),
        (Answered(fragments_answer(), now), now),
        (Arrange(session), now),
        (Answered(session_answer(100), now), now),
        (Close(session), session.start),
        (Verify(session), session.end),
        (Answered(status_answer(41, 0), session.end + SECOND), session.end + SECOND),
    ]
    seen = []
    for message, at in history:
        state = step(plan, state, message, at)
        seen.append(type(state))
    assert seen == [
        JoiningGroup,
        SettingUpGroup,
        SettingUpFragments,
        Prepared,
        SettingUpSession,
        Listening,
        Listening,
        AskingStatus,
        Complete,
    ]


def test_a_member_of_a_group_that_is_gone_joins_the_next(plan: Plan, now: datetime) -> None:
    waiting = SettingUpGroup(2, now, "g")
    assert step(plan, waiting, Begin("g"), now) is waiting
    assert step(plan, waiting, Begin("h"), now) == JoiningGroup("h")


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


@pytest.mark.parametrize("asking", [SettingUpGroup, SettingUpFragments])
def test_a_request_is_repeated_until_the_attempts_are_used_up(
    asking: type[SettingUpGroup | SettingUpFragments], plan: Plan, now: datetime
) -> None:
    state: State = asking(1, now)
    for attempt in (2, 3):
        state = step(plan, state, Expired(), now)
        assert state == asking(attempt, now + plan.unicast_timeout)
    after = step(plan, state, Expired(), now)
    assert isinstance(after, Failed)
    assert after.reason is Reason.NO_ANSWER


def test_every_refusing_bit_of_the_fragmentation_setup_fails_with_its_name(plan: Plan, now: datetime) -> None:
    for bit in (
        "encoding_unsupported",
        "not_enough_memory",
        "frag_session_index_not_supported",
        "wrong_descriptor",
    ):
        after = step(plan, SettingUpFragments(1, now), Answered(fragments_answer(**{bit: True}), now), now)
        assert isinstance(after, Failed)
        assert after.reason is Reason.FRAGMENTATION_REFUSED
        assert after.detail


def test_a_refused_group_fails(plan: Plan, now: datetime) -> None:
    after = step(plan, SettingUpGroup(1, now), Answered(group_answer(id_error=True), now), now)
    assert isinstance(after, Failed)
    assert after.reason is Reason.GROUP_REFUSED


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
    again = step(plan, state, ClockAnswered(), now)
    assert isinstance(again, SettingUpSession)
    assert again.session is session
    closed = step(plan, state, Close(session), session.start)
    assert isinstance(closed, Failed)
    assert closed.reason is Reason.CLOCK_OFF


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
    state = step(plan, state, Expired(), now)
    assert isinstance(state, Failed)
    assert state.reason is Reason.SESSION_REFUSED


def test_a_retry_never_moves_the_start(plan: Plan, session: Session, now: datetime) -> None:
    state: State = asked(session, 1, now)
    for later in (10, 20):
        state = step(plan, state, Expired(), now + timedelta(seconds=later))
        assert isinstance(state, SettingUpSession)
        assert state.session is session


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


def test_whoever_has_not_agreed_when_the_session_begins_is_not_part_of_it(
    plan: Plan, session: Session, now: datetime
) -> None:
    late = step(plan, Prepared(), Close(session), session.start)
    assert isinstance(late, Failed)
    assert late.reason is Reason.START_MISSED
    silent = asked(session, 1, now)
    assert step(plan, silent, Close(session), session.start) is silent.otherwise


@pytest.mark.parametrize(
    ("received", "missing", "end"),
    [(41, 0, Complete(41)), (60, 0, Complete(60)), (45, 3, Unconfirmed(45, 3))],
)
def test_what_the_status_says_at_the_end(
    received: int, missing: int, end: State, plan: Plan, session: Session
) -> None:
    at = session.end + SECOND
    assert step(plan, AskingStatus(session, 1, at), Answered(status_answer(received, missing), at), at) == end


@pytest.mark.parametrize(("received", "missing"), [(0, 0), (40, 0), (40, 1), (0, 41), (30, 11)])
def test_too_few_fragments_are_a_failure_whatever_missing_frag_says(
    received: int, missing: int, plan: Plan, session: Session
) -> None:
    at = session.end + SECOND
    after = step(plan, AskingStatus(session, 1, at), Answered(status_answer(received, missing), at), at)
    assert isinstance(after, Failed)
    assert after.reason is Reason.INCOMPLETE


@pytest.mark.parametrize("answer", [(41, 0), (0, 41)])
def test_a_status_from_before_the_session_is_of_an_earlier_deployment(
    answer: tuple[int, int], plan: Plan, session: Session
) -> None:
    asking = AskingStatus(session, 1, session.end)
    early = Answered(status_answer(*answer), session.start - SECOND)
    assert step(plan, asking, early, session.end) is asking


def test_too_little_memory_is_final(plan: Plan, session: Session) -> None:
    now = session.end
    after = step(
        plan, AskingStatus(session, 1, now), Answered(status_answer(30, 11, no_memory=True), now), now
    )
    assert isinstance(after, Failed)
    assert after.reason is Reason.NOT_ENOUGH_MEMORY


def test_while_its_window_is_open_a_device_is_never_given_up(plan: Plan, session: Session) -> None:
    now = session.start + 20 * SECOND
    asking = AskingStatus(session, 3, now)
    waiting = StillListening(session, now + 10 * SECOND)
    assert step(plan, asking, Answered(status_answer(30, 11), now), now) == waiting
    assert step(plan, asking, Expired(), now) == waiting
    assert step(plan, waiting, Answered(status_answer(41, 0), now), now) == Complete(41)
    again = step(plan, waiting, Expired(), session.end)
    assert isinstance(again, AskingStatus)
    assert again.attempt == 1


def test_a_long_window_does_not_mean_many_questions(plan: Plan, session: Session) -> None:
    session = attrs.evolve(session, end=session.start + timedelta(hours=9))
    now, questions = session.start, 0
    state: State = AskingStatus(session, 1, session.start)
    while now < session.end:
        state = step(plan, state, Answered(status_answer(30, 11), now), now)
        assert isinstance(state, StillListening)
        assert now < state.deadline <= session.end
        now = state.deadline
        state = step(plan, state, Expired(), now)
        questions += 1
    assert questions < 25


def test_nobody_is_silent_before_block_ack_delay_is_over(plan: Plan, session: Session) -> None:
    slow = attrs.evolve(plan, block_ack_delay=3)
    state = step(slow, AskingStatus(session, 2, session.end), Expired(), session.end)
    assert state == AskingStatus(session, 3, session.end + timedelta(seconds=2**7 + 5))


def test_answers_that_concern_another_deployment_change_nothing(
    plan: Plan, session: Session, now: datetime
) -> None:
    cases: list[tuple[State, Command]] = [
        (SettingUpGroup(1, now), group_answer(mc_group_id=0)),
        (asked(session, 1, now), session_answer(100, mc_group_id=0)),
        (AskingStatus(session, 1, now), status_answer(41, 0, frag_index=0)),
    ]
    for state, answer in cases:
        assert step(plan, state, Answered(answer, now), now) is state


def test_no_request_lets_the_device_go_without_asking(plan: Plan, session: Session, now: datetime) -> None:
    assert step(plan, Listening(session), Release(), session.end) == Released()


def test_the_network_does_not_know_the_device(plan: Plan, now: datetime) -> None:
    after = step(plan, JoiningGroup("g"), Refused(True, "no such device"), now)
    assert after == Failed(Reason.UNKNOWN_DEVICE, "no such device")


ASKED: list[Callable[[Session, datetime], State]] = [
    lambda session, at: SettingUpGroup(1, at, "g"),
    lambda session, at: SettingUpFragments(2, at),
    lambda session, at: asked(session, 1, at),
    lambda session, at: CorrectingClock(session, 1, at, Failed(Reason.CLOCK_OFF, "")),
    lambda session, at: AskingStatus(session, 3, at),
]


@pytest.mark.parametrize("asking", ASKED)
def test_a_request_that_is_out_is_taken_back_when_the_deployment_does_not_go_on(
    asking: Callable[[Session, datetime], State], plan: Plan, session: Session, now: datetime
) -> None:
    failed = Failed(Reason.ABANDONED, "cancelled")
    state = step(plan, asking(session, now + SECOND), Abandon("cancelled"), now)
    assert state == Withdrawing(failed)
    for late in (
        Abandon("again"),
        Refused(True, "no such device"),
        Expired(),
        Close(session),
        Answered(group_answer(), now),
    ):
        assert step(plan, state, late, now) is state
    assert step(plan, state, Withdrawn(), now) == failed


def test_where_no_request_is_out_nothing_is_taken_back(plan: Plan, session: Session, now: datetime) -> None:
    for state in (Waiting(), JoiningGroup("g"), Prepared(), Listening(session), StillListening(session, now)):
        assert step(plan, state, Abandon("over"), now) == Failed(Reason.ABANDONED, "over")


# -- laws ------------------------------------------------------------------------------------------

facts = st.one_of(
    st.just(Begin("g")),
    st.sampled_from(["arrange", "close", "verify", "arrange again"]),
    st.just(Release()),
    st.just(Abandon("cancelled")),
    st.just(Joined()),
    st.just(Withdrawn()),
    st.builds(Refused, st.booleans(), st.text(max_size=3)),
    st.just(ClockAnswered()),
    st.just(Expired()),
    st.just(Dropped(dev_eui=EUI64(bytes(8)), item="7", reason="too large")),
    st.builds(group_answer, id_error=st.booleans(), mc_group_id=st.integers(0, 3)),
    st.builds(fragments_answer, not_enough_memory=st.booleans()),
    st.builds(session_answer, st.integers(0, 200), mc_group_id=st.integers(0, 3)),
    st.builds(status_answer, st.integers(0, 60), st.integers(0, 255), no_memory=st.booleans()),
)


def fact(drawn: Any, session: Session, now: datetime) -> Fact:
    match drawn:
        case "arrange":
            return Arrange(session)
        case "arrange again":
            return Arrange(attrs.evolve(session, number=2))
        case "close":
            return Close(session)
        case "verify":
            return Verify(session)
        case McGroupSetupAns() | FragSessionSetupAns() | McClassCSessionAns() | FragSessionStatusAns():
            return Answered(drawn, now)
    known: Fact = drawn
    return known


@given(history=st.lists(st.tuples(facts, st.integers(0, 120)), max_size=40))
def test_laws(history: list[tuple[Any, int]], plan: Plan, session: Session, now: datetime) -> None:
    """An end state never changes, every wait has a future deadline, every request wakes itself up again,
    and silence alone ends every history that the deployment has begun to end."""
    assignment = Assignment(plan, EUI64(bytes(8)), bytes(16), now)
    state: State = Waiting()
    for drawn, seconds in history:
        now += timedelta(seconds=seconds)
        before, state = state, step(plan, state, fact(drawn, session, now), now)
        if ended(before):
            assert state is before
        if state is not before:
            _check_wait(state, before, now)
            assert standing(plan, state).stage >= 0
        _check_effects(assignment, state)
    for _ in range(10 * plan.unicast_attempts):
        now += timedelta(hours=1)
        state = step(plan, state, Expired(), now)
    if isinstance(state, Waiting | JoiningGroup):
        state = step(plan, state, Abandon("over"), now)
    elif isinstance(state, Withdrawing):
        state = step(plan, state, Withdrawn(), now)
    elif isinstance(state, Prepared | Listening):
        state = step(plan, state, Release(), now)
    assert ended(state)


def _check_wait(state: State, before: State, now: datetime) -> None:
    deadline = getattr(state, "deadline", None)
    if deadline is not None and not (isinstance(state, StillListening) and isinstance(before, AskingStatus)):
        assert deadline > now


def _check_effects(assignment: Assignment, state: State) -> None:
    wanted = effects(assignment, state)
    if hasattr(state, "deadline"):
        (effect,) = wanted
        assert isinstance(effect, Ask | WakeAt)
        if isinstance(effect, Ask):
            assert effect.payload
    elif isinstance(state, JoiningGroup):
        assert wanted == (Join("g"),)
    elif isinstance(state, Withdrawing):
        assert wanted == (Withdraw(),)
    else:
        assert wanted == ()
