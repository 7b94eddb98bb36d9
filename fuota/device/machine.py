"""The life of a device in its deployment, as a pure function.

    Waiting ─ JoiningGroup ─ SettingUpGroup ─ SettingUpFragments ─ Prepared
        ─ SettingUpSession (─ CorrectingClock) ─ Listening | Unheard ─ AskingStatus (─ StillListening)
        (─ Incomplete ─ JoiningGroup …) ─ Complete | Unconfirmed | Released | (Withdrawing ─) Failed

Every request is repeated until it is answered or `unicast_attempts` are used up (the session request once more
for a clock that was put right, which may take until the start), at once where the network has dropped it; an
attempt during which something was away is made again. Whatever is late, early or repeated changes nothing.
"""

from datetime import datetime

import attrs

from fuota.deployment.plan import Plan
from fuota.deployment.states import Session
from fuota.device.agreement import (
    CLOCK_TOLERANCE,
    NOT_ALL_SENT,
    NOT_TOLD,
    arranged,
    asked_again,
    cut_off,
    heard_late,
    named,
    session_answered,
    unanswered,
    unheard,
)
from fuota.device.messages import (
    Abandon,
    Answered,
    Arrange,
    Begin,
    ClockAnswered,
    Close,
    Conclude,
    Expired,
    Fact,
    Joined,
    Refused,
    Release,
    Taken,
    Unattended,
    Verify,
    Withdrawn,
)
from fuota.device.states import (
    AskingStatus,
    Complete,
    CorrectingClock,
    Failed,
    Incomplete,
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
    Told,
    Unconfirmed,
    Unheard,
    Waiting,
    Withdrawing,
)
from fuota.device.verdict import (
    ask_again,
    ask_later,
    may_be_gone,
    status_answered,
    status_patience,
    surest,
    told_late,
)
from fuota.fate import Dropped
from fuota.lorawan.fragmentation import FragSessionSetupAns, FragSessionStatusAns
from fuota.lorawan.multicast import McClassBSessionAns, McClassCSessionAns, McGroupSetupAns

SPARED = 10
"""How often an attempt is made again because something was away, and once for a look at the network that has
failed at first: where connections are cut while they are idle, every look does."""


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
        case Incomplete(), Abandon() | Conclude(): return state.otherwise
        case _, Abandon(detail): return Failed(Reason.ABANDONED, detail)
        case AskingStatus(), Refused() if isinstance(state.otherwise, Unconfirmed): return state.otherwise
        case _, Refused(unknown=True, detail=detail): return Failed(Reason.UNKNOWN_DEVICE, detail)
        case _, Refused(detail=detail): return Failed(Reason.NETWORK_REFUSED, detail)

        case (SettingUpGroup() | SettingUpFragments() | SettingUpSession() | CorrectingClock() | AskingStatus()), Unattended(surely) \
                if state.spared < (SPARED if surely else 1):
            return _once_more(plan, state, now)
        case (SettingUpGroup() | SettingUpFragments() | SettingUpSession() | CorrectingClock() | AskingStatus()), Taken():
            return attrs.evolve(state, untaken=False)

        case (Waiting() | JoiningGroup() | Incomplete()), Begin(group_id): return JoiningGroup(group_id)
        case SettingUpGroup(group_id=known), Begin(group_id) if group_id != known: return JoiningGroup(group_id)
        case JoiningGroup(group_id), Joined(): return SettingUpGroup(1, patience(plan, now), group_id)

        case SettingUpGroup(), Answered(McGroupSetupAns() as answer) if answer.mc_group_id == plan.mc_group_id:
            return _group_answered(plan, answer, now)
        case SettingUpGroup(attempt, _, group_id), Expired() | Dropped() if attempt < plan.unicast_attempts:
            return SettingUpGroup(attempt + 1, patience(plan, now), group_id)
        case SettingUpGroup(), Dropped(reason=why): return attrs.evolve(state, dropped=why)
        case SettingUpGroup(dropped=why), Expired(): return unanswered("McGroupSetupReq", why)

        case SettingUpFragments(), Answered(FragSessionSetupAns() as answer) if answer.frag_index == plan.frag_index:
            return _fragments_answered(answer)
        case SettingUpFragments(attempt), Expired() | Dropped() if attempt < plan.unicast_attempts:
            return SettingUpFragments(attempt + 1, patience(plan, now))
        case SettingUpFragments(), Dropped(reason=why): return attrs.evolve(state, dropped=why)
        case SettingUpFragments(dropped=why), Expired(): return unanswered("FragSessionSetupReq", why)

        case Prepared(), Arrange(session) as said if now < session.start: return arranged(plan, state, said, now)
        case (SettingUpSession() | CorrectingClock() | Listening() | Unheard() | AskingStatus() | StillListening()), Arrange(session) as said \
                if state.session.number < session.number and now < session.start:
            return arranged(plan, state, said, now)
        case (SettingUpSession() | CorrectingClock() | Listening() | Unheard()), Answered(FragSessionStatusAns() as answer, at, _, before) \
                if state.told is not None and answer.frag_index == plan.frag_index:
            return told_late(plan, state, state.told, answer, at, before)

        case (SettingUpSession() | CorrectingClock()), Answered(McClassCSessionAns() | McClassBSessionAns() as answer) as said \
                if answer.mc_group_id == plan.mc_group_id:
            return session_answered(plan, state, answer, said, now)
        case CorrectingClock(session, agreed=True), ClockAnswered(correction) if abs(correction) <= CLOCK_TOLERANCE.seconds:
            return Listening(session, state.told)
        case CorrectingClock(session, attempt, _, otherwise), ClockAnswered() if attempt <= plan.unicast_attempts:
            return asked_again(plan, state, now, put_right=True)
        case CorrectingClock(session, otherwise=otherwise), ClockAnswered(): return Unheard(session, otherwise, state.told)
        case (SettingUpSession(attempt=attempt, put_right=right) | CorrectingClock(attempt=attempt, put_right=right)), \
                Expired() | Dropped() if attempt < plan.unicast_attempts:
            return asked_again(plan, state, now, put_right=right)
        case SettingUpSession(), Dropped(reason=why): return attrs.evolve(state, dropped=why)
        case SettingUpSession(session), Expired(): return Unheard(session, unheard(state), state.told)
        case SettingUpSession(session), Close() | Verify() | Release(): return Unheard(session, cut_off(state, now), state.told)
        case CorrectingClock(session, put_right=False), Expired() if now < session.start:
            return attrs.evolve(state, deadline=patience(plan, now))
        case CorrectingClock(session, otherwise=otherwise), Expired() | Close() | Verify() | Release(): return Unheard(session, otherwise, state.told)
        case Unheard(), Answered(McClassCSessionAns() | McClassBSessionAns() as answer, at) if answer.mc_group_id == plan.mc_group_id:
            return heard_late(state, answer, at)
        case Unheard(otherwise=otherwise), Verify(session): return _asked(plan, session, state.told, otherwise, now)
        case Unheard(), Release(): return _unasked(state)
        case Prepared(), Close(session) | Verify(session): return Unheard(session, NOT_TOLD)
        case Prepared(), Release(): return Incomplete(NOT_TOLD)

        case Listening(), Verify(session): return _asked(plan, session, state.told, None, now)
        case Listening(_, Told(missed=Failed() as why)), Release(): return Incomplete(why)
        case (Listening() | AskingStatus() | StillListening()), Release(whole=True): return Released()
        case (Listening() | AskingStatus() | StillListening()), Release(): return Incomplete(NOT_ALL_SENT)

        case (AskingStatus() | StillListening()), Answered(FragSessionStatusAns() as answer, at, last, before) \
                if answer.frag_index == plan.frag_index and at >= state.session.start:
            return status_answered(plan, state, answer, at, last, before, now)
        case AskingStatus(attempt=attempt), Expired() | Dropped() if attempt < plan.unicast_attempts:
            return ask_again(plan, state, attempt + 1, now)
        case AskingStatus(), Dropped(reason=why): return attrs.evolve(state, dropped=why)
        case AskingStatus(otherwise=otherwise), Expired() if now < state.session.end and not may_be_gone(otherwise):
            return ask_later(plan, state, now, otherwise, state.counts_anew)
        case AskingStatus(), Expired(): return _silent(state)
        case StillListening(), Expired(): return ask_again(plan, state, 1, now)

        case _: return state
    # fmt: on


def patience(plan: Plan, now: datetime) -> datetime:
    """Until when an answer is awaited."""
    return now + plan.unicast_timeout


def _once_more(
    plan: Plan,
    state: SettingUpGroup | SettingUpFragments | SettingUpSession | CorrectingClock | AskingStatus,
    now: datetime,
) -> State:
    spared = state.spared + 1
    if isinstance(state, CorrectingClock):
        return attrs.evolve(state, deadline=patience(plan, now), spared=spared, untaken=True)
    if isinstance(state, AskingStatus):
        deadline = now + status_patience(plan, state.attempt)
        return attrs.evolve(state, deadline=deadline, dropped="", spared=spared, untaken=True)
    return attrs.evolve(state, deadline=patience(plan, now), dropped="", spared=spared, untaken=True)


def _asked(
    plan: Plan, session: Session, before: Told | None, otherwise: Failed | None, now: datetime
) -> AskingStatus:
    """What it has received: once, if it has not agreed and may not be there at all."""
    told = before or Told(None)
    known = told.enough or otherwise
    attempt = plan.unicast_attempts if may_be_gone(known) else 1
    deadline, anew = now + status_patience(plan, attempt), told.counts_anew
    missed = surest(told.missed, otherwise)
    return AskingStatus(session, attempt, deadline, otherwise=known, counts_anew=anew, missed=missed)


def _unasked(state: Unheard) -> State:
    """One that has said why it would hear nothing is there, and can be set up anew."""
    if may_be_gone(state.otherwise):
        return state.otherwise
    return Incomplete(state.otherwise)


def _silent(state: AskingStatus) -> State:
    if state.otherwise is None:
        return unanswered("FragSessionStatusReq", state.dropped)
    if isinstance(state.otherwise, Failed) and not may_be_gone(state.otherwise):
        return Incomplete(state.otherwise, state.counts_anew)
    return state.otherwise


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
        return Failed(Reason.FRAGMENTATION_REFUSED, named(refusals))
    return Prepared()
