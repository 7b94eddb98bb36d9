"""docs/guarantees.md and docs/faults.md name the tests that hold the server to their word."""

import re
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent.parent
DOCS = HERE.parent / "docs"
FAULTS = (
    "test_chirpstack_faults.py",
    "test_ownership.py",
    "test_uplinks_of_others.py",
    "test_uplinks_out_of_order.py",
    "test_uplinks_that_mislead.py",
)


def names_in(modules: Iterable[Path]) -> set[str]:
    found = (re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE) for path in modules)
    return {name for names in found for name in names}


def named(text: str) -> set[str]:
    return set(re.findall(r"`(test_\w+)`", text))


def named_in(page: str) -> set[str]:
    return named((DOCS / page).read_text())


def test_every_guarantee_has_a_test_and_every_test_its_guarantee() -> None:
    actors, _ = (DOCS / "guarantees.md").read_text().split("\n## When ChirpStack goes away\n")
    assert named(actors) == names_in((HERE / "virtual").glob("test_actor_*.py"))


def test_every_guarantee_about_chirpstack_has_its_test_and_is_told_among_the_faults() -> None:
    _, chirpstack = (DOCS / "guarantees.md").read_text().split("\n## When ChirpStack goes away\n")
    rows = [line for line in chirpstack.splitlines() if line.startswith("| ")][1:]
    assert rows
    for row in rows:
        assert named(row), row
    assert named(chirpstack) <= named_in("faults.md") & names_in(HERE.rglob("test_*.py"))


def test_every_fault_has_its_test() -> None:
    assert named_in("faults.md") - names_in(HERE.rglob("test_*.py")) == set()
    told = (DOCS / "faults.md").read_text().split("\n## ", 1)[1]
    for point in re.split(r"\n(?=- |## )", told):
        assert not point.startswith("- ") or "`test_" in point, point


def test_the_faults_of_chirpstack_of_owners_and_of_uplinks_are_all_told() -> None:
    modules = [HERE / "virtual" / name for name in FAULTS]
    modules += [HERE / "postgres" / name for name in ("test_ownership.py", "test_takeover.py")]
    assert names_in(modules) <= named_in("faults.md")
