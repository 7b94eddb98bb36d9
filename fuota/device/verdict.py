"""What a device has received, by its own account: one rule for all device stacks (decision 6)."""

from datetime import datetime, timedelta

import attrs

from fuota.deployment.plan import SESSIONS, Plan
from fuota.deployment.states import Session
from fuota.device.states import (
    AskingStatus,
    Complete,
    CorrectingClock,
    Failed,
    Incomplete,
    Listening,
    Reason,
    SettingUpSession,
    State,
    StillListening,
    Told,
    Unconfirmed,
    Unheard,
)
from fuota.lorawan.fragmentation import FragSessionStatusAns

SAID = (Reason.SESSION_REFUSED, Reason.CLOCK_OFF, Reason.START_MISSED)
"""Why a device that is there may hear nothing of a session: by what it has said, or for it was not told."""


def status_patience(plan: Plan, attempt: int) -> timedelta:
    """How long the status is awaited: nobody has failed before the longest delay the device was allowed.

    2^(BlockAckDelay + 4) s, and some more for the receive windows (TS004 section 5.8).
    """
    delay = timedelta(seconds=2 ** (plan.block_ack_delay + 4) + 5)
    return plan.unicast_timeout if attempt < plan.unicast_attempts else max(plan.unicast_timeout, delay)


def ask_again(plan: Plan, state: AskingStatus | StillListening, attempt: int, now: datetime) -> AskingStatus:
    deadline, anew = now + status_patience(plan, attempt), state.counts_anew
    return AskingStatus(state.session, attempt, deadline, otherwise=state.otherwise, counts_anew=anew)


def ask_later(
    plan: Plan, session: Session, now: datetime, otherwise: Failed | Unconfirmed | None, anew: bool
) -> State:
    """Half as long again as the window has been open: a few questions, however long it is."""
    if now >= session.end:  # there may be another
        return StillListening(session, now + plan.unicast_timeout, otherwise, anew)
    pause = max(plan.unicast_timeout, (now - session.start) / 2)
    return StillListening(session, min(now + pause, session.end), otherwise, anew)


@attrs.frozen
class Account:
    """What a device says of itself."""

    received: int
    missing: int
    enough: bool
    """It has received as many fragments as there are uncoded ones."""
    memory: bool
    anew: bool
    """It has told another NbFragReceived than in an earlier deployment."""
    heard: bool
    """What it counts may be of this deployment."""

    @classmethod
    def of(
        cls, plan: Plan, answer: FragSessionStatusAns, before: int | None, *, anew: bool, empty: bool
    ) -> "Account":
        # what is absent (TS004-2.0.0: the session does not exist) has not been received
        number, missing = answer.nb_frag_received or 0, answer.missing_frag or 0
        anew = anew or (before is not None and number != before)
        received = 0 if empty else nb_frag_received(plan, number)  # nothing was sent, whatever it counts
        return cls(
            received,
            missing,
            enough=received >= plan.nb_frag,
            memory=empty or not answer.not_enough_matrix_memory,
            anew=anew,
            heard=anew or before is None or missing > 0,
        )

    @property
    def complete(self) -> bool:
        return self.enough and self.missing == 0 and self.memory and self.heard


def told_before(state: State) -> Told | None:
    """What is known by what it was asked, if there is to be another window of the round."""
    match state:
        case AskingStatus() | StillListening() if not state.session.empty:
            enough = state.otherwise if isinstance(state.otherwise, Unconfirmed) else None
            return Told(state.session.start, enough, state.counts_anew)
        case SettingUpSession() | CorrectingClock() | Listening() | Unheard():
            return state.told
        case _:
            return None


def told_late(
    plan: Plan,
    state: SettingUpSession | CorrectingClock | Listening | Unheard,
    told: Told,
    answer: FragSessionStatusAns,
    before: int | None,
) -> State:
    """An answer that was on its way when another window was arranged: the device may never say so again."""
    account = Account.of(plan, answer, before, anew=told.counts_anew, empty=False)
    if account.complete:
        return Complete(account.received)
    said = Unconfirmed(account.received, account.missing) if account.enough and account.heard else told.enough
    return attrs.evolve(state, told=attrs.evolve(told, enough=said, counts_anew=account.anew))


def status_answered(
    plan: Plan,
    state: AskingStatus | StillListening,
    answer: FragSessionStatusAns,
    received_at: datetime,
    last: bool,
    before: int | None,
    now: datetime,
) -> State:
    """MissingFrag alone decides nothing: device stacks disagree on it (TS004 section 5.2).

    `last`: the deployment has looked at its group's queue, and there is no other window. `before`: what the
    device has told in an earlier deployment; it may tell the same until it hears a fragment of this one.
    """
    account = Account.of(plan, answer, before, anew=state.counts_anew, empty=state.session.empty)
    received, missing, enough, anew = account.received, account.missing, account.enough, account.anew
    if account.complete:
        return Complete(received)
    known = state.otherwise if isinstance(state.otherwise, Unconfirmed) else None
    said = Unconfirmed(received, missing) if enough and account.heard else known
    later = said or (None if may_be_gone(state.otherwise) else state.otherwise)
    if isinstance(state, StillListening):
        return StillListening(state.session, state.deadline, later, anew)
    if now < state.session.end or not last:
        return ask_later(plan, state.session, now, later, anew)
    if received_at < state.session.end:  # it was on its way for long, and says nothing about the end
        if state.attempt < plan.unicast_attempts:
            return attrs.evolve(state, counts_anew=anew)
        deadline, otherwise = now + status_patience(plan, state.attempt), said or state.otherwise
        return AskingStatus(state.session, state.attempt, deadline, otherwise=otherwise, counts_anew=anew)
    if not account.memory and not (enough and missing == 0):
        return Failed(Reason.NOT_ENOUGH_MEMORY, "to rebuild what was lost")
    if enough:
        return Unconfirmed(received, missing)
    if isinstance(state.otherwise, Unconfirmed):
        return state.otherwise
    return Incomplete(_lacking(plan, state.otherwise, received, missing), anew)


def may_be_gone(otherwise: Failed | Unconfirmed | None) -> bool:
    """Whether nothing was heard of the device since it was asked for the session."""
    return isinstance(otherwise, Failed) and otherwise.reason not in SAID


def _lacking(plan: Plan, otherwise: Failed | None, received: int, missing: int) -> Failed:
    """Why the device has not enough."""
    if received == 0 and otherwise is not None:
        return otherwise
    if received == missing == 0:
        return Failed(Reason.INCOMPLETE, "it knows of no fragments: it has heard none, or was reset since")
    return Failed(
        Reason.INCOMPLETE,
        f"{received} fragments received of at least {plan.nb_frag}, {missing} reported missing",
    )


def nb_frag_received(plan: Plan, told: int) -> int:
    """NbFragReceived as it is told, or its octets the other way round, as old device stacks send them:
    nobody can have received more than was ever sent."""
    swapped = int.from_bytes(told.to_bytes(2, "big"), "little")
    return swapped if swapped < told and told > SESSIONS * plan.fragments else told
