"""The statements and the migrations of `sql/`."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import attrs

import fuota

NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@attrs.frozen
class Migration:
    """One step of the schema, from the one with the number before."""

    number: int
    name: str
    """Of its file, without the suffix: `0002_journal`."""
    text: str


@cache
def queries() -> Mapping[str, str]:
    """Name -> statement, as `-- name:` in `sql/queries.sql` has it."""
    _, *parts = NAME.split((_folder() / "queries.sql").read_text("utf-8"))
    return dict(zip(parts[::2], parts[1::2], strict=True))


@cache
def migrations() -> Sequence[Migration]:
    """All migrations, numbered from 1 without a gap."""
    files = sorted((_folder() / "migrations").glob("*.sql"))
    return tuple(Migration(int(file.stem[:4]), file.stem, file.read_text("utf-8")) for file in files)


def _folder() -> Path:
    """A wheel has the folder inside the package, a checkout has it beside the package."""
    package = Path(fuota.__file__).parent
    inside = package / "sql"
    return inside if inside.is_dir() else package.parent / "sql"
