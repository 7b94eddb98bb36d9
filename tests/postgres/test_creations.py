"""Orders whose writing is cut short: each is there once, or not at all and taken back."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import attrs
import psycopg
import pytest
import trio
from structlog.testing import capture_logs

from fuota.deployment import states as deployment
from fuota.journal import postgres_creation
from fuota.journal.port import ActorId, Conflict, Fenced, LogRow, NewDeployment, Transition, Unavailable
from fuota.journal.postgres import PostgresJournal
from fuota.journal.postgres_creation import Creation
from fuota.journal.sealing import Keyring
from fuota.ownership import Tenure
from tests.postgres.owners import opened

Order = Callable[[int], NewDeployment]
Log = Callable[[NewDeployment, int], LogRow]

COMMIT = b"COMMIT\0"
LATE = """
create function wait() returns trigger language plpgsql as
$$ begin perform pg_advisory_xact_lock(1); return null; end $$;
create constraint trigger late after insert on deployment deferrable initially deferred
for each row execute function wait();
"""
"""A new deployment is committed when nobody else has the lock."""
COMMITTING = "select count(*) from pg_locks where locktype = 'advisory' and objid = 1 and not granted"


def ended(new: NewDeployment) -> Transition:
    return Transition(
        actor=ActorId(new.id),
        version=2,
        at=new.created_at,
        cause="Settled",
        state=deployment.Ended(deployment.Why.DONE, ""),
        live=False,
    )


async def withdrawn(journal: PostgresJournal, left: list[NewDeployment]) -> None:
    """Connections that were lost are made again some time after the database is back."""
    seen: Sequence[UUID] = []
    with trio.fail_after(10):
        while seen != [each.id for each in left]:
            with suppress(Unavailable):
                seen = await journal.unfinished()
            await trio.sleep(0.01)


@pytest.mark.usefixtures("whose_id")
@pytest.mark.parametrize("moment", ["cut_before", "cut_after"])
async def test_a_creation_whose_commit_is_not_answered_is_there_once(
    journal: PostgresJournal, line: Any, order: Order, moment: str
) -> None:
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


def test_an_order_may_take_as_long_as_it_is_large(order: Order, keyring: Keyring) -> None:
    small = order(1)
    many = attrs.evolve(small, devices=[*small.devices] * 100_000)
    large = attrs.evolve(small, firmware=bytes(10_000_000))
    within = [Creation(new, keyring, Tenure(1, "")).within for new in (small, many, large)]
    assert within == [pytest.approx(seconds, abs=0.1) for seconds in (10, 110, 20)]
