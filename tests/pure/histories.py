"""Random histories of both machines, always the same ones: what may be told, and where it leads."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import product
from random import Random
from typing import Any

import attrs

from docs import draw
from fuota.deployment import messages as deployment
from fuota.deployment.plan import RESTORATIONS, Plan, StatusRequest
from fuota.deployment.states import ArrangingSession, CreatingGroup, Session, Settling
from fuota.device import messages as device
from fuota.device.states import AskingStatus, CorrectingClock, Failed, Reason, Waiting
from fuota.fate import Dropped
from fuota.lorawan.eui import EUI64
from fuota.lorawan.fragmentation import FragSessionSetupAns, FragSessionStatusAns
from fuota.lorawan.multicast import McClassBSessionAns, McClassCSessionAns, McGroupSetupAns
from fuota.lorawan.package import Command

SECOND = timedelta(seconds=1)


@attrs.frozen
class Moment:
    """A state that a history has come to, and the state after each message that may come then."""

    plan: Plan
    state: Any
    at: datetime
    tried: list[tuple[Any, Any]]


def drive(name: str, plan: Plan, now: datetime, look: Callable[[Moment], None], *, histories: int) -> None:
    """Show `look` each moment of that many histories of the machine of that name."""
    module, marks = draw.MACHINES[name]
    machine = draw.read(module)
    ends = {*marks, *(state for state in machine.states if not machine.ways(state))}
    chance = Random(0)
    gone: Counter[tuple[str, str, str]] = Counter()
    for _ in range(histories):
        attempts, status_request = chance.choice((1, 2)), chance.choice([*StatusRequest])
        ordered = attrs.evolve(plan, status_request=status_request, unicast_attempts=attempts)
        beginnings, facts = BEGINNINGS[name]
        state, at = chance.choice(beginnings(now)), now
        for _ in range(40):
            at += chance.choice((0, 1, 10, 100)) * SECOND
            tried = [(fact, module.step(ordered, state, fact, at)) for fact in facts(ordered, state, at)]
            look(Moment(ordered, state, at, tried))
            ways = [(way(state, fact, after), after) for fact, after in tried if after is not state]
            if not ways:
                break
            # what ends a history is gone into last, or none would be long
            onward = [(named, after) for named, after in ways if named[2] not in ends] or ways
            chance.shuffle(onward)
            # now and then the one that was gone least, or what is rare would need thousands of histories
            least = chance.random() < 0.3
            named, state = min(onward, key=lambda one: gone[one[0]]) if least else onward[0]
            gone[named] += 1


def way(before: object, fact: object, after: object) -> tuple[str, str, str]:
    """What a transition is called in the diagrams: state, message, and the state after it."""
    return called(before), called(fact), called(after)


def called(value: object) -> str:
    """The name of a state, of a message, or of the command that has answered."""
    return type(value.command if isinstance(value, device.Answered) else value).__name__


def _deployment_facts(plan: Plan, state: object, now: datetime) -> list[deployment.Fact]:
    stages = ("group", "fragments", "prepared", "asked", "ready", "unheard", "incomplete", "leaving")
    crowds: list[tuple[str, ...]] = [(), *((stage,) for stage in stages), ("prepared", "ready")]
    tallies = [
        deployment.Tally(**{stage: int(stage in crowd) for stage in stages}, settled=1, complete=1)
        for crowd in crowds
    ]
    return [
        deployment.GroupCreated("g"),
        deployment.GroupRefused("no"),
        deployment.GroupLost("g", "no"),
        deployment.GroupDeleted(),
        deployment.Cancel(),
        *map(deployment.FragmentsEnqueued, (1, plan.fragments, plan.fragments + 1)),
        *map(deployment.Waiting, (0, 1)),
        deployment.Emptied(),
        deployment.Flushed(),
        deployment.Drained(),
        *map(deployment.Counted, tallies),
        *map(deployment.Expired, tallies),
    ]


def _device_facts(plan: Plan, state: object, now: datetime) -> list[device.Fact]:
    session = getattr(state, "session", Session(1, now + 60 * SECOND, now + 200 * SECOND))
    following = Session(session.number + 1, now + 60 * SECOND, now + 200 * SECOND)
    return [
        *map(device.Begin, ("g", "h")),
        device.Joined(),
        device.Withdrawn(),
        *map(device.ClockAnswered, (0, 60)),
        device.Expired(),
        device.Taken(),
        *map(device.Unattended, (True, False)),
        Dropped(dev_eui=EUI64(bytes(8)), item="7", reason="too large"),
        *map(device.Arrange, (session, following)),
        *map(device.Close, (session, following)),
        *map(device.Verify, (session, following)),
        *map(device.Release, (True, False)),
        device.Conclude(),
        device.Abandon("over"),
        *(device.Refused(unknown, "no") for unknown in (True, False)),
        *(
            device.Answered(answer, received_at, early=early)
            for answer in _answers(plan, session, now)
            for received_at, early in ((now, False), (now, True), (now - 100 * SECOND, False))
        ),
    ]


def _answers(plan: Plan, session: Session, now: datetime) -> list[Command]:
    """Good ones, bad ones, and such as are for another deployment."""
    groups, indices, errors = (plan.mc_group_id, 0), (plan.frag_index, 0), (False, True)
    due = round((session.start - now).total_seconds())
    return [
        *(McGroupSetupAns(mc_group_id=group, id_error=error) for group, error in product(groups, errors)),
        *(
            FragSessionSetupAns(
                frag_index=frag_index,
                encoding_unsupported=False,
                not_enough_memory=error,
                frag_session_index_not_supported=False,
                wrong_descriptor=False,
            )
            for frag_index, error in product(indices, errors)
        ),
        *(
            answer(
                mc_group_id=group,
                dr_error=error,
                freq_error=False,
                mc_group_undefined=False,
                start_missed=missed,
                time_to_start=None if error or missed else due + late,
            )
            for answer in (McClassCSessionAns, McClassBSessionAns)
            for group, error, missed, late in product(groups, errors, errors, (0, 60))
        ),
        *(
            FragSessionStatusAns(
                frag_index=frag_index,
                nb_frag_received=received,
                missing_frag=missing,
                not_enough_matrix_memory=error,
            )
            for frag_index, received, missing, error in product(indices, (0, plan.nb_frag), (0, 1), errors)
        ),
    ]


Facts = Callable[[Plan, object, datetime], list[Any]]


def _deployments(now: datetime) -> list[Any]:
    """At the beginning, with a group that was made again as often as it is, and when all is sent."""
    session = Session(3, now + 60 * SECOND, now + 200 * SECOND)
    return [
        CreatingGroup(),
        ArrangingSession("g", session, 0, RESTORATIONS),
        Settling("g", session, 0, looked=True),
    ]


def _devices(now: datetime) -> list[Any]:
    """At the beginning, with a clock that was put right for the last time, in a later window, and when one
    window was missed."""
    session, soon = Session(3, now + 60 * SECOND, now + 200 * SECOND), now + 10 * SECOND
    return [
        Waiting(),
        CorrectingClock(session, 3, soon, Failed(Reason.CLOCK_OFF, "")),
        AskingStatus(session, 1, soon, missed=Failed(Reason.START_MISSED, "")),
    ]


BEGINNINGS: dict[str, tuple[Callable[[datetime], list[Any]], Facts]] = {
    "deployment": (_deployments, _deployment_facts),
    "device": (_devices, _device_facts),
}
"""The first state of each machine, some that are seldom come to, and all that may be told to it."""
