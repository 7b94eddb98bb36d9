"""What holds in every history of a deployment."""

from datetime import datetime, timedelta

import attrs

from docs import draw
from fuota.deployment import machine
from fuota.deployment.effects import (
    CreateGroup,
    DeleteGroup,
    Drain,
    Flush,
    JoinAgain,
    Leave,
    WakeAt,
    Watch,
    effects,
)
from fuota.deployment.machine import step
from fuota.deployment.messages import Counted, Drained, Expired, Fact, GroupCreated, GroupDeleted, Waiting
from fuota.deployment.plan import Plan
from fuota.deployment.record import ended
from fuota.deployment.states import (
    Abandoning,
    ArrangingSession,
    Concluding,
    CreatingGroup,
    CreatingGroupInVain,
    DeletingGroup,
    Ended,
    InSession,
    Repeating,
    RestoringGroup,
    SettingUpFragments,
    SettingUpGroups,
    Settling,
    State,
)
from tests.pure.histories import Moment, called, drive
from tests.pure.states import tally


def test_laws(plan: Plan, now: datetime) -> None:
    """Every state is reached; an end state never changes, the cursor only goes back to what has left the
    queue, or to the beginning for a round of those that have not enough, a session never moves, what waits
    wakes up by itself, and once the devices have settled every history ends.
    """
    seen: set[str] = set()

    def look(moment: Moment) -> None:
        for fact, after in moment.tried:
            _check_cursor(moment.state, fact, after)
            _check_session(moment.state, after)
            if ended(after) and called(after) not in seen:
                assert all(step(moment.plan, after, fact, moment.at) is after for fact, _ in moment.tried)
            seen.add(called(after))
        _check_effects(moment.plan, moment.state)
        _check_end(moment.plan, moment.state, moment.at)

    drive("deployment", plan, now, look, histories=200)
    assert seen == set(draw.read(machine).states)


def _check_cursor(before: State, fact: Fact, after: State) -> None:
    sent = getattr(before, "sent", 0)
    if isinstance(fact, Waiting) and after is not before and isinstance(after, ArrangingSession):
        assert 0 <= after.sent <= max(sent - fact.left, 0)
    elif isinstance(after, Repeating) and isinstance(before, InSession) and not isinstance(before, Repeating):
        assert isinstance(fact, Counted)
        assert after.sent == 0
        assert after.round.number == before.round.number + 1
        assert after.round.incomplete == fact.tally.incomplete > 0
    else:
        assert getattr(after, "sent", sent) >= sent


def _check_session(before: State, after: State) -> None:
    old, new = getattr(before, "session", None), getattr(after, "session", None)
    if old is not None and new is not None:
        deserted = isinstance(after, Settling) and new == attrs.evolve(old, end=new.end, empty=new.empty)
        assert new == old or new.number == old.number + 1 or (deserted and new.end <= old.end)


def _check_effects(plan: Plan, state: State) -> None:
    wanted = effects(plan, state)
    match state:
        case SettingUpFragments(group_id, again=True):
            assert wanted == (JoinAgain(group_id),)
        case Repeating(group_id, drained=True):
            assert wanted == (Flush(group_id),)
        case SettingUpGroups() | SettingUpFragments() | Concluding() | Abandoning():
            assert wanted == ()  # for the devices are waited for, which have deadlines
        case Settling(looked=True):
            assert wanted == ()
        case CreatingGroup() | CreatingGroupInVain() | RestoringGroup():
            assert any(isinstance(effect, CreateGroup) for effect in wanted)
        case DeletingGroup():
            assert wanted == (DeleteGroup(),)
        case Ended():
            assert wanted == (Leave(),)
        case _:
            assert any(isinstance(effect, WakeAt | Watch | Drain) for effect in wanted)


def _check_end(plan: Plan, state: State, now: datetime) -> None:
    gone = tally(settled=3)
    over: list[Fact] = [Counted(gone), Expired(gone)]
    for fact in [GroupCreated("g"), *over, *over, Drained(), *over, GroupDeleted()]:
        now += timedelta(days=1)
        state = step(plan, state, fact, now)
    assert ended(state)
