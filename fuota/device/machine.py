"""The life of a device in its deployment, as a pure function.

    Waiting ─ JoiningGroup ─ SettingUpGroup ─ SettingUpFragments ─ Prepared
        ─ SettingUpSession (─ CorrectingClock) ─ Listening | Unheard ─ AskingStatus (─ StillListening)
        ─ Complete | Unconfirmed | Released | (Withdrawing ─) Failed

Every request is repeated until it is answered or `unicast_attempts` are used up (the session request once more
for a clock that was put right), at once where the network has dropped it; whatever is late, early or repeated
changes nothing. Each `case` is one transition; what takes more than a line to decide has a name below.
"""

from datetime import datetime, timedelta

from fuota.deployment.plan import Plan
from fuota.deployment.states import Session
from fuota.device.messages import (
    Abandon,
    Answered,
    Arrange,
    Begin,
    ClockAnswered,
    Close,
    Expired,
    Fact,
    Joined,
    Refused,
    Release,
    Verify,
    Withdrawn,
)
from fuota.device.states import (
    AskingStatus,
    Complete,
    CorrectingClock,
    Failed,
    JoiningGroup,
    Listening,
    Prepared,
    Reason,
    Released,
    SettingUpFragments,
    SettingUpGroup,
    SettingUpSession,
    State,
    StillListening,
    Unconfirmed,
    Unheard,
    Waiting,
    Withdrawing,
)
from fuota.device.verdict import ask_later, status_answered, status_patience
from fuota.fate import Dropped
from fuota.lorawan.fragmentation import FragSessionSetupAns, FragSessionStatusAns
from fuota.lorawan.multicast import McClassBSessionAns, McClassCSessionAns, McGroupSetupAns

CLOCK_TOLERANCE = timedelta(seconds=5)
"""How far a device's idea of the start may be from ours: the "few seconds" of TS005 section 3.5."""

CLOCK_UNKNOWN = 0xFFFFFF
"""The TimeToStart of a device that knows its clock to be off (TS005-2.0.0 section 3.5)."""


def step(plan: Plan, state: State, message: Fact, now: datetime) -> State:
    """The state after `message`; the same one if it does not matter."""
    # fmt: off
    match state, message:
        case Complete() | Unconfirmed() | Released() | Failed(), _: return state
        case Withdrawing(), Withdrawn(): return state.otherwise
        case Withdrawing(), _: return state

        case (SettingUpGroup() | SettingUpFragments() | SettingUpSession() | CorrectingClock() | AskingStatus()), Abandon(detail):
            return Withdrawing(Failed(Reason.ABANDONED, detail))
        case Unheard(otherwise=otherwise), Abandon(): return Withdrawing(otherwise)
        case _, Abandon(detail): return Failed(Reason.ABANDONED, detail)
        case _, Refused(unknown=True, detail=detail): return Failed(Reason.UNKNOWN_DEVICE, detail)
        case _, Refused(detail=detail): return Failed(Reason.NETWORK_REFUSED, detail)

        case (Waiting() | JoiningGroup()), Begin(group_id): return JoiningGroup(group_id)
        case SettingUpGroup(group_id=known), Begin(group_id) if group_id != known: return JoiningGroup(group_id)
        case JoiningGroup(group_id), Joined(): return SettingUpGroup(1, patience(plan, now), group_id)

        case SettingUpGroup(), Answered(McGroupSetupAns() as answer) if answer.mc_group_id == plan.mc_group_id:
            return _group_answered(plan, answer, now)
        case SettingUpGroup(attempt, _, group_id), Expired() | Dropped() if attempt < plan.unicast_attempts:
            return SettingUpGroup(attempt + 1, patience(plan, now), group_id)
        case SettingUpGroup(attempt, deadline, group_id), Dropped(reason=why):
            return SettingUpGroup(attempt, deadline, group_id, why)
        case SettingUpGroup(dropped=why), Expired(): return _unanswered("McGroupSetupReq", why)

        case SettingUpFragments(), Answered(FragSessionSetupAns() as answer) if answer.frag_index == plan.frag_index:
            return _fragments_answered(answer)
        case SettingUpFragments(attempt), Expired() | Dropped() if attempt < plan.unicast_attempts:
            return SettingUpFragments(attempt + 1, patience(plan, now))
        case SettingUpFragments(attempt, deadline), Dropped(reason=why): return SettingUpFragments(attempt, deadline, why)
        case SettingUpFragments(dropped=why), Expired(): return _unanswered("FragSessionSetupReq", why)

        case Prepared(), Arrange(session) if now < session.start: return _arranged(plan, session, now)
        case (SettingUpSession() | CorrectingClock() | Listening() | Unheard() | AskingStatus() | StillListening()), Arrange(session) \
                if state.session.number < session.number and now < session.start:
            return _arranged(plan, session, now)

        case (SettingUpSession() | CorrectingClock()), Answered(McClassCSessionAns() | McClassBSessionAns() as answer, at) \
                if answer.mc_group_id == plan.mc_group_id:
            return _session_answered(plan, state, answer, at, now)
        case CorrectingClock(session, agreed=True), ClockAnswered(correction) if abs(correction) <= CLOCK_TOLERANCE.seconds:
            return Listening(session)
        case CorrectingClock(session, attempt, _, otherwise), ClockAnswered() if attempt <= plan.unicast_attempts:
            return SettingUpSession(session, attempt + 1, patience(plan, now), otherwise)
        case CorrectingClock(), ClockAnswered(): return state.otherwise
        case (SettingUpSession(session, attempt, _, otherwise) | CorrectingClock(session, attempt, _, otherwise)), Expired() | Dropped() \
                if attempt < plan.unicast_attempts:
            return SettingUpSession(session, attempt + 1, patience(plan, now), otherwise)
        case SettingUpSession(session, attempt, deadline, otherwise), Dropped(reason=why):
            return SettingUpSession(session, attempt, deadline, otherwise, why)
        case SettingUpSession(session, _, _, otherwise, why), Expired() | Close() | Verify() | Release() \
                if otherwise.reason is Reason.NO_ANSWER:
            return Unheard(session, _unanswered("the session request", why))
        case SettingUpSession(session, otherwise=otherwise), Expired() | Close() | Verify() | Release(): return Unheard(session, otherwise)
        case CorrectingClock(session, otherwise=otherwise), Expired() | Close() | Verify() | Release() \
                if otherwise.reason is Reason.START_MISSED:
            return Unheard(session, otherwise)
        case CorrectingClock(), Expired() | Close() | Verify() | Release(): return state.otherwise
        case Unheard(), Answered(McClassCSessionAns() | McClassBSessionAns() as answer, at) if answer.mc_group_id == plan.mc_group_id:
            return _heard_late(state, answer, at)
        case Unheard(session, otherwise), Verify():
            last = plan.unicast_attempts
            return AskingStatus(session, last, now + status_patience(plan, last), otherwise=otherwise)
        case Unheard(), Release(): return state.otherwise
        case Prepared(), Close() | Verify() | Release():
            return Failed(Reason.START_MISSED, "the session began before the device was told of it")

        case Listening(session), Verify(): return AskingStatus(session, 1, now + status_patience(plan, 1))
        case (Listening() | AskingStatus() | StillListening()), Release(): return Released()

        case (AskingStatus() | StillListening()), Answered(FragSessionStatusAns() as answer, at, last) \
                if answer.frag_index == plan.frag_index and at >= state.session.start:
            return status_answered(plan, state, answer, at, last, now)
        case AskingStatus(session, attempt, otherwise=otherwise), Expired() | Dropped() if attempt < plan.unicast_attempts:
            return AskingStatus(session, attempt + 1, now + status_patience(plan, attempt + 1), otherwise=otherwise)
        case AskingStatus(session, attempt, deadline, _, otherwise), Dropped(reason=why):
            return AskingStatus(session, attempt, deadline, why, otherwise)
        case AskingStatus(session, otherwise=otherwise), Expired() if now < session.end and not isinstance(otherwise, Failed):
            return ask_later(plan, session, now, otherwise)
        case AskingStatus(), Expired(): return _silent(state)
        case StillListening(session, _, otherwise), Expired():
            return AskingStatus(session, 1, now + status_patience(plan, 1), otherwise=otherwise)

        case _: return state
    # fmt: on


def patience(plan: Plan, now: datetime) -> datetime:
    """Until when an answer is awaited."""
    return now + plan.unicast_timeout


def _unanswered(request: str, dropped: str) -> Failed:
    if dropped:
        return Failed(Reason.NOT_SENT, f"{request}, the last time: {dropped}")
    return Failed(Reason.NO_ANSWER, f"to {request}")


def _silent(state: AskingStatus) -> State:
    if state.otherwise is not None:
        return state.otherwise
    return _unanswered("FragSessionStatusReq", state.dropped)


def _group_answered(plan: Plan, answer: McGroupSetupAns, now: datetime) -> State:
    if answer.id_error:
        return Failed(Reason.GROUP_REFUSED, f"the device has no McGroupID {answer.mc_group_id}")
    return SettingUpFragments(1, patience(plan, now))


def _fragments_answered(answer: FragSessionSetupAns) -> State:
    refusals = {
        "encoding unsupported": answer.encoding_unsupported,
        "not enough memory": answer.not_enough_memory,
        "FragIndex unsupported": answer.frag_session_index_not_supported,
        "wrong Descriptor": answer.wrong_descriptor,
    }
    if any(refusals.values()):
        return Failed(Reason.FRAGMENTATION_REFUSED, _named(refusals))
    return Prepared()


def _arranged(plan: Plan, session: Session, now: datetime) -> State:
    silent = Failed(Reason.NO_ANSWER, "to the session request")
    return SettingUpSession(session, 1, patience(plan, now), silent)


def _session_answered(
    plan: Plan,
    state: SettingUpSession | CorrectingClock,
    answer: McClassBSessionAns | McClassCSessionAns,
    received_at: datetime,
    now: datetime,
) -> State:
    refusals = {"data rate": answer.dr_error, "frequency": answer.freq_error}
    if any(refusals.values()):
        return Failed(Reason.SESSION_REFUSED, _named(refusals))
    off = _clock_error(state.session, answer.time_to_start, received_at)
    if off is not None and abs(off) <= CLOCK_TOLERANCE:
        return Listening(state.session)
    if isinstance(state, CorrectingClock):
        return state
    # it answers an earlier request; one that is later than now was made before the clock was set back
    if received_at < min(state.deadline - plan.unicast_timeout, now) - CLOCK_TOLERANCE:
        return state
    # one that counts to a start after ours may have been long on its way, but not longer than it was asked for
    asked = state.deadline - state.attempt * plan.unicast_timeout
    agreed = off is not None and timedelta(0) < -off <= received_at - asked + CLOCK_TOLERANCE
    return CorrectingClock(
        state.session, state.attempt, patience(plan, now), _disagreement(answer, off), agreed
    )


def _heard_late(
    state: Unheard, answer: McClassBSessionAns | McClassCSessionAns, received_at: datetime
) -> State:
    """An answer that arrives when the session has begun already."""
    off = _clock_error(state.session, answer.time_to_start, received_at)
    if off is None or abs(off) > CLOCK_TOLERANCE or answer.dr_error or answer.freq_error:
        return state
    return Listening(state.session)


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


def _named(bits: dict[str, bool]) -> str:
    return ", ".join(name for name, is_set in bits.items() if is_set)
