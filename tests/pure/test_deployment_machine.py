"""The deployment machine from the order to its end, in one session."""

from datetime import datetime, timedelta

import attrs
import pytest

from fuota.deployment.effects import (
    Drain,
    Multicast,
    effects,
    instruction,
)
from fuota.deployment.machine import step
from fuota.deployment.messages import (
    Cancel,
    Counted,
    Drained,
    Expired,
    FragmentsEnqueued,
    GroupCreated,
    GroupDeleted,
    GroupLost,
    Waiting,
)
from fuota.deployment.plan import Plan, StatusRequest
from fuota.deployment.record import milestones
from fuota.deployment.states import (
    Abandoning,
    ArrangingSession,
    AwaitingEnd,
    AwaitingStart,
    CreatingGroup,
    DeletingGroup,
    Draining,
    Ended,
    Session,
    SettingUpFragments,
    SettingUpGroups,
    Settling,
    State,
    Transmitting,
    Why,
)
from fuota.device import messages as device
from fuota.journal.port import Milestone
from tests.pure.states import tally, transmitting


def test_a_deployment_in_which_all_goes_well(plan: Plan, now: datetime) -> None:
    state: State = CreatingGroup()
    state = step(plan, state, GroupCreated("g"), now)
    assert state == SettingUpGroups("g")
    state = step(plan, state, Counted(tally(fragments=3)), now)
    assert state == SettingUpFragments("g")
    state = step(plan, state, Counted(tally(prepared=3)), now)
    assert isinstance(state, ArrangingSession)
    fixed = state.session
    state = step(plan, state, Counted(tally(ready=3)), now)
    assert state == AwaitingStart("g", fixed, 0)
    state = step(plan, state, Expired(tally(ready=3)), fixed.start)
    assert transmitting(state, "g", fixed, 0)
    state = step(plan, state, FragmentsEnqueued(20), fixed.start)
    assert transmitting(state, "g", fixed, 20)
    state = step(plan, state, FragmentsEnqueued(plan.fragments), fixed.start)
    assert state == AwaitingEnd("g", fixed, plan.fragments)
    state = step(plan, state, Waiting(0, 3), fixed.end)
    assert state == Settling("g", fixed, plan.fragments, looked=True)
    assert step(plan, state, Waiting(0, 3), fixed.end) is state
    state = step(plan, state, Counted(tally(settled=3)), fixed.end)
    assert state == DeletingGroup(Why.DONE, "")
    assert step(plan, state, GroupDeleted(), fixed.end) == Ended(Why.DONE, "")


def test_the_barrier_waits_for_every_device_and_for_none_that_has_failed(plan: Plan, now: datetime) -> None:
    state = SettingUpFragments("g")
    assert step(plan, state, Counted(tally(fragments=1, prepared=2)), now) is state
    assert step(plan, state, Counted(tally(group=1, prepared=2)), now) is state
    assert isinstance(step(plan, state, Counted(tally(prepared=2, settled=1)), now), ArrangingSession)


def test_when_nobody_is_left_nothing_is_multicast(plan: Plan, now: datetime, session: Session) -> None:
    nobody = Counted(tally(settled=3))
    for state in (SettingUpFragments("g"), ArrangingSession("g", session, 0), AwaitingStart("g", session, 0)):
        after = step(plan, state, nobody, now)
        assert isinstance(after, DeletingGroup)
        assert after.why is Why.NOBODY_LEFT


def test_a_batch_is_committed_once(plan: Plan, session: Session, now: datetime) -> None:
    state = Transmitting("g", session, 20)
    assert step(plan, state, FragmentsEnqueued(20), now) is state
    (batch, _) = effects(plan, state)
    assert batch == Multicast("g", 20, 40)
    (last, _) = effects(plan, Transmitting("g", session, 40))
    assert last == Multicast("g", 40, plan.fragments)


@pytest.mark.parametrize(
    ("request_", "after", "told"),
    [
        (StatusRequest.AFTER_FRAGMENT_ENQUEUE, Settling, device.Verify),
        (StatusRequest.AFTER_SESSION_TIMEOUT, AwaitingEnd, device.Close),
        (StatusRequest.NO_REQUEST, AwaitingEnd, device.Close),
    ],
)
def test_when_the_devices_are_asked(
    request_: StatusRequest, after: type[State], told: type[device.Instruction], plan: Plan, session: Session
) -> None:
    plan = attrs.evolve(plan, status_request=request_)
    state = step(plan, Transmitting("g", session, 40), FragmentsEnqueued(plan.fragments), session.start)
    assert isinstance(state, after)
    assert isinstance(instruction(plan, state), told)
    if isinstance(state, AwaitingEnd):
        state = step(plan, state, Waiting(0, 1), session.end)
        no_request = request_ is StatusRequest.NO_REQUEST
        assert isinstance(instruction(plan, state), device.Release if no_request else device.Verify)


@pytest.mark.parametrize("kind", [AwaitingEnd, Settling])
def test_what_waits_in_the_queue_of_devices_that_have_settled_is_sent(
    kind: type[AwaitingEnd | Settling], plan: Plan, session: Session
) -> None:
    """Some say that they are complete when they have fragments enough, and need one or two more to finish."""
    state, now = kind("g", session, plan.fragments), session.end - timedelta(seconds=1)
    done = tally(settled=3, complete=1)
    draining = step(plan, state, Counted(done), now)
    assert draining == Draining("g", session.end)
    assert effects(plan, draining) == (Drain("g", session.end),)
    for fact in (Drained(), GroupLost("g", "not found")):
        assert step(plan, draining, fact, now) == DeletingGroup(Why.DONE, "")
    assert step(plan, draining, Cancel(), now) == Abandoning(Why.CANCELLED, "cancelled")
    assert step(plan, state, Counted(done), session.end) == DeletingGroup(Why.DONE, "")
    assert step(plan, state, Counted(tally(settled=3)), now) == DeletingGroup(Why.DONE, ""), "nobody listens"


def test_nobody_is_sent_to_of_whom_nothing_was_heard_but_they_are_asked(
    plan: Plan, session: Session, now: datetime
) -> None:
    """When the session has begun, which is over then."""
    arranging = ArrangingSession("g", session, 0)
    silent = tally(unheard=2, settled=1)
    assert step(plan, arranging, Counted(silent), now) is arranging
    begun = session.start + timedelta(seconds=5)
    asking = step(plan, arranging, Expired(silent), begun)
    assert asking == Settling("g", attrs.evolve(session, end=begun, empty=True), 0, looked=True)
    assert instruction(plan, asking) == device.Verify(asking.session)
    assert step(plan, asking, Counted(tally(unheard=1, settled=2)), now) is asking
    over = step(plan, asking, Counted(tally(settled=3)), now)
    assert over == DeletingGroup(Why.NOBODY_LEFT, "no device is left to send to")
    settling = Settling("g", session, plan.fragments)
    assert step(plan, settling, Counted(tally(unheard=1, settled=2)), now) is settling
    one_ready = Counted(tally(ready=2, unheard=1))
    assert step(plan, arranging, one_ready, now) == AwaitingStart("g", session, 0)


def test_milestones_are_earned_by_the_state_that_is_entered(plan: Plan, session: Session) -> None:
    earned = [
        milestones(plan, state)
        for state in (
            SettingUpFragments("g"),
            ArrangingSession("g", session, 0),
            AwaitingStart("g", session, 0),
            AwaitingEnd("g", session, plan.fragments),
            Ended(Why.DONE, ""),
        )
    ]
    assert earned == [
        (milestone,)
        for milestone in (
            Milestone.MC_GROUP_SETUP,
            Milestone.FRAG_SESSION_SETUP,
            Milestone.MC_SESSION,
            Milestone.ENQUEUE,
            Milestone.FRAG_STATUS,
        )
    ]
    silent = attrs.evolve(plan, status_request=StatusRequest.NO_REQUEST)
    assert milestones(silent, Ended(Why.DONE, "")) == ()
