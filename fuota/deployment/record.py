"""What a deployment's transitions leave in the tables that users of the reference server read."""

from datetime import datetime

from fuota.deployment.messages import Fact
from fuota.deployment.plan import Plan, StatusRequest
from fuota.deployment.states import (
    ArrangingSession,
    AwaitingEnd,
    AwaitingStart,
    Ended,
    Repeating,
    SettingUpFragments,
    Settling,
    State,
    Transmitting,
    Why,
)
from fuota.journal.port import ActorId, Milestone, Transition


def transition(id: ActorId, plan: Plan, version: int, at: datetime, fact: Fact, after: State) -> Transition:
    """What is written when `fact` leads the deployment to `after`."""
    return Transition(
        actor=id,
        version=version,
        at=at,
        cause=type(fact).__name__,
        state=after,
        live=not ended(after),
        milestones=milestones(plan, after),
    )


def milestones(plan: Plan, state: State) -> tuple[Milestone, ...]:
    """What entering `state` earns; each is kept the first time."""
    match state:
        case SettingUpFragments():
            return (Milestone.MC_GROUP_SETUP,)
        case ArrangingSession():
            return (Milestone.FRAG_SESSION_SETUP,)
        case AwaitingStart() | Transmitting():
            return (Milestone.MC_SESSION,)
        case AwaitingEnd(sent=sent) | Settling(sent=sent) if sent == plan.fragments:
            return (Milestone.ENQUEUE,)
        case Ended(why=Why.DONE | Why.NOBODY_LEFT) if plan.status_request is not StatusRequest.NO_REQUEST:
            return (Milestone.FRAG_STATUS,)
        case _:
            return ()


def ended(state: State) -> bool:
    """Whether `state` never changes again."""
    return isinstance(state, Ended)


def is_news(before: State, after: State) -> bool:
    """Whether the operator is told: of a step, and of a start that is put off."""
    match before, after:
        case ArrangingSession(session=put_off), ArrangingSession(session=session):
            return put_off != session
        case _:
            return type(before) is not type(after)


def log_line(state: State, devices: int, complete: int) -> dict[str, object]:
    """What the log says of `state`; of so many devices so many are complete."""
    said: dict[str, object] = {"state": type(state).__name__}
    match state:
        case ArrangingSession(session=session):
            said |= {"session": session.number, "start": f"{session.start:%Y-%m-%dT%H:%M:%SZ}"}
        case Repeating(round=round):
            said |= {"round": round.number, "incomplete": round.incomplete}
        case Ended(why, detail):
            said |= {"why": why.value, "devices": devices, "complete": complete}
            said |= {"detail": detail} if detail else {}
    return said
