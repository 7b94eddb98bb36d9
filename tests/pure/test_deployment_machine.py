"""The deployment machine: its table, the session it plans, and its laws."""

from datetime import datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuota.deployment.effects import (
    CreateGroup,
    DeleteGroup,
    Drain,
    Flush,
    Leave,
    Multicast,
    WakeAt,
    Watch,
    effects,
    instruction,
)
from fuota.deployment.machine import BEACON_ACQUISITION, PATIENT, opening, session, step
from fuota.deployment.messages import (
    Cancel,
    Counted,
    Drained,
    Expired,
    Fact,
    Flushed,
    FragmentsEnqueued,
    GroupCreated,
    GroupDeleted,
    GroupLost,
    GroupRefused,
    Tally,
    Waiting,
)
from fuota.deployment.plan import RESTORATIONS, SESSIONS, MulticastClass, Plan, StatusRequest
from fuota.deployment.record import ended, milestones
from fuota.deployment.states import (
    Abandoning,
    ArrangingSession,
    AwaitingEnd,
    AwaitingStart,
    CreatingGroup,
    CreatingGroupInVain,
    DeletingGroup,
    Draining,
    Ended,
    RestoringGroup,
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
from fuota.lorawan.gpstime import gps_seconds


def tally(
    group: int = 0,
    fragments: int = 0,
    prepared: int = 0,
    asked: int = 0,
    ready: int = 0,
    unheard: int = 0,
    leaving: int = 0,
    settled: int = 0,
    complete: int = 0,
) -> Tally:
    return Tally(group, fragments, prepared, asked, ready, unheard, leaving, settled, complete)


def transmitting(
    state: State, group_id: str, session: Session, sent: int, *, lost: int = 0, used: int = 0
) -> bool:
    """Whether that is the state, whatever it says of its batch."""
    expected = Transmitting(group_id, session, sent, lost, used)
    return isinstance(state, Transmitting) and attrs.evolve(state, upto=0, drained=None) == expected


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
    assert state == Settling("g", fixed, plan.fragments)
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


def test_class_c_starts_when_every_attempt_can_have_been_answered(plan: Plan, now: datetime) -> None:
    planned = session(plan, 1, 1000, now)
    attempts = plan.unicast_attempts * plan.unicast_timeout
    assert attempts < planned.start - now < attempts + timedelta(seconds=5)
    assert planned.start.microsecond == 0
    assert planned.end - planned.start == timedelta(seconds=2**plan.time_out)


def test_class_b_starts_on_a_beacon_that_every_device_can_have_found(plan: Plan, now: datetime) -> None:
    plan = attrs.evolve(plan, mc_class=MulticastClass.B, time_out=2)
    planned = session(plan, 1, 10, now)
    earliest = now + plan.unicast_attempts * plan.unicast_timeout + BEACON_ACQUISITION
    assert gps_seconds(planned.start) % 128 == 0
    assert earliest <= planned.start <= earliest + timedelta(seconds=131)
    assert planned.end - planned.start == timedelta(seconds=4 * 128)
    assert opening(plan, planned) == planned.start


def test_the_first_fragment_is_sent_a_little_after_the_window_opens(plan: Plan, session: Session) -> None:
    assert opening(plan, session) == session.start + timedelta(seconds=2)
    short = attrs.evolve(plan, time_out=3)
    assert opening(short, session) == session.start + timedelta(seconds=0.5)


def test_a_session_is_moved_for_all_or_for_none(plan: Plan, session: Session) -> None:
    arranging = ArrangingSession("g", session, 0)
    some = step(plan, arranging, Expired(tally(asked=1, ready=2)), session.start)
    assert transmitting(some, "g", session, 0)
    none = step(plan, arranging, Expired(tally(prepared=3)), session.start)
    assert isinstance(none, ArrangingSession)
    assert none.session.number == 2
    assert none.session.start > session.start


def test_a_window_that_passed_while_the_server_was_away_is_followed_by_another(
    plan: Plan, session: Session
) -> None:
    late = session.end + timedelta(hours=1)
    after = step(plan, AwaitingStart("g", session, 0), Expired(tally(ready=3)), late)
    assert isinstance(after, ArrangingSession)
    assert (after.session.number, after.sent, after.used) == (2, 0, 0)
    after = step(plan, Transmitting("g", session, 20), Expired(tally(ready=3)), late)
    assert after == AwaitingEnd("g", session, 20)
    assert milestones(plan, after) == ()
    after = step(plan, after, Waiting(0, 3), late)
    assert isinstance(after, ArrangingSession)
    assert (after.session.number, after.sent, after.used) == (2, 20, 1)
    assert after.session.start > late


@pytest.mark.parametrize("kind", [AwaitingEnd, Settling])
@pytest.mark.parametrize(
    ("sent", "left", "goes_on_at"),
    [(51, 0, None), (51, 1, 50), (51, 50, 1), (51, 51, None), (51, 70, None), (20, 0, 20), (20, 30, 0)],
)
def test_what_still_waits_when_the_window_closes_is_sent_in_another(
    kind: type[AwaitingEnd | Settling],
    sent: int,
    left: int,
    goes_on_at: int | None,
    plan: Plan,
    session: Session,
) -> None:
    """Unless it is all of it: a queue of which nothing is sent is not helped by another window."""
    assert plan.fragments == 51
    closed = kind("g", session, sent, used=2)
    after = step(plan, closed, Waiting(left, 3), session.end)
    if goes_on_at is None:
        assert after == Settling("g", session, sent, used=2)
    else:
        assert isinstance(after, ArrangingSession)
        assert (after.session.number, after.sent, after.used) == (2, goes_on_at, 3)
        assert effects(plan, after)[0] == Flush("g")
    last = attrs.evolve(closed, used=SESSIONS - 1)
    assert step(plan, last, Waiting(left, 3), session.end) == Settling("g", session, sent, used=SESSIONS - 1)


def test_there_are_only_so_many_sessions(plan: Plan, session: Session) -> None:
    """That is, windows in which something was sent: a start that nobody could be told of uses none."""
    last = Transmitting("g", attrs.evolve(session, number=40), 20, used=SESSIONS - 1)
    after = step(plan, step(plan, last, Expired(tally(ready=3)), session.end), Waiting(0, 3), session.end)
    assert after == Settling("g", last.session, 20, used=SESSIONS - 1)
    assert milestones(plan, after) == ()
    before = Transmitting("g", session, 20, used=SESSIONS - 2)
    after = step(plan, step(plan, before, Expired(tally(ready=3)), session.end), Waiting(0, 3), session.end)
    assert isinstance(after, ArrangingSession)
    assert after.used == SESSIONS - 1


@pytest.mark.parametrize(
    ("fact", "number", "put_off"),
    [
        (Expired(tally(prepared=3)), 40, True),
        (Expired(tally(ready=3), away=True), 40, True),
        (Expired(tally(prepared=1, ready=2)), 1, True),
        (Expired(tally(prepared=1, ready=2)), PATIENT, False),
        (Expired(tally(asked=1, ready=2)), 1, False),
        (Expired(tally(ready=3)), 1, False),
    ],
    ids=["nobody", "away", "one not asked in time", "that once more", "one silent", "all"],
)
def test_a_start_is_put_off_for_those_whom_the_network_could_not_ask(
    fact: Expired, number: int, put_off: bool, plan: Plan, session: Session
) -> None:
    due = attrs.evolve(session, number=number)
    for state in (ArrangingSession("g", due, 20, 1, 2), AwaitingStart("g", due, 20, 1, 2)):
        after = step(plan, state, fact, opening(plan, due))
        if put_off:
            assert isinstance(after, ArrangingSession)
            assert (after.session.number, after.sent, after.lost, after.used) == (number + 1, 20, 1, 2)
            assert after.session.start > due.start
        else:
            assert transmitting(after, "g", due, 20, lost=1, used=2)


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
    assert step(plan, last, lost, now) is last, "some may have it all"


def test_devices_that_complete_while_a_group_is_made_again_are_not_forgotten(
    plan: Plan, session: Session, now: datetime
) -> None:
    complete = attrs.evolve(tally(settled=3), complete=2)
    assert step(plan, RestoringGroup(session, 1), Counted(complete), now) == DeletingGroup(Why.DONE, "")


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
    assert step(plan, SettingUpGroups("g"), GroupLost("g", "not found"), now) == CreatingGroup()
    again = SettingUpGroups("h")
    assert step(plan, again, GroupLost("g", "not found"), now) is again, "another device says it late"


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


def test_nobody_is_sent_to_of_whom_nothing_was_heard_but_they_are_told_of_the_end(
    plan: Plan, session: Session, now: datetime
) -> None:
    arranging = ArrangingSession("g", session, 0)
    abandoned = step(plan, arranging, Counted(tally(unheard=2, settled=1)), now)
    assert abandoned == Abandoning(Why.NOBODY_LEFT, "no device is left to send to")
    assert step(plan, abandoned, Counted(tally(unheard=1, settled=2)), now) is abandoned
    over = step(plan, abandoned, Counted(tally(settled=3)), now)
    assert over == DeletingGroup(Why.NOBODY_LEFT, "no device is left to send to")
    settling = Settling("g", session, plan.fragments)
    assert step(plan, settling, Counted(tally(unheard=1, settled=2)), now) is settling
    one_ready = Counted(tally(ready=2, unheard=1))
    assert step(plan, arranging, one_ready, now) == AwaitingStart("g", session, 0)


def test_a_cancelled_deployment_deletes_its_group_even_one_that_is_still_being_made(
    plan: Plan, session: Session, now: datetime
) -> None:
    assert step(plan, RestoringGroup(session, 1), Cancel(), now) == CreatingGroupInVain()
    state = step(plan, CreatingGroup(), Cancel(), now)
    assert state == CreatingGroupInVain()
    assert effects(plan, state) == (CreateGroup(members=False),), "nobody joins it"
    state = step(plan, state, GroupCreated("g"), now)
    assert isinstance(state, Abandoning)
    assert step(plan, SettingUpFragments("g"), Cancel(), now) == state


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


# -- laws ------------------------------------------------------------------------------------------

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
