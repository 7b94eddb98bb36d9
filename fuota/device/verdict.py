"""What a device has received, by its own account: one rule for all device stacks (decision 6)."""

from datetime import datetime, timedelta

import attrs

from fuota.deployment.plan import SESSIONS, Plan
from fuota.deployment.states import Session
from fuota.device.states import (
    AskingStatus,
    Complete,
    Failed,
    Incomplete,
    Reason,
    State,
    StillListening,
    Unconfirmed,
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
    # what is absent (TS004-2.0.0: the session does not exist) has not been received
    number, missing = answer.nb_frag_received or 0, answer.missing_frag or 0
    anew = state.counts_anew or (before is not None and number != before)
    heard = anew or before is None or missing > 0
    nothing = state.session.empty  # was sent, whatever it counts
    received = 0 if nothing else nb_frag_received(plan, number)
    enough, memory = received >= plan.nb_frag, nothing or not answer.not_enough_matrix_memory
    if enough and missing == 0 and memory and heard:
        return Complete(received)
    known = state.otherwise if isinstance(state.otherwise, Unconfirmed) else None
    told = Unconfirmed(received, missing) if enough and heard else known
    later = told or (None if may_be_gone(state.otherwise) else state.otherwise)
    if isinstance(state, StillListening):
        return StillListening(state.session, state.deadline, later, anew)
    if now < state.session.end or not last:
        return ask_later(plan, state.session, now, later, anew)
    if received_at < state.session.end:  # it was on its way for long, and says nothing about the end
        if state.attempt < plan.unicast_attempts:
            return attrs.evolve(state, counts_anew=anew)
        deadline, otherwise = now + status_patience(plan, state.attempt), told or state.otherwise
        return AskingStatus(state.session, state.attempt, deadline, otherwise=otherwise, counts_anew=anew)
    if not memory and not (enough and missing == 0):
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
