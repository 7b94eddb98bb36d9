"""What a device has said of the round in one window counts in the next."""

from datetime import datetime
from typing import TypeAlias

import attrs
import pytest

from fuota.deployment.plan import Plan
from fuota.deployment.states import Session
from fuota.device.machine import step
from fuota.device.messages import Answered, Arrange, Expired, Release, Verify
from fuota.device.states import (
    AskingStatus,
    Complete,
    CorrectingClock,
    Failed,
    Incomplete,
    Listening,
    Prepared,
    Reason,
    SettingUpSession,
    State,
    StillListening,
    Told,
    Unconfirmed,
    Unheard,
)
from fuota.lorawan.multicast import McClassCSessionAns
from tests.pure.answers import SECOND, status_answer

Meanwhile: TypeAlias = SettingUpSession | CorrectingClock | Listening | Unheard

SILENT = Failed(Reason.NO_ANSWER, "to the session request")


@pytest.fixture
def another(session: Session) -> Session:
    length = session.end - session.start
    return Session(session.number + 1, session.end + 60 * SECOND, session.end + 60 * SECOND + length)


def meanwhile(another: Session, now: datetime, told: Told) -> list[Meanwhile]:
    """Where a device may be in the next window."""
    return [
        SettingUpSession(another, 1, now, SILENT, told=told),
        CorrectingClock(another, 1, now, SILENT, told=told),
        Listening(another, told),
        Unheard(another, SILENT, told),
    ]


def test_an_answer_that_was_on_its_way_for_long_counts(
    plan: Plan, session: Session, another: Session
) -> None:
    """It says so and starts its image, and nothing is heard of it any more."""
    at = session.end + SECOND
    arranged = step(plan, AskingStatus(session, 1, at), Arrange(another), at)
    assert isinstance(arranged, SettingUpSession)
    assert arranged.told == Told(session.start)
    for here in meanwhile(another, at, arranged.told):
        assert step(plan, here, Answered(status_answer(41, 0), at), at) == Complete(41)
        early = Answered(status_answer(41, 0), session.start - SECOND)
        assert step(plan, here, early, at) is here, "it is of an earlier deployment"
        other = Answered(status_answer(41, 0, frag_index=plan.frag_index ^ 1), at)
        assert step(plan, here, other, at) is here
        enough = step(plan, here, Answered(status_answer(45, 3), at), at)
        assert enough == attrs.evolve(here, told=Told(session.start, Unconfirmed(45, 3)))
        few = Answered(status_answer(20, 21), at, nb_frag_before=41)
        assert step(plan, here, few, at) == attrs.evolve(here, told=Told(session.start, counts_anew=True))
        kept = Answered(status_answer(41, 0), at, nb_frag_before=41)
        assert step(plan, here, kept, at) == here, "it counts what it has of an earlier deployment"


def test_who_was_not_asked_in_the_round_has_told_nothing(
    plan: Plan, session: Session, another: Session
) -> None:
    at, empty = session.end, attrs.evolve(session, empty=True)
    nothing: tuple[State, ...] = (Prepared(), Listening(session), AskingStatus(empty, 1, at))
    for here in nothing:
        arranged = step(plan, here, Arrange(another), at)
        assert isinstance(arranged, SettingUpSession)
        assert arranged.told is None
        assert step(plan, arranged, Answered(status_answer(41, 0), at), at) is arranged


@pytest.mark.parametrize("asked", [False, True])
def test_who_was_not_heard_to_agree_to_a_window_may_lack_what_was_sent_in_it(
    asked: bool, plan: Plan, session: Session, another: Session
) -> None:
    """If it was not asked before that, it has told nothing: an answer is of an earlier deployment."""
    at, third = session.end, attrs.evolve(another, number=another.number + 1)
    before = Told(session.start, Unconfirmed(45, 3), counts_anew=True) if asked else None
    why = Failed(Reason.START_MISSED, "not told")
    arranged = step(plan, Unheard(session, why, before), Arrange(another), at)
    assert isinstance(arranged, SettingUpSession)
    assert arranged.told == attrs.evolve(before or Told(None), missed=why)
    for here in meanwhile(another, at, arranged.told):
        after = step(plan, here, Answered(status_answer(41, 0), at), at)
        assert after == (Complete(41) if asked else here)
        asking = step(plan, here, Verify(another), another.end)
        assert isinstance(asking, AskingStatus | Unheard)
        assert isinstance(asking, Unheard) or asking.missed == why
        once_more = step(plan, asking, Arrange(third), at)
        assert isinstance(once_more, SettingUpSession)
        assert once_more.told is not None
        assert once_more.told.missed == why


def test_what_leaves_least_doubt_that_it_has_missed_a_window_is_kept(
    plan: Plan, session: Session, another: Session
) -> None:
    off, refused, late = (
        Failed(reason, "") for reason in (Reason.CLOCK_OFF, Reason.SESSION_REFUSED, Reason.START_MISSED)
    )
    for first, then, kept in [
        (SILENT, off, off),
        (SILENT, refused, refused),
        (refused, SILENT, refused),
        (refused, late, refused),
    ]:
        unheard = Unheard(session, then, Told(None, missed=first))
        arranged = step(plan, unheard, Arrange(another), session.end)
        assert isinstance(arranged, SettingUpSession)
        assert arranged.told == Told(None, missed=kept)
        asking = step(plan, unheard, Verify(session), session.end)
        assert isinstance(asking, AskingStatus)
        assert asking.missed == kept


@pytest.mark.parametrize("reason", [Reason.NO_ANSWER, Reason.CLOCK_OFF, Reason.START_MISSED])
@pytest.mark.parametrize("whole", [False, True])
def test_nor_is_it_released_where_nobody_is_asked(
    whole: bool, reason: Reason, plan: Plan, another: Session
) -> None:
    why = Failed(reason, "")
    listening = Listening(another, Told(None, missed=why))
    assert step(plan, listening, Release(whole), another.end) == Incomplete(why)


def test_what_it_has_told_is_known_however_it_comes_to_be_asked_again(
    plan: Plan, session: Session, another: Session
) -> None:
    at, enough = session.end, Unconfirmed(45, 3)
    said = StillListening(session, at, enough, counts_anew=True)
    told = Told(session.start, enough, counts_anew=True)
    arranged = step(plan, said, Arrange(another), at)
    assert arranged == SettingUpSession(another, 1, at + plan.unicast_timeout, SILENT, told=told)
    third = attrs.evolve(another, number=another.number + 1)
    for here in meanwhile(another, at, told):
        still = attrs.evolve(told, missed=SILENT if isinstance(here, Unheard) else None)
        assert step(plan, here, Arrange(third), at) == attrs.evolve(arranged, session=third, told=still)
    seconds = round((another.start - at).total_seconds())
    agreed = McClassCSessionAns(mc_group_id=plan.mc_group_id, time_to_start=seconds)
    for here in meanwhile(another, at, told):
        heard = step(plan, here, Answered(agreed, at), at)
        assert heard == Listening(another, told)
        asking = step(plan, heard, Verify(another), another.end)
        assert isinstance(asking, AskingStatus)
        assert (asking.attempt, asking.otherwise, asking.counts_anew) == (1, enough, True)
    for here in meanwhile(another, at, told):
        unheard = step(plan, here, Expired(), another.end)
        while isinstance(unheard, SettingUpSession):
            unheard = step(plan, unheard, Expired(), another.end)
        asking = step(plan, unheard, Verify(another), another.end)
        assert isinstance(asking, AskingStatus)
        while isinstance(asking, AskingStatus):
            asking = step(plan, asking, Expired(), another.end)
        assert asking == enough, "it may have started its image"
