"""Which versions of PostgreSQL will do, and what becomes of a database of an older one: nothing."""

from typing import Any

import pytest

from fuota.health import Health
from fuota.journal.migrations import TooOld, check_version
from fuota.journal.postgres import PostgresJournal
from fuota.journal.sealing import Keyring
from tests.postgres.schemas import CATALOG, REFERENCE, run


@pytest.mark.parametrize("number", [100000, 100023, 130014, 180006])
def test_every_version_from_10_on_is_taken(number: int) -> None:
    check_version(number)


@pytest.mark.parametrize(("number", "told"), [(90624, r"PostgreSQL 9\.6, "), (90500, r"PostgreSQL 9\.5, ")])
def test_an_older_version_is_refused_with_the_oldest_that_would_do(number: int, told: str) -> None:
    with pytest.raises(TooOld, match=f"{told}and 10 is the oldest"):
        check_version(number)


async def test_nothing_is_changed_in_a_database_of_an_older_version(
    dsn: str, line: Any, keyring: Keyring
) -> None:
    """The Go server is content with 9.5; so may be the one whose database is taken over."""
    run(dsn, REFERENCE)
    before, line.version = run(dsn, CATALOG), b"9.6"
    with pytest.raises(TooOld, match=r"^the database is PostgreSQL 9\.6, and 10 is the oldest "):
        async with PostgresJournal.open(line.dsn, keyring=keyring, health=Health()):
            pass
    assert run(dsn, CATALOG) == before
