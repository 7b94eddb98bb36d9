"""The diagrams say what the machines do: the pages are fresh, and the running code agrees with them."""

import re
import subprocess
import sys
from datetime import datetime
from importlib.machinery import SourceFileLoader
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest

from docs import draw
from fuota.deployment.plan import Plan
from tests.pure.histories import Moment, drive, way

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


@pytest.mark.parametrize("name", draw.MACHINES)
def test_the_machine_does_all_that_the_table_says_and_nothing_else(
    name: str, plan: Plan, now: datetime
) -> None:
    """In every state of some random histories everything is tried."""
    seen: set[Transition] = set()

    def look(moment: Moment) -> None:
        before = moment.state
        seen.update(way(before, fact, after) for fact, after in moment.tried if after is not before)

    drive(name, plan, now, look, histories=800)
    module, _ = draw.MACHINES[name]
    said = transitions(draw.read(module))
    assert seen - said == set(), "not in the table"
    assert said - seen == set(), "never happens"
