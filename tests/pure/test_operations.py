"""docs/operations.md tells operators what the server's log says."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/operations.md").read_text()


def told() -> Iterator[str]:
    """Every warning and error that the server writes, but for values."""
    for path in (ROOT / "fuota").rglob("*.py"):
        if "simulation" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="warning" | "error"), args=[ast.Constant(value=str(event)), *_]
                ):
                    yield event


def test_every_warning_and_error_is_explained() -> None:
    events = set(told())
    assert len(events) > 30
    beginnings = {re.split("[,:;]", event)[0] for event in events}
    assert {each for each in beginnings if f"`{each}" not in PAGE} == set()
