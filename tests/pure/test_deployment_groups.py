"""A deployment and its multicast group: refused, deleted by hand, made again."""

from datetime import datetime

import attrs
import pytest

from fuota.deployment.effects import (
    CreateGroup,
    DeleteGroup,
    JoinAgain,
    Multicast,
    Watch,
    effects,
    instruction,
)
from fuota.deployment.machine import step
from fuota.deployment.messages import (
    Cancel,
    Counted,
    Expired,
    GroupCreated,
    GroupLost,
    GroupRefused,
)
from fuota.deployment.plan import RESTORATIONS, SESSIONS, Plan
from fuota.deployment.states import (
    Abandoning,
    ArrangingSession,
    AwaitingEnd,
    CreatingGroup,
    CreatingGroupInVain,
    DeletingGroup,
    RestoringGroup,
    Session,
    SettingUpFragments,
    SettingUpGroups,
    Settling,
    Transmitting,
    Why,
)
from fuota.device import messages as device
from tests.pure.states import tally


def test_a_refused_group_lets_the_devices_go_and_is_still_looked_for(plan: Plan, now: datetime) -> None:
    state = step(plan, CreatingGroup(), GroupRefused("no such application"), now)
    assert state == Abandoning(Why.GROUP_REFUSED, "no such application")
    assert instruction(plan, state) == device.Abandon("no such application")
    state = step(plan, state, Counted(tally(settled=3)), now)
    assert effects(plan, state) == (DeleteGroup(),)


@pytest.mark.parametrize("nb_frag", [1, 41, 1300, 8000, 16383])
def test_every_frame_counter_is_one_that_the_devices_take(nb_frag: int, plan: Plan) -> None:
    """However often the group was deleted, and whatever was sent again in every window that there may be."""
    large = attrs.evolve(plan, firmware_size=nb_frag * plan.frag_size)
    assert large.max_mc_fcnt < 2**16
    for lost in range(RESTORATIONS + 1):
        for used in range(SESSIONS):
            begin = large.mc_fcnt(lost, used)
            windows = SESSIONS - used if large.fragments < 9000 else 1
            assert begin + windows * large.fragments <= large.max_mc_fcnt
            assert lost == used == 0 or begin >= large.fragments


def test_a_group_that_was_deleted_by_hand(plan: Plan, session: Session, now: datetime) -> None:
    state = step(plan, Transmitting("g", session, 20), GroupLost("g", "not found"), now)
    assert state == RestoringGroup(session, 1)
    assert effects(plan, state) == (CreateGroup(plan.fragments + 512),)
    resent = RestoringGroup(session, 1, used=1)
    assert effects(plan, resent) == (CreateGroup(2 * plan.fragments + 512),)
    state = step(plan, state, GroupCreated("h", members=3), now)
    assert isinstance(state, ArrangingSession)
    assert (state.group_id, state.session.number, state.sent, state.lost) == ("h", 2, 0, 1)
    state = step(plan, state, Expired(tally(ready=3)), state.session.start)
    assert isinstance(state, Transmitting)
    assert state.lost == 1


def test_what_was_heard_before_a_group_was_deleted_was_heard(
    plan: Plan, session: Session, now: datetime
) -> None:
    """In windows that had closed; of the one that was open nobody knows."""
    state = step(plan, Transmitting("g", session, 40, used=2, before=24), GroupLost("g", "not found"), now)
    assert state == RestoringGroup(session, 1, used=2, before=24)
    state = step(plan, state, GroupCreated("h", members=3), now)
    assert isinstance(state, ArrangingSession)
    assert (state.sent, state.before, state.used) == (24, 24, 2)
    state = step(plan, state, Expired(tally(ready=3)), state.session.start)
    assert effects(plan, state)[0] == Multicast("h", 24, 44)


@pytest.mark.parametrize("kind", [AwaitingEnd, Settling])
def test_what_waits_in_the_queue_of_a_deleted_group_is_sent_again(
    kind: type[AwaitingEnd | Settling], plan: Plan, session: Session, now: datetime
) -> None:
    listening = kind("g", session, plan.fragments)
    watched = Watch("g", session.end)
    assert watched in effects(plan, listening)
    lost = GroupLost("g", "not found")
    state = step(plan, listening, lost, now)
    assert state == RestoringGroup(session, 1)
    last = attrs.evolve(listening, lost=RESTORATIONS)
    given_up = step(plan, last, lost, now)
    assert given_up == Settling("g", session, plan.fragments, RESTORATIONS + 1, looked=True), (
        "some may have it all"
    )


def test_devices_that_complete_while_a_group_is_made_again_are_not_forgotten(
    plan: Plan, session: Session, now: datetime
) -> None:
    """The group has to be there first, or nobody would delete it."""
    complete = Counted(attrs.evolve(tally(settled=3), complete=2))
    restoring = RestoringGroup(session, 1)
    assert step(plan, restoring, complete, now) is restoring
    restored = step(plan, restoring, GroupCreated("h"), now)
    assert step(plan, restored, complete, now) == DeletingGroup(Why.DONE, "")


def test_fragments_that_the_network_declines_end_the_deployment(
    plan: Plan, session: Session, now: datetime
) -> None:
    state = step(plan, Transmitting("g", session, 20), GroupRefused("too large"), now)
    assert state == Abandoning(Why.GROUP_REFUSED, "too large")


def test_a_group_that_is_deleted_again_and_again(plan: Plan, session: Session, now: datetime) -> None:
    state = step(plan, Transmitting("g", session, 20, RESTORATIONS), GroupLost("g", "not found"), now)
    assert state == Abandoning(Why.GROUP_LOST, "not found")
    state = step(plan, RestoringGroup(session, 1), GroupRefused("no such application"), now)
    assert state == Abandoning(Why.GROUP_LOST, "no such application")


def test_a_group_that_is_deleted_while_devices_join_is_made_again(plan: Plan, now: datetime) -> None:
    """Those that have joined the first are made members of the next before the devices are asked for more."""
    state = step(plan, SettingUpGroups("g"), GroupLost("g", "not found"), now)
    again = step(plan, state, GroupCreated("h"), now)
    assert step(plan, again, GroupLost("g", "not found"), now) is again, "another device says it late"
    assert effects(plan, step(plan, again, Counted(tally(fragments=3)), now)) == (JoinAgain("h"),)
    assert effects(plan, step(plan, SettingUpGroups("h"), Counted(tally(fragments=3)), now)) == ()


def test_a_cancelled_deployment_deletes_its_group_even_one_that_is_still_being_made(
    plan: Plan, session: Session, now: datetime
) -> None:
    assert step(plan, RestoringGroup(session, 1), Cancel(), now) == CreatingGroupInVain()
    state = step(plan, CreatingGroup(), Cancel(), now)
    assert state == CreatingGroupInVain()
    assert effects(plan, state) == (CreateGroup(members=False),), "nobody joins it"
    assert instruction(plan, state) == device.Abandon("cancelled")
    state = step(plan, state, GroupCreated("g"), now)
    assert isinstance(state, Abandoning)
    assert step(plan, SettingUpFragments("g"), Cancel(), now) == state
