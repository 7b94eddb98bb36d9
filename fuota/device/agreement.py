"""Whether a device agrees to a session: it refuses, its clock is off, or it listens (TS005 section 3.5)."""

from datetime import datetime, timedelta

import attrs

from fuota.deployment.pace import leeway
from fuota.deployment.plan import Plan
from fuota.deployment.states import Session
from fuota.device.messages import Answered, Arrange
from fuota.device.states import (
    CorrectingClock,
    Failed,
    Listening,
    Reason,
    SettingUpSession,
    State,
    Unheard,
)
from fuota.device.verdict import told_before
from fuota.lorawan.multicast import McClassBSessionAns, McClassCSessionAns

CLOCK_TOLERANCE = timedelta(seconds=5)
"""How far a device's idea of the start may be from ours: the "few seconds" of TS005 section 3.5."""

NOT_TOLD = Failed(Reason.START_MISSED, "the session began before the device was told of it")

NOT_ALL_SENT = Failed(Reason.INCOMPLETE, "not all fragments could be sent while it listened")

CLOCK_UNKNOWN = 0xFFFFFF
"""The TimeToStart of a device that knows its clock to be off (TS005-2.0.0 section 3.5)."""


def arranged(plan: Plan, state: State, said: Arrange, now: datetime) -> SettingUpSession:
    """It is asked for the session, from its first attempt on."""
    silent, missed = Failed(Reason.NO_ANSWER, "to the session request"), 0
    if isinstance(state, SettingUpSession | CorrectingClock):
        missed = state.missed + (said.asked and said.session.put_off > state.session.put_off)
    deadline, told = now + plan.unicast_timeout, told_before(state)
    return SettingUpSession(said.session, 1, deadline, silent, told=told, missed=missed)


def asked_again(
    plan: Plan, state: SettingUpSession | CorrectingClock, now: datetime, *, put_right: bool
) -> SettingUpSession:
    """It is asked for the same session."""
    return SettingUpSession(
        state.session,
        state.attempt + 1,
        now + plan.unicast_timeout,
        state.otherwise,
        put_right=put_right,
        told=state.told,
        missed=state.missed,
    )


def session_answered(
    plan: Plan,
    state: SettingUpSession | CorrectingClock,
    answer: McClassBSessionAns | McClassCSessionAns,
    said: Answered,
    now: datetime,
) -> State:
    """Whether it agrees, by what it says of its clock; `answer` is what it has `said`."""
    received_at = said.received_at
    if _refused(answer):
        refusals = {"data rate": answer.dr_error, "frequency": answer.freq_error}
        return Failed(Reason.SESSION_REFUSED, named(refusals))
    off = _clock_error(state.session, answer.time_to_start, received_at)
    if off is not None and abs(off) <= CLOCK_TOLERANCE:
        return Listening(state.session, state.told)
    if isinstance(state, CorrectingClock):
        return state
    # it answers an earlier request; one that is later than now was made before the clock was set back
    if received_at < min(state.deadline - plan.unicast_timeout, now) - CLOCK_TOLERANCE:
        return state
    if said.early and state.attempt == 1 and state.session.number > 1:
        return state  # so does this: what is under way is not to be given up for it
    missed = answer.time_to_start is None and received_at >= state.session.start - leeway(plan)
    if missed and (state.session.put_off or state.put_right):
        return _asked_late(state, now)
    # one that counts to a later start may have been long on its way, but not longer than it was asked for
    asked = state.deadline - (state.attempt + state.spared) * plan.unicast_timeout
    late = off is not None and timedelta(0) < -off <= received_at - asked + CLOCK_TOLERANCE
    return CorrectingClock(
        state.session,
        state.attempt,
        now + plan.unicast_timeout,
        _disagreement(answer, off),
        late and not said.overtaken,  # or its timer may run by the clock that it had when it was asked
        put_right=state.put_right,
        told=state.told,
        missed=state.missed,
    )


def _asked_late(state: SettingUpSession, now: datetime) -> State:
    """Its start has passed by any clock: for that the device's is put right the first time, when the start is
    put off for it, and not again."""
    if now < state.session.start:
        return state
    return attrs.evolve(state, otherwise=Failed(Reason.NO_ANSWER, "to the session request before the start"))


def heard_late(
    state: Unheard, answer: McClassBSessionAns | McClassCSessionAns, received_at: datetime
) -> State:
    """An answer that arrives when the session has begun already."""
    off = _clock_error(state.session, answer.time_to_start, received_at)
    if off is None or abs(off) > CLOCK_TOLERANCE or _refused(answer):
        return state
    return Listening(state.session, state.told)


def unheard(state: SettingUpSession) -> Failed:
    """Why it has not agreed, when its attempts are used up."""
    if state.dropped and state.otherwise.reason is Reason.NO_ANSWER:
        return unanswered("the session request", state.dropped)
    return state.otherwise


def cut_off(state: SettingUpSession, now: datetime) -> Failed:
    """The same, when the session begins before that. It is not the device that is silent while its first
    attempt lasts; nor if the deadline has passed, and nobody has said so: the request still waits for the
    network to take it."""
    waits = state.attempt == 1 or now > state.deadline
    return NOT_TOLD if waits and state.otherwise.reason is Reason.NO_ANSWER else unheard(state)


def unanswered(request: str, dropped: str) -> Failed:
    if dropped:
        return Failed(Reason.NOT_SENT, f"{request}, the last time: {dropped}")
    return Failed(Reason.NO_ANSWER, f"to {request}")


def _refused(answer: McClassBSessionAns | McClassCSessionAns) -> bool:
    """LoRaMac-node sets all bits if it has no such group, or is sending just then: it may be asked again."""
    return (answer.dr_error or answer.freq_error) and not answer.mc_group_undefined


def _clock_error(session: Session, time_to_start: int | None, received_at: datetime) -> timedelta | None:
    """By how much the device's clock is ahead of ours; None if it does not say."""
    if time_to_start is None or time_to_start == CLOCK_UNKNOWN:
        return None
    return (session.start - received_at) - timedelta(seconds=time_to_start)


def _disagreement(answer: McClassBSessionAns | McClassCSessionAns, off: timedelta | None) -> Failed:
    """What is wrong with an answer that refuses nothing but does not agree to the start either."""
    if off is not None:
        return Failed(Reason.CLOCK_OFF, f"its clock is off by {off.total_seconds():+.0f} s")
    if answer.mc_group_undefined:
        # LoRaMac-node reports a start it has missed so, about a group that it had just accepted
        return Failed(Reason.SESSION_REFUSED, "group undefined")
    if answer.time_to_start is None:
        return Failed(Reason.START_MISSED, "by the device's clock")
    return Failed(Reason.CLOCK_OFF, "the device does not know the time")


def named(bits: dict[str, bool]) -> str:
    """The bits that are set, in one line."""
    return ", ".join(name for name, is_set in bits.items() if is_set)
