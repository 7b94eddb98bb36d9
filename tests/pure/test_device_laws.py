"""What holds in every history of a device."""

from datetime import datetime, timedelta

from docs import draw
from fuota.deployment.plan import Plan
from fuota.device import machine
from fuota.device.effects import Ask, Assignment, Join, WakeAt, Withdraw, effects
from fuota.device.machine import step
from fuota.device.messages import Abandon, Conclude, Expired, Release, Withdrawn
from fuota.device.record import ended
from fuota.device.standing import Stage, standing
from fuota.device.states import (
    JoiningGroup,
    Listening,
    Prepared,
    State,
    Unheard,
    Waiting,
    Withdrawing,
)
from fuota.lorawan.eui import EUI64
from tests.pure.histories import Moment, called, drive


def test_laws(plan: Plan, now: datetime) -> None:
    """Every state is reached; an end state never changes, a new deadline is in the future, every request
    wakes itself up again, and silence alone ends every history that the deployment has begun to end.
    """
    seen: set[str] = set()

    def look(moment: Moment) -> None:
        for _, after in moment.tried:
            if after is not moment.state:
                _check_wait(after, moment.state, moment.at)
            if ended(after) and called(after) not in seen:
                assert all(step(moment.plan, after, fact, moment.at) is after for fact, _ in moment.tried)
            seen.add(called(after))
        _check_standing(moment.plan, moment.state)
        _check_effects(Assignment(moment.plan, EUI64(bytes(8)), bytes(16), now), moment.state)
        _check_end(moment.plan, moment.state, moment.at)

    drive("device", plan, now, look, histories=200)
    assert seen == set(draw.read(machine).states)


def _check_wait(state: State, before: State, now: datetime) -> None:
    deadline = getattr(state, "deadline", None)
    if deadline is not None and deadline != getattr(before, "deadline", None):
        assert deadline > now


def _check_standing(plan: Plan, state: State) -> None:
    said = standing(plan, state)
    assert (said.stage is Stage.SETTLED) == bool(said.outcome) == ended(state)
    assert (said.stage is Stage.READY) == bool(said.session)


def _check_effects(assignment: Assignment, state: State) -> None:
    wanted = effects(assignment, state)
    if hasattr(state, "deadline"):
        (effect,) = wanted
        assert isinstance(effect, Ask | WakeAt)
        if isinstance(effect, Ask):
            assert effect.payload
    elif isinstance(state, JoiningGroup):
        assert wanted == (Join(state.group_id),)
    elif isinstance(state, Withdrawing):
        assert wanted == (Withdraw(),)
    else:
        assert wanted == ()


def _check_end(plan: Plan, state: State, now: datetime) -> None:
    for _ in range(10 * plan.unicast_attempts):
        now += timedelta(hours=1)
        state = step(plan, state, Expired(), now)
    match state:
        case Waiting() | JoiningGroup():
            state = step(plan, state, Abandon("over"), now)
        case Withdrawing():
            state = step(plan, state, Withdrawn(), now)
        case Prepared() | Listening() | Unheard():
            state = step(plan, state, Release(), now)
    state = step(plan, state, Conclude(), now)
    assert ended(state)
