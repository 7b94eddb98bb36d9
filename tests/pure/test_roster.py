"""What a deployment knows of its fleet."""

from datetime import UTC, datetime

import attrs
import pytest

from fuota.deployment.messages import Tally
from fuota.deployment.plan import Plan
from fuota.deployment.roster import Roster
from fuota.deployment.states import Session
from fuota.deployment.windows import PATIENT
from fuota.device.standing import OFTEN, Stage, Standing, standing
from fuota.device.states import (
    Complete,
    CorrectingClock,
    Failed,
    Reason,
    Released,
    SettingUpSession,
    State,
    Unconfirmed,
    Withdrawing,
)
from fuota.lorawan.eui import EUI64

START = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


def dev_eui(number: int) -> EUI64:
    return EUI64(number.to_bytes(8, "big"))


def test_each_device_is_counted_where_it_stands_last() -> None:
    roster = Roster()
    for number in range(3):
        assert roster.note(dev_eui(number), Standing(Stage.GROUP), 1)
    roster.note(dev_eui(0), Standing(Stage.FRAGMENTS), 2)
    roster.note(dev_eui(0), Standing(Stage.PREPARED), 3)
    tally = roster.tally(1)
    assert tally == Tally(
        group=2, fragments=0, prepared=1, asked=0, ready=0, unheard=0, leaving=0, settled=0, complete=0
    )
    assert tally.under_way() == {"group": 2, "prepared": 1}
    assert not tally.all_settled


def test_what_it_said_before_does_not_count_any_more() -> None:
    """A mailbox outlives the actor, whose next incarnation has read how far the device is."""
    roster = Roster()
    assert roster.note(dev_eui(0), Standing(Stage.SETTLED, outcome="complete"), 5)
    assert not roster.note(dev_eui(0), Standing(Stage.PREPARED), 4)
    assert roster.note(dev_eui(0), Standing(Stage.SETTLED, outcome="complete"), 5), "said again"
    assert roster.tally(1).all_settled
    assert roster.outcomes() == {"complete": 1}


def test_ready_for_another_session_is_prepared_for_this_one() -> None:
    roster = Roster()
    roster.note(dev_eui(0), Standing(Stage.READY, session=1), 1)
    roster.note(dev_eui(1), Standing(Stage.READY, session=2), 1)
    assert (roster.tally(1).ready, roster.tally(1).prepared) == (1, 1)
    assert (roster.tally(2).ready, roster.tally(2).prepared) == (1, 1)


def test_one_that_is_leaving_has_not_settled_and_is_awaited_for_nothing_else(plan: Plan) -> None:
    roster = Roster()
    roster.note(dev_eui(0), standing(plan, Withdrawing(Failed(Reason.ABANDONED, ""))), 1)
    tally = roster.tally(1)
    assert tally == Tally(
        group=0, fragments=0, prepared=0, asked=0, ready=0, unheard=0, leaving=1, settled=0, complete=0
    )
    assert tally.under_way() == {"leaving": 1}
    assert not tally.all_settled
    assert not tally.listening
    assert roster.beyond(Stage.GROUP) == []


def test_how_the_devices_have_settled_is_counted_in_words(plan: Plan) -> None:
    roster = Roster()
    settled: list[State] = [
        Complete(41),
        Complete(50),
        Unconfirmed(45, 3),
        Released(),
        Failed(Reason.CLOCK_OFF, ""),
    ]
    for number, state in enumerate(settled):
        roster.note(dev_eui(number), standing(plan, state), 1)
    assert roster.outcomes() == {"complete": 2, "unconfirmed": 1, "released": 1, "clock-off": 1}
    tally = roster.tally(1)
    assert tally.all_settled
    assert (tally.settled, tally.complete) == (5, 2)


def test_one_that_had_all_its_time_to_agree_and_has_not_is_asked(plan: Plan) -> None:
    session = Session(1, START, START)
    silent = Failed(Reason.NO_ANSWER, "")
    for state in SettingUpSession, CorrectingClock:
        stages = [standing(plan, state(session, attempt, START, silent)).stage for attempt in (1, 2, 3)]
        assert stages == [Stage.PREPARED, Stage.PREPARED, Stage.ASKED]


def test_one_whose_clock_stays_wrong_is_asked_whatever_attempts_it_has_left(plan: Plan) -> None:
    """An attempt takes it twice the time: the answer, and the correction of its clock."""
    session = Session(1, START, START)
    wrong = Failed(Reason.CLOCK_OFF, "")
    for state in SettingUpSession, CorrectingClock:
        stages = [standing(plan, state(session, attempt, START, wrong)).stage for attempt in (1, 2, 3)]
        assert stages == [Stage.PREPARED, Stage.ASKED, Stage.ASKED]
        only = attrs.evolve(plan, unicast_attempts=1)
        states = [state(session, 1, START, wrong, missed=missed) for missed in range(OFTEN + 1)]
        stages = [standing(only, each).stage for each in states]
        assert stages == [Stage.PREPARED] * OFTEN + [Stage.ASKED]


@pytest.mark.parametrize(("attempt", "attempts"), [(2, 1), (2, 2), (2, 3), (4, 3)])
@pytest.mark.parametrize("reason", [Reason.CLOCK_OFF, Reason.NO_ANSWER])
def test_one_whose_clock_was_put_right_may_not_have_been_asked_again_yet(
    reason: Reason, attempt: int, attempts: int, plan: Plan
) -> None:
    ordered = attrs.evolve(plan, unicast_attempts=attempts)
    session, failed = Session(9, START, START, PATIENT), Failed(reason, "")
    for kind in (SettingUpSession, CorrectingClock):
        right = kind(session, attempt, START, failed, put_right=True)
        states = [attrs.evolve(right, missed=missed) for missed in range(OFTEN + 1)]
        stages = [standing(ordered, state).stage for state in states]
        assert stages == [Stage.PREPARED] * OFTEN + [Stage.ASKED]


def test_one_that_is_asked_only_once_may_not_have_been_asked_yet(plan: Plan) -> None:
    only = attrs.evolve(plan, unicast_attempts=1)
    asked = SettingUpSession(Session(9, START, START, PATIENT), 1, START, Failed(Reason.NO_ANSWER, ""))
    states = [attrs.evolve(asked, missed=missed) for missed in range(OFTEN + 1)]
    stages = [standing(only, state).stage for state in states]
    assert stages == [Stage.PREPARED] * OFTEN + [Stage.ASKED]


@pytest.mark.parametrize("attempts", [1, 3])
def test_one_whose_request_the_network_has_yet_to_take_has_not_been_asked(attempts: int, plan: Plan) -> None:
    """At its last attempt, however often the start was put off; but one whose clock is wrong has answered."""
    ordered = attrs.evolve(plan, unicast_attempts=attempts)
    session, silent = Session(9, START, START, PATIENT), Failed(Reason.NO_ANSWER, "")
    last = SettingUpSession(session, attempts, START, silent, missed=OFTEN)
    assert standing(ordered, last, waits=True).stage is Stage.PREPARED
    assert standing(ordered, last).stage is Stage.ASKED
    off, right = (
        attrs.evolve(last, otherwise=Failed(Reason.CLOCK_OFF, "")),
        attrs.evolve(last, put_right=True),
    )
    for told in (attrs.evolve(off, attempt=2), right):
        assert standing(ordered, told, waits=True).stage is Stage.ASKED
