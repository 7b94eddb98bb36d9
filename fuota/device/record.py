"""What a device's transitions leave in the tables that users of the reference server read."""

from datetime import datetime
from uuid import UUID

from fuota.deployment.plan import Plan
from fuota.device.effects import VERSION
from fuota.device.messages import Answered, Fact
from fuota.device.states import (
    Complete,
    Failed,
    Listening,
    Prepared,
    Released,
    SettingUpFragments,
    SettingUpSession,
    State,
    Unconfirmed,
)
from fuota.fate import Dropped
from fuota.journal.port import ActorId, LogRow, Milestone, Transition
from fuota.lorawan.eui import EUI64
from fuota.lorawan.package import Command, Package

RENAMED = {
    "time_out": "session_time_out",
    "periodicity": "session_periodicity",
    "frag_algo": "fragmentation_matrix",
}
"""Fields that the reference server's log calls otherwise than the specifications do."""


def transition(
    actor: ActorId, version: int, at: datetime, fact: Fact, after: State, logs: tuple[LogRow, ...]
) -> Transition:
    """What is written of a step, with the rows of what was sent and received."""
    return Transition(
        actor=actor,
        version=version,
        at=at,
        cause=cause(fact),
        state=after,
        live=not ended(after),
        milestones=milestones(after),
        logs=logs,
    )


def milestones(state: State) -> tuple[Milestone, ...]:
    """What entering `state` earns."""
    match state:
        case SettingUpFragments():
            return (Milestone.MC_GROUP_SETUP,)
        case Prepared() | SettingUpSession():
            return (Milestone.FRAG_SESSION_SETUP,)
        case Listening():
            return (Milestone.MC_SESSION,)
        case Complete():
            return (Milestone.FRAG_STATUS,)
        case _:
            return ()


def concerns(plan: Plan, command: Command) -> bool:
    """Whether a command is about the group or the session of this plan, as far as it says which."""
    return (
        getattr(command, "mc_group_id", plan.mc_group_id) == plan.mc_group_id
        and getattr(command, "frag_index", plan.frag_index) == plan.frag_index
    )


def answers(command: Command, request: Command) -> bool:
    """Whether `command` answers such a request: the specifications name both alike but for Req and Ans."""
    return type(command).__name__ == type(request).__name__.removesuffix("Req") + "Ans"


def ended(state: State) -> bool:
    """Whether `state` never changes again."""
    return isinstance(state, Complete | Unconfirmed | Released | Failed)


def log_line(actor: ActorId, failed: Failed) -> dict[str, str]:
    """What the log says of a device that has failed."""
    of = {"dev_eui": str(actor.dev_eui), "deployment": str(actor.deployment_id)}
    return {**of, "reason": failed.reason.value, "detail": failed.detail}


def log_row(deployment_id: UUID, dev_eui: EUI64, at: datetime, package: Package, command: Command) -> LogRow:
    """The row of one command, sent or received."""
    given = package.fields(command, VERSION).items()
    return LogRow(
        deployment_id=deployment_id,
        dev_eui=dev_eui,
        created_at=at,
        f_port=package.port,
        command=type(command).__name__,
        fields={RENAMED.get(name, name): _text(name, value) for name, value in given},
    )


def _text(name: str, value: object) -> str:
    """Numbers in decimal, octet strings and addresses in lower-case hex, booleans as `true` and `false`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    if name == "mc_addr" and isinstance(value, int):
        return f"{value:08x}"
    return str(value)


def cause(fact: Fact) -> str:
    """What a transition is put down to in the history."""
    match fact:
        case Answered(command):
            return type(command).__name__
        case Dropped(reason=reason):
            return f"Dropped: {reason}"
        case _:
            return type(fact).__name__
