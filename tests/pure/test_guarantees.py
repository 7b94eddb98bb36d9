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


def named_in(page: str) -> set[str]:
    return set(re.findall(r"`(test_\w+)`", (DOCS / page).read_text()))


def test_every_guarantee_has_a_test_and_every_test_its_guarantee() -> None:
    assert named_in("guarantees.md") == names_in((HERE / "virtual").glob("test_actor_*.py"))


def test_every_fault_has_its_test() -> None:
    assert named_in("faults.md") - names_in(HERE.rglob("test_*.py")) == set()
    told = (DOCS / "faults.md").read_text().split("\n## ", 1)[1]
    for point in re.split(r"\n(?=- |## )", told):
        assert not point.startswith("- ") or "`test_" in point, point


def test_the_faults_of_chirpstack_of_owners_and_of_uplinks_are_all_told() -> None:
    modules = [HERE / "virtual" / name for name in FAULTS]
    modules += [HERE / "postgres" / name for name in ("test_ownership.py", "test_takeover.py")]
    assert names_in(modules) <= named_in("faults.md")
