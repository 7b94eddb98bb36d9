"""The life of a device in its deployment, as a pure function.

    Waiting ─ JoiningGroup ─ SettingUpGroup ─ SettingUpFragments ─ Prepared
        ─ SettingUpSession (─ CorrectingClock) ─ Listening ─ AskingStatus (─ StillListening)
        ─ Complete | Unconfirmed | Released | Failed

Every request is repeated until it is answered or `unicast_attempts` are used up; whatever is late,
early or repeated changes nothing. Each `case` is one transition; what takes more than a line to decide
has a name below.
"""

from datetime import datetime, timedelta

from fuota.deployment.plan import Plan
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
    Waiting,
)
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
        case _, Abandon(detail): return Failed(Reason.ABANDONED, detail)
        case _, Refused(unknown=True, detail=detail): return Failed(Reason.UNKNOWN_DEVICE, detail)
        case _, Refused(detail=detail): return Failed(Reason.NETWORK_REFUSED, detail)

        case Waiting(), Begin(group_id): return JoiningGroup(group_id)
        case JoiningGroup(), Joined(): return SettingUpGroup(1, patience(plan, now))

        case SettingUpGroup(), Answered(McGroupSetupAns() as answer) if answer.mc_group_id == plan.mc_group_id:
            return _group_answered(plan, answer, now)
        case SettingUpGroup(attempt), Expired() if attempt < plan.unicast_attempts:
            return SettingUpGroup(attempt + 1, patience(plan, now))
        case SettingUpGroup(), Expired(): return Failed(Reason.NO_ANSWER, "to McGroupSetupReq")

        case SettingUpFragments(), Answered(FragSessionSetupAns() as answer) if answer.frag_index == plan.frag_index:
            return _fragments_answered(answer)
        case SettingUpFragments(attempt), Expired() if attempt < plan.unicast_attempts:
            return SettingUpFragments(attempt + 1, patience(plan, now))
        case SettingUpFragments(), Expired(): return Failed(Reason.NO_ANSWER, "to FragSessionSetupReq")

        case Prepared(), Arrange(session): return SettingUpSession(session, 1, patience(plan, now))
        case (SettingUpSession() | CorrectingClock() | Listening()), Arrange(session) if session.number > state.session.number:
            return SettingUpSession(session, 1, patience(plan, now))

        case (SettingUpSession() | CorrectingClock()), Answered(McClassCSessionAns() | McClassBSessionAns() as answer, at) \
                if answer.mc_group_id == plan.mc_group_id:
            return _session_answered(plan, state, answer, at, now)
        case SettingUpSession(session, attempt), Expired() if attempt < plan.unicast_attempts:
            return SettingUpSession(session, attempt + 1, patience(plan, now))
        case SettingUpSession(), Expired(): return Failed(Reason.NO_ANSWER, "to the session request")
        case CorrectingClock(session, attempt), ClockAnswered(): return SettingUpSession(session, attempt, patience(plan, now))
        case CorrectingClock(session, attempt), Expired() if attempt < plan.unicast_attempts:
            return SettingUpSession(session, attempt + 1, patience(plan, now))
        case CorrectingClock(reason=reason, detail=detail), Expired() | Close() | Verify() | Release():
            return Failed(reason, detail)
        case (Prepared() | SettingUpSession()), Close() | Verify() | Release():
            return Failed(Reason.START_MISSED, "the session began before the device had agreed to it")

        case Listening(session), Verify(): return AskingStatus(session, 1, status_patience(plan, 1, now))
        case (Listening() | AskingStatus() | StillListening()), Release(): return Released()

        case (AskingStatus() | StillListening()), Answered(FragSessionStatusAns() as answer, at) \
                if answer.frag_index == plan.frag_index:
            return _status_answered(plan, state, answer, at, now)
        case AskingStatus(session), Expired() if now < session.end: return StillListening(session, session.end)
        case AskingStatus(session, attempt), Expired() if attempt < plan.unicast_attempts:
            return AskingStatus(session, attempt + 1, status_patience(plan, attempt + 1, now))
        case AskingStatus(), Expired(): return Failed(Reason.NO_ANSWER, "to FragSessionStatusReq")
        case StillListening(session), Expired(): return AskingStatus(session, 1, status_patience(plan, 1, now))

        case _: return state
    # fmt: on


def patience(plan: Plan, now: datetime) -> datetime:
    """Until when an answer is awaited."""
    return now + plan.unicast_timeout


def status_patience(plan: Plan, attempt: int, now: datetime) -> datetime:
    """The same for the status: nobody has failed before the longest delay the device was allowed.

    2^(BlockAckDelay + 4) s, and some more for the receive windows (TS004 section 5.8).
    """
    delay = timedelta(seconds=2 ** (plan.block_ack_delay + 4) + 5)
    return now + (
        plan.unicast_timeout if attempt < plan.unicast_attempts else max(plan.unicast_timeout, delay)
    )


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
    session = state.session
    if answer.time_to_start is None:
        # LoRaMac-node reports a start it has missed as an undefined group, which it had just accepted
        reason = Reason.SESSION_REFUSED if answer.mc_group_undefined else Reason.START_MISSED
        detail = "group undefined" if answer.mc_group_undefined else "start missed"
    else:
        off = timedelta(seconds=answer.time_to_start) - (session.start - received_at)
        if answer.time_to_start != CLOCK_UNKNOWN and abs(off) <= CLOCK_TOLERANCE:
            return Listening(session)
        unknown = answer.time_to_start == CLOCK_UNKNOWN
        reason = Reason.CLOCK_OFF
        detail = (
            "the device does not know the time"
            if unknown
            else f"its clock is off by {-off.total_seconds():+.0f} s"
        )
    if isinstance(state, CorrectingClock):
        return state
    return CorrectingClock(session, state.attempt, reason, detail, patience(plan, now))


def _status_answered(
    plan: Plan,
    state: AskingStatus | StillListening,
    answer: FragSessionStatusAns,
    received_at: datetime,
    now: datetime,
) -> State:
    """MissingFrag alone decides nothing: device stacks disagree on it (TS004 section 5.2)."""
    # what is absent (TS004-2.0.0: the session does not exist) has not been received
    received, missing = answer.nb_frag_received or 0, answer.missing_frag or 0
    if answer.not_enough_matrix_memory:
        return Failed(Reason.NOT_ENOUGH_MEMORY, "to rebuild what was lost")
    if missing == 0 and received >= plan.nb_frag:
        return Complete(received)
    if isinstance(state, StillListening):
        return state
    if now < state.session.end:
        return StillListening(state.session, state.session.end)
    if received_at < state.session.end and state.attempt < plan.unicast_attempts:
        return state  # it was on its way for long, and says nothing about the end
    if received >= plan.nb_frag:
        return Unconfirmed(received, missing)
    return Failed(
        Reason.INCOMPLETE,
        f"{received} fragments received of at least {plan.nb_frag}, {missing} reported missing",
    )


def _named(bits: dict[str, bool]) -> str:
    return ", ".join(name for name, is_set in bits.items() if is_set)
