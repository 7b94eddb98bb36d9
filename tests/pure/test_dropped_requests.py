"""Requests that the network drops: they are asked again at once; of the last one, the failure says so."""

from datetime import datetime, timedelta

import attrs
import pytest

from fuota.deployment.plan import Plan
from fuota.deployment.states import Session
from fuota.device.effects import Ask, Assignment, effects
from fuota.device.machine import step
from fuota.device.messages import Answered, Close, Expired
from fuota.device.states import (
    AskingStatus,
    Complete,
    CorrectingClock,
    Failed,
    Listening,
    Prepared,
    Reason,
    SettingUpFragments,
    SettingUpGroup,
    SettingUpSession,
    State,
    Unheard,
)
from fuota.fate import Dropped
from fuota.lorawan.eui import EUI64
from fuota.lorawan.fragmentation import FragSessionSetupAns, FragSessionStatusAns
from fuota.lorawan.multicast import McClassCSessionAns, McGroupSetupAns
from fuota.lorawan.package import Command

DROPPED = Dropped(dev_eui=EUI64(bytes(8)), item="7", reason="too large")
SILENT = Failed(Reason.NO_ANSWER, "to the session request")


def answer(kind: type[Command], **fields: int | bool) -> Command:
    """With every bit that refuses something cleared."""
    return kind(**{name: False for name in attrs.fields_dict(kind) if name not in fields} | fields)


Asking = SettingUpGroup | SettingUpFragments | SettingUpSession | AskingStatus

ANSWERS: dict[type[Asking], tuple[str, Command, type[State]]] = {
    SettingUpGroup: ("McGroupSetupReq", answer(McGroupSetupAns, mc_group_id=1), SettingUpFragments),
    SettingUpFragments: ("FragSessionSetupReq", answer(FragSessionSetupAns, frag_index=2), Prepared),
    SettingUpSession: (
        "the session request",
        answer(McClassCSessionAns, mc_group_id=1, time_to_start=100),
        Listening,
    ),
    AskingStatus: (
        "FragSessionStatusReq",
        answer(FragSessionStatusAns, frag_index=2, nb_frag_received=50),
        Complete,
    ),
}
"""What each state asks, a good answer to it, and where that leads."""


@pytest.fixture(params=list(ANSWERS), ids=lambda kind: kind.__name__)
def last(request: pytest.FixtureRequest, session: Session, now: datetime) -> Asking:
    """The last attempt of each request that can be answered."""
    deadline = now + timedelta(seconds=10)
    asking: dict[type[Asking], Asking] = {
        SettingUpGroup: SettingUpGroup(3, deadline, "g"),
        SettingUpFragments: SettingUpFragments(3, deadline),
        SettingUpSession: SettingUpSession(session, 3, deadline, SILENT),
        AskingStatus: AskingStatus(session, 3, deadline),
    }
    return asking[request.param]


def instant(state: State, session: Session, now: datetime) -> datetime:
    """At which `state` may be: the status is asked for when the window has closed."""
    return session.end if isinstance(state, AskingStatus) else now


def test_the_next_attempt_comes_at_once(last: Asking, plan: Plan, session: Session, now: datetime) -> None:
    at = instant(last, session, now)
    second = step(plan, attrs.evolve(last, attempt=1), DROPPED, at)
    assert (type(second), getattr(second, "attempt", None)) == (type(last), 2)
    assert getattr(second, "dropped", None) == ""


def test_an_earlier_attempt_may_still_be_answered(
    last: Asking, plan: Plan, session: Session, now: datetime
) -> None:
    at = instant(last, session, now)
    _, answered, then = ANSWERS[type(last)]
    dropped = step(plan, last, DROPPED, at)
    assert dropped == attrs.evolve(last, dropped="too large")
    assert isinstance(step(plan, dropped, Answered(answered, at), at), then)


def test_until_then_nothing_is_sent_unless_something_was_away(
    last: Asking, plan: Plan, session: Session, now: datetime
) -> None:
    assignment = Assignment(plan, EUI64(bytes(8)), bytes(16), now)
    dropped = step(plan, last, DROPPED, instant(last, session, now))
    (asked,), (left,) = effects(assignment, last), effects(assignment, dropped)
    assert isinstance(asked, Ask)
    assert left == attrs.evolve(asked, dropped=True)


def failure(state: State) -> Failed:
    """How the device has failed, unless it turns out to have listened."""
    found = state.otherwise if isinstance(state, Unheard) else state
    assert isinstance(found, Failed)
    return found


def test_a_device_that_was_not_asked_has_not_failed_to_answer(
    last: Asking, plan: Plan, session: Session, now: datetime
) -> None:
    at = instant(last, session, now)
    request, _, _ = ANSWERS[type(last)]
    dropped = step(plan, last, DROPPED, at)
    unsent = Failed(Reason.NOT_SENT, f"{request}, the last time: too large")
    assert failure(step(plan, dropped, Expired(), at)) == unsent
    assert failure(step(plan, last, Expired(), at)).reason is Reason.NO_ANSWER


def test_a_clock_that_is_known_to_be_off_is_the_better_reason(
    plan: Plan, session: Session, now: datetime
) -> None:
    off = Failed(Reason.CLOCK_OFF, "its clock is off by +60 s")
    dropped = step(plan, SettingUpSession(session, 3, now, off), DROPPED, now)
    assert failure(step(plan, dropped, Close(session), session.start)) == off
    correcting = CorrectingClock(session, 3, now, off)
    assert step(plan, correcting, DROPPED, now) is correcting
