"""As far as names tell, no secret is compared with `==`, which takes longer the more of it was guessed."""

import ast
from collections.abc import Iterator
from pathlib import Path

FUOTA = Path(__file__).parents[2] / "fuota"
SECRET = ("token", "credentials", "cookie", "password", "authorization")
NO_SECRETS = {
    ("journal/holder.py", "process['token'] != TOKEN"),  # tells processes apart
}
ORDINARY = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)


def compared() -> Iterator[tuple[str, str]]:
    """Where in the server, and how, something with a secret's name is compared."""
    for path in FUOTA.rglob("*.py"):
        if "simulation" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and any(isinstance(each, ORDINARY) for each in node.ops):
                spelled = ast.unparse(node)
                if any(name in spelled.lower() for name in SECRET):
                    yield str(path.relative_to(FUOTA)), spelled


def test_no_secret_is_compared_as_other_values_are() -> None:
    assert set(compared()) == NO_SECRETS
