"""Which encodings of the database will do: those in which everything can be written that is told to us."""

import pytest
import trio

from fuota.device import states as device
from fuota.journal.migrations import Narrow
from tests.contract.entries import DEVICES, logged, of_device, ordered
from tests.postgres.clusters import database
from tests.postgres.owners import opened
from tests.postgres.schemas import CATALOG, REFERENCE, run

ODD = "Ж, \\x, ß, 日本, \N{SATELLITE ANTENNA}"


@pytest.mark.parametrize("encoding", ["UTF8", "SQL_ASCII"])
async def test_every_text_is_read_as_it_was_written(encoding: str, postgresql: str) -> None:
    new, ours = ordered(), DEVICES[1]
    failed = device.Failed(device.Reason.CLOCK_OFF, ODD)
    failing = of_device(new.id, 2, failed, live=False, logs=[logged(new.id, ODD, said=ODD)])
    with database(postgresql, encoding) as dsn, trio.fail_after(30):
        async with opened(dsn) as journal:
            await journal.create(new)
            await journal.commit(failing)
        async with opened(dsn) as journal:
            assert await journal.logs(new.id, ours) == list(failing.logs)
            devices = {each.dev_eui: each.state for each in await journal.devices(new.id)}
    assert devices[ours] == failed


@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JP"])
async def test_a_database_that_lacks_characters_is_refused_and_left_as_it_is(
    encoding: str, postgresql: str
) -> None:
    """Else the first name or error with such a character could not be written, days after the start."""
    with database(postgresql, encoding) as dsn:
        run(dsn, REFERENCE)
        before = run(dsn, CATALOG)
        with pytest.raises(Narrow, match=f"^the database has the encoding {encoding}, .* UTF8"):
            async with opened(dsn):
                pass
        assert run(dsn, CATALOG) == before
