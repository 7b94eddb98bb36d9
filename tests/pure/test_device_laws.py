"""What holds in every history of a device."""

from datetime import datetime, timedelta
from typing import Any

import attrs
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
    Unattended,
    Verify,
    Withdrawn,
)
from fuota.device.record import ended
from fuota.device.standing import standing
from fuota.device.states import (
    AskingStatus,
    JoiningGroup,
    Listening,
    Prepared,
    State,
    StillListening,
    Waiting,
    Withdrawing,
)
from fuota.fate import Dropped
from fuota.lorawan.eui import EUI64
from fuota.lorawan.fragmentation import FragSessionSetupAns, FragSessionStatusAns
from fuota.lorawan.multicast import McClassCSessionAns, McGroupSetupAns
from tests.pure.answers import fragments_answer, group_answer, session_answer, status_answer

facts = st.one_of(
    st.just(Begin("g")),
    st.sampled_from(["arrange", "close", "verify", "arrange again"]),
    st.just(Release()),
    st.just(Abandon("cancelled")),
    st.just(Joined()),
    st.just(Withdrawn()),
    st.builds(Refused, st.booleans(), st.text(max_size=3)),
    st.builds(ClockAnswered, st.sampled_from([0, 5, 6, -3600])),
    st.just(Expired()),
    st.builds(Unattended, st.booleans()),
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
