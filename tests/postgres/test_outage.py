"""PostgreSQL goes away, hangs, and comes back."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import attrs
import psycopg
import pytest
import trio
from structlog.testing import capture_logs

from fuota.deployment import states as deployment
from fuota.device import states as device
from fuota.health import Health
from fuota.journal import postgres, postgres_connections, postgres_creation, postgres_reading
from fuota.journal.port import ActorId, Conflict, Fenced, LogRow, NewDeployment, Transition, Unavailable
from fuota.journal.postgres import PostgresJournal
from fuota.journal.postgres_creation import Creation
from fuota.journal.postgres_dsn import BadDsn
from fuota.journal.sealing import Keyring
from fuota.journal.sql import queries
from fuota.ownership import Tenure
from tests.postgres.clusters import only_read
from tests.postgres.owners import opened, until

Order = Callable[[int], NewDeployment]
Log = Callable[[NewDeployment, int], LogRow]

COMMIT = b"COMMIT\0"
FULL = """
create function full_up() returns trigger language plpgsql as
$$ begin raise exception 'no room' using errcode = '{}'; end $$;
create trigger full_up before insert on transition execute function full_up();
"""
LATE = """
create function wait() returns trigger language plpgsql as
$$ begin perform pg_advisory_xact_lock(1); return null; end $$;
create constraint trigger late after insert on deployment deferrable initially deferred
for each row execute function wait();
"""
"""A new deployment is committed when nobody else has the lock."""
COMMITTING = "select count(*) from pg_locks where locktype = 'advisory' and objid = 1 and not granted"

PATIENCE = 1.0


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def journal(line: Any, keyring: Keyring, health: Health) -> AsyncIterator[PostgresJournal]:
    async with PostgresJournal.open(line.dsn, keyring=keyring, health=health, patience=PATIENCE) as journal:
        yield journal


def prepared(new: NewDeployment) -> Transition:
    return Transition(
        actor=ActorId(new.id, new.devices[0].dev_eui),
        version=2,
        at=new.created_at,
        cause="Answered",
        state=device.Prepared(),
    )


def ended(new: NewDeployment) -> Transition:
    return Transition(
        actor=ActorId(new.id),
        version=2,
        at=new.created_at,
        cause="Settled",
        state=deployment.Ended(deployment.Why.DONE, ""),
        live=False,
    )


async def outage(line: Any) -> None:
    line.dead = True
    await line.cut()


async def withdrawn(journal: PostgresJournal, left: list[NewDeployment]) -> None:
    with trio.fail_after(10):
        while await journal.unfinished() != [each.id for each in left]:  # noqa: ASYNC110, it does not tell
            await trio.sleep(0.01)


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


@pytest.mark.parametrize("of_another", [False, True])
@pytest.mark.parametrize("moment", ["cut_before", "cut_after"])
async def test_a_creation_whose_commit_is_not_answered_is_there_once(
    journal: PostgresJournal,
    line: Any,
    order: Order,
    moment: str,
    of_another: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`of_another`: a standby that has taken over has given the id of its transaction to another."""
    if of_another:
        monkeypatch.setitem(queries(), "transaction_status", "select 'committed' where %s > 0")
    new = order(3)
    setattr(line, moment, COMMIT)
    await journal.create(new)
    assert getattr(line, moment) is None
    assert await journal.unfinished() == [new.id]
    assert len(await journal.devices(new.id)) == 3


async def test_a_device_whose_end_was_lost_is_free_when_its_deployment_has_ended(
    journal: PostgresJournal, line: Any, order: Order
) -> None:
    """A standby has taken over without the last steps of the device, and with those of the deployment."""
    first, second = order(2), order(2)
    await journal.create(first)
    with pytest.raises(Conflict):
        await journal.create(second)
    await journal.commit(ended(first))
    await journal.create(second)
    with pytest.raises(Conflict, match=str(second.id)):
        await journal.create(order(1))
    assert await journal.unfinished() == [second.id]


async def test_a_creation_that_was_refused_is_not_there_when_the_database_comes_back(
    journal: PostgresJournal, line: Any, dsn: str, order: Order, log: Log
) -> None:
    earlier, new = order(0), order(3)
    await journal.create(earlier)
    line.cut_after, line.dies = COMMIT, True
    with pytest.raises(Unavailable):
        await journal.create(new)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("select count(*) from deployment").fetchone() == (2,)
    line.dead = False
    await withdrawn(journal, [earlier])
    await journal.create(order(3))


async def test_an_order_that_was_refused_is_not_there_however_late_it_is_committed(
    journal: PostgresJournal, dsn: str, order: Order, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_creation, "WITHIN", 0.5)
    earlier, new = order(0), order(3)
    await journal.create(earlier)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(LATE)
        connection.execute("select pg_advisory_lock(1)")
        with pytest.raises(Unavailable):
            await journal.create(new)
        assert connection.execute(COMMITTING).fetchone() == (1,)
        await journal.record([log(new, 0)])  # it waits for no withdrawal
        connection.execute("select pg_advisory_unlock(1)")
        connection.execute("select pg_advisory_lock(1)")  # when it is committed
        connection.execute("select pg_advisory_unlock(1)")
    await withdrawn(journal, [earlier])
    await journal.create(order(3))


async def test_a_server_that_stops_before_it_is_withdrawn_says_so(
    dsn: str, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_creation, "WITHIN", 0.1)
    new = order(1)
    with psycopg.connect(dsn, autocommit=True) as connection, capture_logs() as said:
        async with opened(dsn) as journal:
            connection.execute(LATE)
            connection.execute("select pg_advisory_lock(1)")
            with pytest.raises(Unavailable):
                await journal.create(new)
        connection.execute("select pg_advisory_unlock(1)")
    (line,) = [line for line in said if "may run all the same" in line["event"]]
    assert (line["id"], line["why"]) == (str(new.id), "this server stops")


async def test_a_deployment_that_another_server_may_run_is_not_withdrawn(
    journal: PostgresJournal, dsn: str, order: Order, keyring: Keyring
) -> None:
    creation = Creation(order(1), keyring, journal.ownership.tenure)
    with psycopg.connect(dsn) as connection:
        creation.write(connection)
        connection.commit()
        connection.execute("update ownership set epoch = epoch + 1")
        assert creation.withdrawal is not None
        with pytest.raises(Fenced):
            creation.withdrawal.write(connection)
        assert connection.execute("select count(*) from deployment").fetchone() == (1,)


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
    async with PostgresJournal.open(line.dsn, keyring=keyring, health=health, patience=PATIENCE) as journal:
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


async def test_an_order_is_refused_in_time_though_the_database_hangs(
    journal: PostgresJournal, line: Any, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    await journal.create(order(1))
    monkeypatch.setattr(postgres_creation, "WITHIN", 0.1)
    line.frozen = True
    with trio.fail_after(10), pytest.raises(Unavailable):
        await journal.create(order(2))
    line.frozen = False
    await line.cut()


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


def test_an_order_may_take_as_long_as_it_is_large(order: Order, keyring: Keyring) -> None:
    small = order(1)
    many = attrs.evolve(small, devices=[*small.devices] * 100_000)
    large = attrs.evolve(small, firmware=bytes(10_000_000))
    within = [Creation(new, keyring, Tenure(1, "")).within for new in (small, many, large)]
    assert within == [pytest.approx(seconds, abs=0.1) for seconds in (10, 110, 20)]


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
