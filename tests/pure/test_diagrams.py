"""The diagrams say what the machines do: the pages are fresh, and the running code agrees with them."""

import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib.machinery import SourceFileLoader
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from docs import draw
from fuota.deployment import messages as deployment
from fuota.deployment.plan import Plan, StatusRequest
from fuota.deployment.states import CreatingGroup, Session
from fuota.device import messages as device
from fuota.device.states import Waiting
from fuota.fate import Dropped
from fuota.lorawan.eui import EUI64
from fuota.lorawan.fragmentation import FragSessionSetupAns, FragSessionStatusAns
from fuota.lorawan.multicast import McClassBSessionAns, McClassCSessionAns, McGroupSetupAns
from fuota.lorawan.package import Command

SECOND = timedelta(seconds=1)

Transition = tuple[str, str, str]
"""State, message, and the state after it."""


def transitions(machine: draw.Machine) -> set[Transition]:
    return {(row.state, by, to) for row in machine.rows for by in row.messages for to in row.targets}


def test_the_pages_are_fresh() -> None:
    checked = subprocess.run(
        [sys.executable, draw.__file__, "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_a_stale_page_is_named_and_drawn_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- drawn: device overview -->\nold\n<!-- end -->\nbelow\n")
    monkeypatch.setattr(draw, "ROOT", tmp_path)
    monkeypatch.setattr(draw, "PAGES", [page])
    with pytest.raises(SystemExit) as stopped:
        draw.main(check=True)
    assert stopped.value.code
    assert capsys.readouterr().err == "page.md\n"
    draw.main(check=False)
    text = page.read_text()
    assert text.startswith("above\n<!-- drawn: device overview -->\n```mermaid\n")
    assert "    Waiting --> JoiningGroup\n" in text
    assert text.endswith("```\n<!-- end -->\nbelow\n")
    draw.main(check=True)


@pytest.mark.parametrize(
    ("name", "ends"),
    [("deployment", {"Ended"}), ("device", {"Complete", "Unconfirmed", "Released", "Failed"})],
)
def test_every_state_is_explained_and_only_the_ends_have_no_way_out(name: str, ends: set[str]) -> None:
    module, _ = draw.MACHINES[name]
    machine = draw.read(module)
    assert {state for state in machine.states if not machine.ways(state)} == ends
    page = (draw.ROOT / "docs" / "machines.md").read_text()
    assert set(machine.states) <= set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))


@pytest.mark.parametrize("name", draw.MACHINES)
def test_the_picture_leaves_nothing_out(name: str) -> None:
    module, marks = draw.MACHINES[name]
    machine = draw.read(module)
    drawn: set[Transition] = set()
    for line in draw.diagram(machine, marks).splitlines():
        if arrow := re.fullmatch(r" *(\w+) --> (\w+) : (.+)", line):
            drawn |= {(arrow[1], message, arrow[2]) for message in arrow[3].split(", ")}
        elif shared := re.fullmatch(r" *(\w+) : (.+) too, from everywhere", line):
            live = [state for state in machine.states if machine.ways(state)]
            drawn |= set(product(live, shared[2].split(", "), [shared[1]]))
        elif (box := re.fullmatch(r" *(\w+) : ([^\w\s]) (\w.+)", line)) and box[3] != "leads here":
            (target,) = [to for to, mark in {box[1]: "↻", **marks}.items() if mark == box[2]]
            drawn |= {(box[1], message, target) for message in box[3].split(", ")}
    assert drawn == transitions(machine)


TOY = """
class Red: ...
class Green: ...
class Go: ...
State = Red | Green
def step(state, message):
    match state, message:
        case _, Go(): return {}
        case _: return state
def other(state):
    if isinstance(state, Red): return Green()
    if state: return Red()
    return state
def strange(state):
    with state: return Red()
"""


def toy(returned: str, folder: Path) -> ModuleType:
    """A module with a machine of two states that returns this when it is told to go."""
    path = folder / "toy.py"
    path.write_text(TOY.format(returned))
    module = ModuleType("toy")
    SourceFileLoader("toy", str(path)).exec_module(module)
    return module


@pytest.mark.parametrize(
    ("returned", "red", "green"),
    [("Green()", ["Green"], ["Green"]), ("state", [], []), ("other(state)", ["Green"], ["Red"])],
)
def test_what_is_returned_is_followed(
    returned: str, red: list[str], green: list[str], tmp_path: Path
) -> None:
    machine = draw.read(toy(returned, tmp_path))
    assert list(machine.ways("Red")) == red
    assert list(machine.ways("Green")) == green


@pytest.mark.parametrize("returned", ["Red() if message else Green()", "strange(state)", "dict(a=1)['a']"])
def test_what_can_not_be_followed_is_an_error(returned: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not understood"):
        draw.read(toy(returned, tmp_path))


# -- the running machines --------------------------------------------------------------------------


def deployment_facts(plan: Plan, state: object, now: datetime) -> list[deployment.Fact]:
    stages = ("group", "fragments", "prepared", "asked", "ready", "unheard", "leaving")
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


def device_facts(plan: Plan, state: object, now: datetime) -> list[device.Fact]:
    session = getattr(state, "session", Session(1, now + 60 * SECOND, now + 200 * SECOND))
    following = Session(session.number + 1, now + 60 * SECOND, now + 200 * SECOND)
    return [
        *map(device.Begin, ("g", "h")),
        device.Joined(),
        device.Withdrawn(),
        *map(device.ClockAnswered, (0, 60)),
        device.Expired(),
        *map(device.Unattended, (True, False)),
        Dropped(dev_eui=EUI64(bytes(8)), item="7", reason="too large"),
        *map(device.Arrange, (session, following)),
        device.Close(session),
        device.Verify(session),
        device.Release(),
        device.Abandon("over"),
        *(device.Refused(unknown, "no") for unknown in (True, False)),
        *(
            device.Answered(answer, received_at)
            for answer in device_answers(plan, session, now)
            for received_at in (now, now - 100 * SECOND)
        ),
    ]


def device_answers(plan: Plan, session: Session, now: datetime) -> list[Command]:
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


def called(value: object) -> str:
    return type(value.command if isinstance(value, device.Answered) else value).__name__


@pytest.mark.parametrize(
    ("name", "start", "facts"),
    [("deployment", CreatingGroup(), deployment_facts), ("device", Waiting(), device_facts)],
)
def test_the_machine_does_all_that_the_table_says_and_nothing_else(
    name: str, start: object, facts: Callable[..., list[Any]], plan: Plan, now: datetime
) -> None:
    """In every state of some random histories, always the same ones, everything is tried."""
    module, marks = draw.MACHINES[name]
    machine = draw.read(module)
    last = {*marks, *(state for state in machine.states if not machine.ways(state))}
    seen: set[Transition] = set()
    choices = st.tuples(st.integers(0, 255), st.sampled_from([0, 1, 10, 100]))

    @settings(max_examples=2000, derandomize=True, database=None, phases=[Phase.generate])
    @given(history=st.lists(choices, min_size=20, max_size=40), request_=st.sampled_from(StatusRequest))
    def drive(history: list[tuple[int, int]], request_: StatusRequest) -> None:
        state, at, attempts = start, now, 1 + len(history) % 2
        ordered = attrs.evolve(plan, status_request=request_, unicast_attempts=attempts)
        for choice, seconds in history:
            at += seconds * SECOND
            tried = [(fact, module.step(ordered, state, fact, at)) for fact in facts(ordered, state, at)]
            moves = {(called(fact), after): None for fact, after in tried if after is not state}
            seen.update((called(state), message, called(after)) for message, after in moves)
            # what ends a history is gone into last, or none would be long
            afters = [after for _, after in moves]
            onward = [after for after in afters if called(after) not in last] or afters
            state = onward[choice % len(onward)] if onward else state

    drive()
    said = transitions(machine)
    assert seen - said == set(), "not in the table"
    assert said - seen == set(), "never happens"
