"""PostgreSQL goes away, hangs, and comes back."""

from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
import pytest
import trio
from structlog.testing import capture_logs

from fuota.device import states as device
from fuota.health import Health
from fuota.journal import postgres, postgres_connections, postgres_reading
from fuota.journal.port import ActorId, LogRow, NewDeployment, Transition, Unavailable
from fuota.journal.postgres import PostgresJournal
from fuota.journal.postgres_dsn import BadDsn
from fuota.journal.sealing import Keyring
from tests.postgres.clusters import only_read
from tests.postgres.owners import until

Order = Callable[[int], NewDeployment]
Log = Callable[[NewDeployment, int], LogRow]

COMMIT = b"COMMIT\0"
FULL = """
create function full_up() returns trigger language plpgsql as
$$ begin raise exception 'no room' using errcode = '{}'; end $$;
create trigger full_up before insert on transition execute function full_up();
"""


def prepared(new: NewDeployment) -> Transition:
    return Transition(
        actor=ActorId(new.id, new.devices[0].dev_eui),
        version=2,
        at=new.created_at,
        cause="Answered",
        state=device.Prepared(),
    )


async def outage(line: Any) -> None:
    line.dead = True
    await line.cut()


async def recovered(health: Health) -> None:
    """Also the ownership, which is claimed again within a second."""
    with trio.fail_after(10):
        while health.ailments():  # noqa: ASYNC110, it does not tell
            await trio.sleep(0.01)


async def test_what_is_written_waits_and_what_is_read_does_not(
    journal: PostgresJournal, line: Any, health: Health, order: Order, log: Log
) -> None:
    new = order(1)
    await journal.create(new)
    await outage(line)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.commit, prepared(new))
            nursery.start_soon(journal.record, [log(new, 0)])
            for refused in (
                partial(journal.status, new.id),
                partial(journal.create, order(1)),
                partial(journal.load, new.id),
                journal.unfinished,
            ):
                with pytest.raises(Unavailable, match="PostgreSQL: "):
                    await refused()
            assert health.ailments().keys() == {"ownership", "postgresql"}
            line.dead = False
        await recovered(health)
    [stored] = await journal.devices(new.id)
    assert (stored.state, stored.version) == (device.Prepared(), 2)
    assert await journal.logs(new.id, stored.dev_eui) == [log(new, 0)]
    assert await journal.unfinished() == [new.id]


async def test_reading_is_tried_again_for_a_moment(
    journal: PostgresJournal, line: Any, health: Health, order: Order
) -> None:
    new = order(1)
    await journal.create(new)
    await line.cut()
    assert await journal.unfinished() == [new.id]
    assert "postgresql" not in health.ailments()


@pytest.mark.parametrize("kept", [False, True])
async def test_a_database_that_only_reads_is_ill(
    journal: PostgresJournal, line: Any, dsn: str, health: Health, order: Order, kept: bool
) -> None:
    """`kept`: its connections live on when it may be written to again, which is true of new ones only."""
    new = order(1)
    await journal.create(new)

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            with only_read(dsn):
                await line.cut()
                nursery.start_soon(journal.commit, prepared(new))
                while "read-only" not in health.ailments().get("postgresql", ""):  # noqa: ASYNC110, it does not tell
                    await trio.sleep(0.01)
                assert await journal.unfinished() == [new.id]
                assert "postgresql" in health.ailments()
            if not kept:
                await line.cut()
    await recovered(health)


async def test_an_order_that_was_refused_does_not_leave_an_idle_server_ill(
    line: Any, keyring: Keyring, health: Health, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connections, "PULSE", 0.2)
    async with PostgresJournal.open(line.dsn, keyring=keyring, health=health, patience=1.0) as journal:
        await outage(line)
        with pytest.raises(Unavailable):
            await journal.create(order(1))
        line.dead = False
        await recovered(health)
        assert await journal.unfinished() == []


@pytest.mark.parametrize(
    "errcode", ["disk_full", "raise_exception", "insufficient_privilege", "internal_error"]
)
async def test_what_the_operator_can_mend_is_waited_for(
    journal: PostgresJournal, dsn: str, health: Health, order: Order, errcode: str
) -> None:
    new = order(1)
    await journal.create(new)
    with capture_logs() as said, psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(FULL.format(errcode).encode())
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(journal.commit, prepared(new))
                while "no room" not in health.ailments().get("postgresql", ""):  # noqa: ASYNC110, it does not tell
                    await trio.sleep(0.01)
                with pytest.raises(Unavailable, match="no room"):
                    await journal.create(order(0))
                connection.execute("drop trigger full_up on transition")
    [stored] = await journal.devices(new.id)
    assert (stored.state, stored.version) == (device.Prepared(), 2)
    assert health.ailments() == {}
    assert [each["event"] for each in said].count("recovered") == 1, "and it was ill all the time until then"


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which each has 1 s."""
    monkeypatch.setattr(postgres, "READING_WITHIN", 1.0)
    monkeypatch.setattr(postgres_connections, "WATCHING", 0.02)
    monkeypatch.setattr(postgres_reading, "PIECE", 2)


@pytest.mark.usefixtures("pieces")
async def test_what_is_long_may_take_long_to_read(journal: PostgresJournal, line: Any, order: Order) -> None:
    new = order(41)
    await journal.create(new)
    line.speed = 6000.0
    begun = trio.current_time()
    stored, status = await journal.devices(new.id), await journal.status(new.id)
    assert trio.current_time() - begun > 2 * postgres.READING_WITHIN
    assert status is not None
    wanted = [each.dev_eui for each in new.devices]
    assert [each.dev_eui for each in stored] == [each.dev_eui for each in status.devices] == wanted


@pytest.mark.usefixtures("pieces")
async def test_a_database_that_hangs_while_much_is_read_is_cut_off(
    journal: PostgresJournal, line: Any, order: Order
) -> None:
    new = order(41)
    await journal.create(new)
    line.speed = 6000.0
    async with trio.open_nursery() as reading:

        async def read() -> None:
            with trio.fail_after(10), pytest.raises(Unavailable):
                await journal.devices(new.id)

        before = line.carried
        reading.start_soon(read)
        await until(lambda: line.carried > before + 2000)
        line.frozen = True
    line.frozen = False
    await line.cut()


async def test_the_end_does_not_wait_for_a_database_that_hangs(
    line: Any, keyring: Keyring, health: Health, order: Order
) -> None:
    new = order(1)
    with trio.fail_after(8), trio.CancelScope() as serving:
        async with (
            PostgresJournal.open(line.dsn, keyring=keyring, health=health) as journal,
            trio.open_nursery() as nursery,
        ):
            await journal.create(new)
            line.frozen = True
            nursery.start_soon(journal.commit, prepared(new))
            await line.swallowed.wait()
            serving.cancel()
    assert serving.cancelled_caught


async def test_a_wait_that_is_cancelled_in_an_outage_ends(
    journal: PostgresJournal, line: Any, order: Order
) -> None:
    new = order(1)
    await journal.create(new)
    await outage(line)
    with trio.fail_after(10), trio.move_on_after(0.1) as scope:
        await journal.commit(prepared(new))
    assert scope.cancelled_caught
    line.dead = False
    [stored] = await journal.devices(new.id)
    assert stored.version == 1


async def test_a_database_that_is_not_there_stops_the_start(keyring: Keyring, health: Health) -> None:
    with pytest.raises(Unavailable, match="onnection refused"):
        async with PostgresJournal.open("host=127.0.0.1 port=1 dbname=fuota", keyring=keyring, health=health):
            pass


async def test_a_bad_dsn_stops_the_start_and_is_not_shown(keyring: Keyring, health: Health) -> None:
    with pytest.raises(BadDsn, match="neither a URI nor") as caught:
        async with PostgresJournal.open("host=localhost secret", keyring=keyring, health=health):
            pass
    assert "secret" not in str(caught.value)
