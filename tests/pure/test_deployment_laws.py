"""What holds in every history of a deployment."""

from datetime import datetime, timedelta

import attrs
from hypothesis import given
from hypothesis import strategies as st

from fuota.deployment.effects import (
    Leave,
    WakeAt,
    Watch,
    effects,
)
from fuota.deployment.machine import step
from fuota.deployment.messages import (
    Cancel,
    Counted,
    Expired,
    Fact,
    Flushed,
    FragmentsEnqueued,
    GroupCreated,
    GroupDeleted,
    GroupLost,
    GroupRefused,
    Waiting,
)
from fuota.deployment.plan import Plan, StatusRequest
from fuota.deployment.record import ended
from fuota.deployment.states import (
    ArrangingSession,
    AwaitingEnd,
    AwaitingStart,
    CreatingGroup,
    Settling,
    State,
    Transmitting,
)
from tests.pure.states import tally

tallies = st.builds(tally, *(st.integers(0, 2) for _ in range(6)))


facts = st.one_of(
    st.just(GroupCreated("g")),
    st.just(GroupRefused("no")),
    st.just(GroupLost("g", "no")),
    st.builds(Counted, tallies),
    st.builds(Expired, tallies),
    st.builds(FragmentsEnqueued, st.integers(0, 60)),
    st.builds(Waiting, st.integers(0, 60), st.integers(0, 2)),
    st.just(Flushed()),
    st.just(GroupDeleted()),
    st.just(Cancel()),
)


@given(
    history=st.lists(st.tuples(facts, st.integers(0, 200)), max_size=60),
    request_=st.sampled_from(StatusRequest),
)
def test_laws(history: list[tuple[Fact, int]], request_: StatusRequest, plan: Plan, now: datetime) -> None:
    """An end state never changes, the cursor only goes back to what has not left the queue, a session never
    moves, whatever waits for an instant wakes up by itself, and once the devices have settled every history
    ends."""
    plan = attrs.evolve(plan, status_request=request_)
    state: State = CreatingGroup()
    for fact, seconds in history:
        now += timedelta(seconds=seconds)
        before, state = state, step(plan, state, fact, now)
        if ended(before):
            assert state is before
        sent = getattr(before, "sent", 0)
        left = fact.left if isinstance(fact, Waiting) else 0
        assert getattr(state, "sent", sent) >= max(sent - left, 0)
        old, new = getattr(before, "session", None), getattr(state, "session", None)
        if old is not None and new is not None and old.number == new.number:
            assert old == new
        wakes = [effect for effect in effects(plan, state) if isinstance(effect, WakeAt | Watch)]
        assert bool(wakes) == isinstance(
            state, ArrangingSession | AwaitingStart | Transmitting | AwaitingEnd | Settling
        )
    gone = tally(settled=3)
    over: list[Fact] = [Counted(gone), Expired(gone)]
    ending: list[Fact] = [GroupCreated("g"), *over, *over, GroupDeleted()]
    for fact in ending:
        now += timedelta(days=1)
        state = step(plan, state, fact, now)
    assert ended(state)
    assert effects(plan, state) == (Leave(),)
