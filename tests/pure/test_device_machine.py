"""The device machine: its table line by line."""

from collections.abc import Callable
from datetime import datetime

import pytest

from fuota.deployment.plan import Plan
from fuota.deployment.states import Session
from fuota.device.effects import VERSION
from fuota.device.machine import step
from fuota.device.messages import (
    Abandon,
    Answered,
    Arrange,
    Begin,
    Close,
    Expired,
    Fact,
    Joined,
    Refused,
    Release,
    Verify,
    Withdrawn,
)
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
    Waiting,
    Withdrawing,
)
from fuota.lorawan import fragmentation
from fuota.lorawan.package import Command
from tests.pure.answers import SECOND, asked, fragments_answer, group_answer, session_answer, status_answer


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


@pytest.mark.parametrize("status", [0x90, 0xA0, 0xB0])
def test_bits_that_are_reserved_in_version_1_refuse_nothing(status: int, plan: Plan, now: datetime) -> None:
    """Version 2 refuses a SessionCnt with the first of them, of which version 1 knows nothing."""
    (answer,) = fragmentation.package.read("up", bytes([0x02, status]), VERSION).whole()
    assert step(plan, SettingUpFragments(1, now), Answered(answer, now), now) == Prepared()


def test_a_refused_group_fails(plan: Plan, now: datetime) -> None:
    after = step(plan, SettingUpGroup(1, now), Answered(group_answer(id_error=True), now), now)
    assert isinstance(after, Failed)
    assert after.reason is Reason.GROUP_REFUSED


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
