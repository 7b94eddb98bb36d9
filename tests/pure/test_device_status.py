"""What a device has received: what it says, when it is asked, and what that means."""

from datetime import timedelta

import attrs
import pytest

from fuota.deployment.plan import Plan
from fuota.deployment.states import Session
from fuota.device.machine import step
from fuota.device.messages import (
    Abandon,
    Answered,
    Arrange,
    Begin,
    Close,
    Conclude,
    Expired,
    Unattended,
    Verify,
)
from fuota.device.states import (
    AskingStatus,
    Complete,
    Failed,
    Incomplete,
    JoiningGroup,
    Reason,
    State,
    StillListening,
    Unconfirmed,
)
from fuota.fate import Dropped
from fuota.lorawan.eui import EUI64
from tests.pure.answers import SECOND, status_answer


@pytest.mark.parametrize(
    ("received", "missing", "end"),
    [(41, 0, Complete(41)), (60, 0, Complete(60)), (45, 3, Unconfirmed(45, 3))],
)
def test_what_the_status_says_at_the_end(
    received: int, missing: int, end: State, plan: Plan, session: Session
) -> None:
    at = session.end + SECOND
    assert step(plan, AskingStatus(session, 1, at), Answered(status_answer(received, missing), at), at) == end


@pytest.mark.parametrize(("received", "missing"), [(0, 0), (40, 0), (40, 1), (0, 41), (30, 11)])
def test_too_few_fragments_are_a_failure_whatever_missing_frag_says(
    received: int, missing: int, plan: Plan, session: Session
) -> None:
    at = session.end + SECOND
    after = step(plan, AskingStatus(session, 1, at), Answered(status_answer(received, missing), at), at)
    assert isinstance(after, Incomplete)
    assert isinstance(after.otherwise, Failed)
    assert after.otherwise.reason is Reason.INCOMPLETE
    assert step(plan, after, Conclude(), at) is after.otherwise
    assert step(plan, after, Abandon("cancelled"), at) is after.otherwise


def test_one_that_has_not_enough_is_set_up_anew(plan: Plan, session: Session) -> None:
    lacking = Incomplete(Failed(Reason.INCOMPLETE, "30 fragments received"))
    assert step(plan, lacking, Begin("g"), session.end) == JoiningGroup("g")
    for said in (Arrange(session), Close(session), Verify(session)):
        assert step(plan, lacking, said, session.start - SECOND) is lacking


@pytest.mark.parametrize("answer", [(41, 0), (0, 41)])
def test_a_status_from_before_the_session_is_of_an_earlier_deployment(
    answer: tuple[int, int], plan: Plan, session: Session
) -> None:
    asking = AskingStatus(session, 1, session.end)
    early = Answered(status_answer(*answer), session.start - SECOND)
    assert step(plan, asking, early, session.end) is asking


def test_too_little_memory_is_final(plan: Plan, session: Session) -> None:
    now = session.end
    after = step(
        plan, AskingStatus(session, 1, now), Answered(status_answer(30, 11, no_memory=True), now), now
    )
    assert isinstance(after, Failed)
    assert after.reason is Reason.NOT_ENOUGH_MEMORY


def test_the_bit_for_memory_may_be_of_an_earlier_session(plan: Plan, session: Session) -> None:
    """Device stacks in the field never take it back: then the numbers decide, when the window has closed."""
    now, early = session.end, session.end - SECOND
    asking = AskingStatus(session, 3, now)
    sticky = status_answer(41, 0, no_memory=True)
    assert step(plan, asking, Answered(sticky, now), now) == Unconfirmed(41, 0)
    for answer in (sticky, status_answer(30, 11, no_memory=True)):
        assert isinstance(step(plan, asking, Answered(answer, early), early), StillListening)
    for answer in (status_answer(45, 4, no_memory=True), status_answer(0, 0, no_memory=True)):
        after = step(plan, asking, Answered(answer, now), now)
        assert isinstance(after, Failed)
        assert after.reason is Reason.NOT_ENOUGH_MEMORY


def test_what_it_said_before_it_was_reset_is_not_forgotten(plan: Plan, session: Session) -> None:
    """A device that starts its new image knows of no session afterwards, or says nothing any more."""
    early, now = session.end - SECOND, session.end
    state = step(plan, AskingStatus(session, 1, early), Answered(status_answer(45, 3), early), early)
    assert isinstance(state, StillListening)
    assert step(plan, state, Answered(status_answer(0, 0), early), early) == state
    state = step(plan, state, Expired(), now)
    assert isinstance(state, AskingStatus)
    assert step(plan, state, Answered(status_answer(0, 0), now), now) == Unconfirmed(45, 3)
    for _ in range(3):
        state = step(plan, state, Expired(), now)
    assert state == Unconfirmed(45, 3)


def test_one_that_knows_of_no_fragments_may_have_been_reset(plan: Plan, session: Session) -> None:
    now = session.end
    after = step(plan, AskingStatus(session, 1, now), Answered(status_answer(0, 0), now), now)
    assert isinstance(after, Incomplete)
    assert isinstance(after.otherwise, Failed)
    assert "reset" in after.otherwise.detail


def test_what_is_missing_is_believed_of_one_that_has_surely_missed_a_window(
    plan: Plan, session: Session
) -> None:
    """LoRaMac-node says so when it has repaired them; that is sent all once more, too."""
    at, said = session.end, Unconfirmed(44, 5)
    for reason in (Reason.SESSION_REFUSED, Reason.START_MISSED, Reason.NOT_SENT):
        here = AskingStatus(session, 1, at, missed=Failed(reason, ""))
        assert step(plan, here, Answered(status_answer(44, 5), at), at) == Incomplete(said)
        assert step(plan, here, Answered(status_answer(44, 0), at), at) == Complete(44)
        kept = Answered(status_answer(44, 0), at, nb_frag_before=44)
        assert step(plan, here, kept, at) == Unconfirmed(44, 0), "nothing is missing, as far as it says"
    for end in (Conclude(), Abandon("cancelled")):
        assert step(plan, Incomplete(said), end, at) is said
    for doubtful in (None, Failed(Reason.NO_ANSWER, ""), Failed(Reason.CLOCK_OFF, "")):
        here = AskingStatus(session, 1, at, missed=doubtful)
        assert step(plan, here, Answered(status_answer(44, 5), at), at) == said


def test_that_it_has_missed_one_is_known_however_often_it_is_asked(plan: Plan, session: Session) -> None:
    at, some = session.end, status_answer(44, 5)
    missed = Failed(Reason.START_MISSED, "not told")
    state: State = AskingStatus(session, 1, at, missed=missed)
    for fact in (
        Answered(some, at, last=False),
        Answered(some, at, last=False),
        Expired(),
        Expired(),
        Dropped(dev_eui=EUI64(bytes(8)), item="7", reason="too large"),
        Unattended(),
        Answered(some, at - SECOND),
    ):
        state = step(plan, state, fact, at)
        assert isinstance(state, AskingStatus | StillListening)
        assert (state.missed, state.otherwise) == (missed, Unconfirmed(44, 5))
    assert step(plan, state, Answered(some, at), at) == Incomplete(Unconfirmed(44, 5))
    reset = step(plan, state, Answered(status_answer(0, 0), at), at)
    assert reset == Unconfirmed(44, 5), "it may run its image"


def test_a_count_that_was_never_sent_is_read_the_other_way_round(plan: Plan, session: Session) -> None:
    """Old device stacks send the octets of NbFragReceived with the high one first."""
    now = session.end
    few = step(plan, AskingStatus(session, 1, now), Answered(status_answer(10 << 8, 0), now), now)
    assert isinstance(few, Incomplete)
    assert isinstance(few.otherwise, Failed)
    assert few.otherwise.detail.startswith("10 fragments received")
    enough = step(plan, AskingStatus(session, 1, now), Answered(status_answer(45 << 8, 0), now), now)
    assert enough == Complete(45)


@pytest.mark.parametrize("before", [45, 45 << 8])
def test_what_it_told_in_an_earlier_deployment_is_not_taken_for_this_one(
    before: int, plan: Plan, session: Session
) -> None:
    """LoRaMac-node counts on from there until it hears a fragment, and finds nothing missing meanwhile."""
    early, now = session.end - SECOND, session.end
    state: State = AskingStatus(session, 1, early)
    same = Answered(status_answer(before, 0), early, nb_frag_before=before)
    state = step(plan, state, same, early)
    assert state == StillListening(session, session.end)
    assert step(plan, state, same, early) == state
    state = step(plan, state, Expired(), now)
    assert step(plan, state, attrs.evolve(same, received_at=now), now) == Unconfirmed(45, 0)
    other = Answered(status_answer(20, 0), now, nb_frag_before=before)
    lacking = step(plan, state, other, now)
    assert isinstance(lacking, Incomplete)
    assert isinstance(lacking.otherwise, Failed)
    assert lacking.otherwise.reason is Reason.INCOMPLETE
    assert lacking.counts_anew
    for answer, end in [((41, 0), Complete(41)), ((45, 3), Unconfirmed(45, 3))]:
        answered = Answered(status_answer(*answer), now, nb_frag_before=before)
        assert step(plan, state, answered, now) == end


def test_a_number_that_it_comes_to_again_is_of_this_deployment(plan: Plan, session: Session) -> None:
    early, now = session.end - SECOND, session.end
    listening = Answered(status_answer(20, 0), early, nb_frag_before=45)
    state = step(plan, AskingStatus(session, 1, early), listening, early)
    assert state == StillListening(session, session.end, counts_anew=True)
    again = Answered(status_answer(45, 0), early, nb_frag_before=45)
    assert step(plan, state, again, early) == Complete(45)
    for _ in range(3):
        state = step(plan, state, Expired(), now)
    assert step(plan, state, attrs.evolve(again, received_at=now), now) == Complete(45)


def test_while_its_window_is_open_a_device_is_never_given_up(plan: Plan, session: Session) -> None:
    now = session.start + 20 * SECOND
    asking = AskingStatus(session, 3, now)
    waiting = StillListening(session, now + 10 * SECOND)
    assert step(plan, asking, Answered(status_answer(30, 11), now), now) == waiting
    assert step(plan, asking, Expired(), now) == waiting
    assert step(plan, waiting, Answered(status_answer(41, 0), now), now) == Complete(41)
    again = step(plan, waiting, Expired(), session.end)
    assert isinstance(again, AskingStatus)
    assert again.attempt == 1


def test_a_long_window_does_not_mean_many_questions(plan: Plan, session: Session) -> None:
    session = attrs.evolve(session, end=session.start + timedelta(hours=9))
    now, questions = session.start, 0
    state: State = AskingStatus(session, 1, session.start)
    while now < session.end:
        state = step(plan, state, Answered(status_answer(30, 11), now), now)
        assert isinstance(state, StillListening)
        assert now < state.deadline <= session.end
        now = state.deadline
        state = step(plan, state, Expired(), now)
        questions += 1
    assert questions < 25


def test_nobody_is_silent_before_block_ack_delay_is_over(plan: Plan, session: Session) -> None:
    slow = attrs.evolve(plan, block_ack_delay=3)
    state = step(slow, AskingStatus(session, 2, session.end), Expired(), session.end)
    assert state == AskingStatus(session, 3, session.end + timedelta(seconds=2**7 + 5))
