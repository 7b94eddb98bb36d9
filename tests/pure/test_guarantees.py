"""docs/guarantees.md names the tests that hold it to its word."""

import re
from pathlib import Path

HERE = Path(__file__).parent.parent
TESTS = {
    name
    for module in (HERE / "virtual").glob("test_actor_*.py")
    for name in re.findall(r"^async def (test_\w+)", module.read_text(), re.MULTILINE)
}


def test_every_guarantee_has_a_test_and_every_test_its_guarantee() -> None:
    page = (HERE.parent / "docs" / "guarantees.md").read_text()
    assert set(re.findall(r"`(test_\w+)`", page)) == TESTS
