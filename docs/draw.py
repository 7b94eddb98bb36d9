"""Draw the machines from their code: `./dev diagrams`; with --check only see whether the pages are stale.

The `match` in `step` is the transition table, and it is what is read: from each `case` the states and the
messages it takes, its guard, and the states it can lead to. Those are the constructors in what it returns;
functions that it calls are followed, `here.to(State)` is that state, `state` means that nothing changes, and
an attribute of `state` is what its annotation says. Anything else is an error here, never a gap in a picture.
"""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from types import ModuleType, NoneType
from typing import get_args, get_type_hints

import attrs

import fuota.deployment.machine
import fuota.device.machine

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "machines.md")

MACHINES: dict[str, tuple[ModuleType, dict[str, str]]] = {
    "deployment": (fuota.deployment.machine, {"Abandoning": "✗", "DeletingGroup": "⇥"}),
    "device": (fuota.device.machine, {"Failed": "✗"}),
}
"""Each with the states that are entered from nearly everywhere and their marks, the least ordinary first."""


@attrs.frozen
class Row:
    """What one `case` does in one state; `condition` is source, empty if there is none."""

    state: str
    messages: tuple[str, ...]
    condition: str
    targets: tuple[str, ...]


@attrs.frozen
class Machine:
    """A machine as its source has it; `states` begins with the one in which it starts."""

    states: tuple[str, ...]
    rows: tuple[Row, ...]

    def ways(self, state: str) -> dict[str, list[str]]:
        """Where `state` can lead, and by which messages; nowhere if it is an end."""
        rows = [row for row in self.rows if row.state == state]
        found = {to: [m for row in rows if to in row.targets for m in row.messages] for to in self.states}
        return {to: list(dict.fromkeys(messages)) for to, messages in found.items() if messages}

    def shared(self, target: str) -> list[str]:
        """The messages that lead to `target` from every state that is not an end."""
        first, *others = [ways for state in self.states if (ways := self.ways(state))]
        return [m for m in first.get(target, ()) if all(m in ways.get(target, ()) for ways in others)]


def read(module: ModuleType) -> Machine:
    """The machine whose function `step` is in `module`."""
    states = tuple(state.__name__ for state in get_args(module.State))
    (table,) = (node for node in _body(module.step) if isinstance(node, ast.Match))
    cases = [(c.pattern.patterns, c) for c in table.cases if isinstance(c.pattern, ast.MatchSequence)]
    messages = [name for (_, message), _ in cases for name in _names(message)]
    rows = []
    for state in states:
        settled: set[str] = set()
        for (taken, message), case in cases:
            heard = tuple(name for name in dict.fromkeys(_names(message) or messages) if name not in settled)
            if not heard or state not in (_names(taken) or states):
                continue
            choosy = any(isinstance(n, ast.MatchValue | ast.MatchSingleton) for n in ast.walk(message))
            condition = (
                ast.unparse(case.guard or message).replace("here.", "") if case.guard or choosy else ""
            )
            if not condition:
                settled.update(heard)
            found = {to for each in _returns(case.body, state) for to in _successors(module, state, each)}
            if found:
                rows.append(Row(state, heard, condition, tuple(sorted(found, key=states.index))))
    return Machine(states, tuple(rows))


def _body(function: Callable[..., object]) -> list[ast.stmt]:
    (definition,) = ast.parse(inspect.getsource(function)).body
    assert isinstance(definition, ast.FunctionDef)
    return definition.body


def _names(pattern: ast.AST) -> list[str]:
    """The classes that a pattern takes, none if it takes all; what carries another is called as that one."""
    inner = [name for child in ast.iter_child_nodes(pattern) for name in _names(child)]
    if isinstance(pattern, ast.MatchClass) and not inner:
        return [ast.unparse(pattern.cls)]
    return inner


def _returns(body: Iterable[ast.stmt], state: str) -> Iterator[ast.expr]:
    """What can be returned in `state`; where the code asks which state it is, that is answered."""
    for statement in body:
        match statement:
            case ast.Return(ast.expr() as value):
                yield value
            case ast.If(
                ast.Call(ast.Name("isinstance"), [ast.Name("state"), of]), [ast.Return() as then], []
            ):
                if state in ast.unparse(of).split(" | "):
                    yield from _returns([then], state)
                    return
            case ast.If(_, then, otherwise):
                yield from _returns([*then, *otherwise], state)
            case _ if any(isinstance(node, ast.Return) for node in ast.walk(statement)):
                raise ValueError(f"not understood: {ast.unparse(statement)}")


def _successors(module: ModuleType, state: str, returned: ast.expr) -> Iterator[str]:
    match returned:
        case ast.Name("state"):
            pass
        case ast.Attribute(ast.Name("state"), field):
            hint = get_type_hints(getattr(module, state))[field]
            yield from (each.__name__ for each in get_args(hint) or (hint,) if each is not NoneType)
        case ast.Call(ast.Attribute(ast.Name("attrs"), "evolve"), [ast.Name("state")]):
            yield state
        case ast.Call(ast.Attribute(ast.Name(), "to"), [ast.Name(name)]):
            yield name
        case ast.Call(ast.Name(name)) if inspect.isclass(getattr(module, name)):
            yield name
        case ast.Call(ast.Name(name)):
            function = getattr(module, name)
            for each in _returns(_body(function), state):
                yield from _successors(sys.modules.get(function.__module__, module), state, each)
        case _:
            raise ValueError(f"not understood: {ast.unparse(returned)}")


def diagram(machine: Machine, marks: dict[str, str]) -> str:
    """All transitions: the ordinary ways of a state as arrows, the others as lines in its box."""
    lines = [f"[*] --> {machine.states[0]}"]
    for state in machine.states:
        box = [f"{marks[state]} leads here"] if state in marks else []
        if shared := machine.shared(state):
            box.append(f"{', '.join(shared)} too, from everywhere")
        ways = machine.ways(state)
        beside = [to for to in (state, *marks) if to in ways]
        if len(beside) == len(ways):
            del beside[-1:]  # the most ordinary one
        for to, messages in ways.items():
            own = [message for message in messages if message not in machine.shared(to)]
            if to not in beside:
                lines.append(f"{state} --> {to} : {', '.join(messages)}")
            elif own:
                box.append(f"{marks.get(to, '↻')} {', '.join(own)}")
        lines += [f"{state} : {line}" for line in (state, *box) if box]
        lines += [] if ways else [f"{state} --> [*]"]
    return "stateDiagram-v2\n" + "".join(f"    {line}\n" for line in lines)


def overview(drawn: str) -> str:
    """The ways that a diagram draws, without the messages, and small."""
    lines = [line.partition(" : ")[0] for line in drawn.splitlines() if "-->" in line or " : " not in line]
    small = '%%{init: {"state": {"nodeSpacing": 25, "rankSpacing": 20}}}%%'
    return "\n".join([small, *lines, ""])


def table(machine: Machine) -> str:
    """One line for each state, condition and outcome, in the order of the code."""
    text, shown = "| State | Message | If | Next |\n|---|---|---|---|\n", ""
    rows = [r for r in machine.rows if not r.condition or attrs.evolve(r, condition="") not in machine.rows]
    for (state, condition, targets), same in groupby(rows, lambda r: (r.state, r.condition, r.targets)):
        name = "" if state == shown else state
        messages = ", ".join(message for row in same for message in row.messages)
        code = f"`{condition}`" if condition else ""
        text += f"| {name} | {messages} | {code} | {', '.join(targets)} |\n"
        shown = state
    return text


def filled(page: str) -> str:
    """The page with everything between `<!-- drawn: … -->` and `<!-- end -->` made anew."""
    drawn = {}
    for name, (module, marks) in MACHINES.items():
        machine = read(module)
        picture = diagram(machine, marks)
        drawn[f"{name} diagram"] = f"```mermaid\n{picture}```\n"
        drawn[f"{name} overview"] = f"```mermaid\n{overview(picture)}```\n"
        drawn[f"{name} table"] = table(machine)
    marked = re.compile(r"(<!-- drawn: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
    return marked.sub(lambda found: found[1] + drawn[found[2]] + found[3], page)


def main(check: bool) -> None:
    stale = [page for page in PAGES if filled(page.read_text()) != page.read_text()]
    for page in stale:
        print(page.relative_to(ROOT), file=sys.stderr)
        if not check:
            page.write_text(filled(page.read_text()))
    if stale and check:
        sys.exit("not what the machines say: run `./dev diagrams`")


if __name__ == "__main__":
    main(check="--check" in sys.argv[1:])
