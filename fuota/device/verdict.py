"""What a device has received, by its own account: one rule for all device stacks (decision 6)."""

from datetime import datetime, timedelta

import attrs

from fuota.deployment.plan import SESSIONS, Plan
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

MISSED = (Reason.SESSION_REFUSED, Reason.START_MISSED, Reason.NOT_SENT)
"""Why it has surely heard nothing of it: a clock that is off may be so by less than the window is long, and
of one that is silent an answer may be all that was lost. (Who was told just as the session began may hear it,
and is sent what it has for nothing.)"""


def status_patience(plan: Plan, attempt: int) -> timedelta:
    """How long the status is awaited: nobody has failed before the longest delay the device was allowed.

    2^(BlockAckDelay + 4) s, and some more for the receive windows (TS004 section 5.8).
    """
    delay = timedelta(seconds=2 ** (plan.block_ack_delay + 4) + 5)
    return plan.unicast_timeout if attempt < plan.unicast_attempts else max(plan.unicast_timeout, delay)


def ask_again(plan: Plan, state: AskingStatus | StillListening, attempt: int, now: datetime) -> AskingStatus:
    return AskingStatus(
        state.session,
        attempt,
        now + status_patience(plan, attempt),
        otherwise=state.otherwise,
        counts_anew=state.counts_anew,
        missed=state.missed,
    )


def ask_later(
    plan: Plan, state: AskingStatus, now: datetime, otherwise: Failed | Unconfirmed | None, anew: bool
) -> State:
    """Half as long again as the window has been open: a few questions, however long it is."""
    session, until = state.session, now + plan.unicast_timeout
    if now < session.end:  # else there may be another
        until = min(max(until, now + (now - session.start) / 2), session.end)
    return StillListening(session, until, otherwise, anew, state.missed)


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
        told = nb_frag_received(plan, number)
        anew = anew or (before is not None and told != nb_frag_received(plan, before))
        received = 0 if empty else told  # nothing was sent, whatever it counts
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


def nb_frag_before(state: object, known: int | None) -> int | None:
    """What a device in `state` may go on to tell of an earlier set-up: what it counted in a round, if it had
    not all; until then `known`, if it has told no other number."""
    match state:
        case Incomplete(otherwise=Unconfirmed(received)):
            return received
        case AskingStatus(counts_anew=True) | StillListening(counts_anew=True) | Incomplete(counts_anew=True):
            return None
        case _:
            return known


def surest(before: Failed | None, why: Failed | None) -> Failed | None:
    """Of two reasons for which it may have heard nothing of a window, the one that leaves less doubt."""
    sure = why is None or (before is not None and before.reason in MISSED)
    return before if sure else why


def told_before(state: State) -> Told | None:
    """What is known by what it was asked, if there is to be another window of the round."""
    match state:
        case AskingStatus() | StillListening() if not state.session.empty:
            enough = state.otherwise if isinstance(state.otherwise, Unconfirmed) else None
            return Told(state.session.start, enough, state.counts_anew, state.missed)
        case Unheard():
            told = state.told or Told(None)
            return attrs.evolve(told, missed=surest(told.missed, state.otherwise))
        case SettingUpSession() | CorrectingClock() | Listening():
            return state.told
        case _:
            return None


def told_late(
    plan: Plan,
    state: SettingUpSession | CorrectingClock | Listening | Unheard,
    told: Told,
    answer: FragSessionStatusAns,
    received_at: datetime,
    before: int | None,
) -> State:
    """An answer that was on its way when another window was arranged: the device may never say so again."""
    if told.since is None or received_at < told.since:
        return state
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
        return attrs.evolve(state, otherwise=later, counts_anew=anew)
    if now < state.session.end or not last:
        return ask_later(plan, state, now, later, anew)
    if received_at < state.session.end:  # it was on its way for long, and says nothing about the end
        if state.attempt < plan.unicast_attempts:
            return attrs.evolve(state, counts_anew=anew)
        told = attrs.evolve(state, otherwise=said or state.otherwise, counts_anew=anew)
        return ask_again(plan, told, state.attempt, now)
    if not account.memory and not (enough and missing == 0):
        return Failed(Reason.NOT_ENOUGH_MEMORY, "to rebuild what was lost")
    if enough and missing and state.missed is not None and state.missed.reason in MISSED:
        return Incomplete(Unconfirmed(received, missing), anew)
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
