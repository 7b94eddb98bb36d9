"""When the devices that have not enough are set up anew, and all is sent once more."""

from datetime import datetime, timedelta
from typing import get_args

import attrs
import pytest

from fuota.deployment.effects import Drain, Flush, JoinAgain, effects, instruction
from fuota.deployment.machine import step
from fuota.deployment.messages import Cancel, Counted, Drained, Expired, GroupCreated, GroupLost, Waiting
from fuota.deployment.plan import RESTORATIONS, SESSIONS, Plan, StatusRequest
from fuota.deployment.states import (
    Abandoning,
    ArrangingSession,
    AwaitingEnd,
    AwaitingStart,
    Concluding,
    DeletingGroup,
    Draining,
    Repeating,
    RestoringGroup,
    Round,
    Session,
    Settling,
    Transmitting,
    Why,
)
from fuota.deployment.windows import session as window
from fuota.device import messages as device
from tests.pure.states import tally

Awaited = ArrangingSession | AwaitingStart | Transmitting
"""In which somebody has to agree to the session."""

SECOND_ROUND = Round(2, windows=1, incomplete=3)


@pytest.fixture
def settling(plan: Plan, session: Session) -> Settling:
    """All is sent and has left the queue; the window is closed."""
    return Settling("g", session, plan.fragments, looked=True)


@pytest.fixture
def repeating(session: Session) -> Repeating:
    return Repeating("g", session, 0, used=1, round=SECOND_ROUND)


def test_those_that_have_not_enough_are_set_up_anew(
    plan: Plan, session: Session, settling: Settling, repeating: Repeating
) -> None:
    over = Counted(tally(incomplete=3, settled=7, complete=7))
    assert step(plan, settling, over, session.end) == repeating
    assert instruction(plan, repeating) == device.Begin("g")
    assert effects(plan, repeating) == (Flush("g"),), "or it would be heard in the next round"


@pytest.mark.parametrize("kind", get_args(Awaited))
def test_where_nobody_is_left_to_ask_the_session_is_not_waited_for(
    kind: type[Awaited],
    plan: Plan,
    session: Session,
    repeating: Repeating,
) -> None:
    """Those whose clocks were put right too late are set up anew at once."""
    here = kind("g", session, 0)
    assert step(plan, here, Counted(tally(incomplete=3, settled=1)), session.start) == repeating
    assert step(plan, here, Counted(tally(incomplete=3, ready=1)), session.start) != repeating
    fruitless = attrs.evolve(here, round=SECOND_ROUND)
    last = Abandoning(Why.NOBODY_LEFT, "no device is left to send to")
    assert step(plan, fruitless, Counted(tally(incomplete=3)), session.start) == last
    served = Counted(tally(incomplete=3, settled=7, complete=7))
    assert step(plan, fruitless, served, session.start) == Abandoning(Why.DONE, "")


@pytest.mark.parametrize("awaited", ["ready", "unheard", "leaving"])
def test_not_before_it_is_known_of_all_what_they_have(
    awaited: str, plan: Plan, session: Session, settling: Settling
) -> None:
    assert step(plan, settling, Counted(tally(incomplete=3, **{awaited: 1})), session.end) is settling


@pytest.mark.parametrize("behind", ["incomplete", "group", "fragments"])
def test_the_session_of_the_round_is_fixed_when_they_are_prepared(
    behind: str, plan: Plan, session: Session, repeating: Repeating
) -> None:
    now = session.end
    assert step(plan, repeating, Counted(tally(prepared=2, **{behind: 1})), now) is repeating
    arranged = step(plan, repeating, Counted(tally(prepared=2, settled=8, complete=7)), now)
    due = window(plan, 2, now, 2)
    assert arranged == ArrangingSession("g", due, 0, used=1, round=SECOND_ROUND)
    assert Flush("g") in effects(plan, arranged)


def test_the_session_waits_while_others_need_what_still_waits_in_the_queue(
    plan: Plan, session: Session, settling: Settling, repeating: Repeating
) -> None:
    """Device stacks in the field say that they are complete, and need one or two fragments more to finish."""
    early = session.end - timedelta(seconds=1)
    needed = step(plan, settling, Counted(tally(incomplete=3, settled=7, complete=7)), early)
    assert needed == attrs.evolve(repeating, drained=False)
    assert effects(plan, needed) == (Drain("g", session.end),)
    gone = Counted(tally(settled=10, complete=7))
    assert step(plan, needed, gone, early) is needed
    assert step(plan, repeating, gone, early) == DeletingGroup(Why.DONE, "")
    ready = Counted(tally(prepared=3, settled=7, complete=7))
    assert step(plan, needed, ready, early) is needed
    assert step(plan, needed, Drained(), early) == repeating
    assert isinstance(step(plan, repeating, ready, early), ArrangingSession)
    assert step(plan, settling, Counted(tally(incomplete=3, settled=7)), early) == repeating


@pytest.mark.parametrize(("complete", "why"), [(7, Why.DONE), (0, Why.NOBODY_LEFT)])
def test_when_none_of_them_is_left_the_deployment_ends(
    complete: int, why: Why, plan: Plan, session: Session, repeating: Repeating
) -> None:
    after = step(plan, repeating, Counted(tally(settled=10, complete=complete)), session.end)
    assert isinstance(after, DeletingGroup)
    assert after.why is why


@pytest.mark.parametrize(("left", "number"), [(2, 3), (3, None), (4, None)])
def test_another_follows_while_each_round_leaves_fewer_of_them(
    left: int, number: int | None, plan: Plan, session: Session, settling: Settling
) -> None:
    over = attrs.evolve(settling, used=2, round=SECOND_ROUND)
    after = step(plan, over, Counted(tally(incomplete=left, settled=1)), session.end)
    if number is None:
        assert after == over.to(Concluding)
    else:
        assert isinstance(after, Repeating)
        assert after.round == Round(number, windows=3, incomplete=left)


def test_then_those_that_are_left_are_told_and_the_group_is_deleted(
    plan: Plan, session: Session, settling: Settling
) -> None:
    end, concluding = session.end, settling.to(Concluding)
    assert instruction(plan, concluding) == device.Conclude()
    assert effects(plan, concluding) == ()
    waiting = Counted(tally(incomplete=1, settled=2))
    assert step(plan, concluding, waiting, end) is concluding
    settled = Counted(tally(settled=3, complete=2))
    assert step(plan, concluding, settled, end) == DeletingGroup(Why.DONE, "")
    assert isinstance(step(plan, concluding, Cancel(), end), Abandoning)
    early = end - timedelta(seconds=1)
    assert step(plan, concluding, settled, early) == Draining("g", end), (
        "those that are complete may need more"
    )
    assert step(plan, concluding, Counted(tally(settled=3)), early) == DeletingGroup(Why.DONE, "")


@pytest.mark.parametrize("order", StatusRequest)
@pytest.mark.parametrize("kind", get_args(Awaited))
def test_when_nobody_agrees_to_a_session_those_that_may_have_heard_enough_are_asked(
    kind: type[Awaited],
    order: StatusRequest,
    plan: Plan,
    session: Session,
) -> None:
    """When it has begun; also if no round would follow for those that tell that they have not enough."""
    plan = attrs.evolve(plan, status_request=order)
    here = kind("g", session, 40, used=2, before=40, round=SECOND_ROUND)
    alone, begun = tally(incomplete=3, unheard=2, settled=1), session.start + timedelta(seconds=1)
    asking = here.to(Settling, looked=True, session=attrs.evolve(session, end=begun))
    told = device.Release(whole=False) if order is StatusRequest.NO_REQUEST else device.Verify(asking.session)
    assert instruction(plan, asking) == told
    if kind is Transmitting:
        assert step(plan, here, Counted(alone), begun) == asking
    else:
        assert step(plan, here, Counted(alone), session.start - timedelta(seconds=1)) is here
        assert step(plan, here, Expired(alone), begun) == asking
        put_off = step(plan, here, Expired(alone, away=True), begun)
        assert isinstance(put_off, ArrangingSession), "the network is away, and they may yet agree"
        assert put_off.session.put_off == 0


@pytest.mark.parametrize(
    ("kind", "used", "lost", "empty"),
    [
        (AwaitingStart, 1, 1, True),
        (ArrangingSession, 1, 1, True),
        (ArrangingSession, 2, 1, False),
        (ArrangingSession, 1, 2, False),
        (Transmitting, 1, 1, False),
    ],
    ids=["none", "nor this", "a window has closed", "a group was lost", "a batch is on its way"],
)
def test_of_a_round_in_which_something_may_have_been_heard_it_is_not_said_that_nothing_was_sent(
    kind: type[Awaited], used: int, lost: int, empty: bool, plan: Plan, session: Session
) -> None:
    """Though all of it has to be sent again, for all that is known."""
    here = kind("g", session, 0, lost, used, round=attrs.evolve(SECOND_ROUND, lost=1))
    alone = tally(incomplete=3, unheard=2, settled=1)
    fact = Counted(alone) if kind is Transmitting else Expired(alone)
    asking = step(plan, here, fact, session.start)
    assert isinstance(asking, Settling)
    assert asking.session.empty is empty


def test_a_round_begins_with_the_group_that_is_there(
    plan: Plan, session: Session, settling: Settling
) -> None:
    over = attrs.evolve(settling, lost=1)
    after = step(plan, over, Counted(tally(incomplete=3)), session.end)
    assert isinstance(after, Repeating)
    assert after.round.lost == 1


def test_no_round_begins_that_there_are_no_frame_counters_for(
    plan: Plan, session: Session, settling: Settling
) -> None:
    """With 16 300 fragments there are those for all that is sent in the first, and none for a second."""
    large = attrs.evolve(plan, firmware_size=16_300 * plan.frag_size)
    lacking = Counted(tally(incomplete=3))
    over = attrs.evolve(settling, sent=large.fragments)
    assert step(large, over, lacking, session.end) == over.to(Concluding)
    windows = 0
    while plan.room_after(windows + 1):
        windows += 1
    for used, kind in ((windows - 1, Repeating), (windows, Concluding)):
        assert isinstance(step(plan, attrs.evolve(settling, used=used), lacking, session.end), kind)


def test_each_round_has_its_five_windows(plan: Plan, session: Session) -> None:
    """However little they bring; those of rounds before are not counted."""
    later = Round(2, windows=7, incomplete=3)
    for closed, kind in ((1, ArrangingSession), (SESSIONS - 1, ArrangingSession), (SESSIONS, Settling)):
        end = AwaitingEnd("g", session, 1, used=7 + closed - 1, round=later)
        after = step(plan, end, Waiting(1, listening=3, moved=True), session.end)
        assert isinstance(after, kind)
        assert isinstance(after, ArrangingSession | Settling)
        assert after.round == later


def test_a_group_that_is_lost_is_restored_for_the_same_round(
    plan: Plan, session: Session, now: datetime, repeating: Repeating
) -> None:
    sending = Transmitting("g", session, 20, used=1, round=SECOND_ROUND)
    lost = step(plan, sending, GroupLost("g", "gone"), now)
    assert lost == RestoringGroup(session, 1, used=1, round=SECOND_ROUND)
    restored = step(plan, lost, GroupCreated("h", 3), now)
    assert isinstance(restored, ArrangingSession)
    assert restored.round == SECOND_ROUND
    assert step(plan, repeating, GroupLost("f", "gone"), now) is repeating, "another"
    lost = step(plan, repeating, GroupLost("g", "gone"), now)
    assert lost == RestoringGroup(session, 1, used=1, round=SECOND_ROUND, repeating=True)
    restored = step(plan, lost, GroupCreated("h", 3), now)
    assert restored == attrs.evolve(repeating, group_id="h", lost=1, round=attrs.evolve(SECOND_ROUND, lost=1))
    arranged = step(plan, restored, Counted(tally(prepared=3)), now)
    assert JoinAgain("h") in effects(plan, arranged), "for those who had answered before they were told of it"
    assert JoinAgain("g") not in effects(plan, step(plan, repeating, Counted(tally(prepared=3)), now))
    end = AwaitingEnd("g", session, plan.fragments, RESTORATIONS)
    gone = step(plan, end, GroupLost("g", "gone"), session.end)
    assert gone == Settling("g", session, plan.fragments, RESTORATIONS + 1, looked=True)
    assert isinstance(step(plan, gone, Counted(tally(incomplete=3)), session.end), Concluding), "no group"
    last = attrs.evolve(repeating, lost=RESTORATIONS)
    assert step(plan, last, GroupLost("g", "gone"), now) == Abandoning(Why.GROUP_LOST, "gone")
