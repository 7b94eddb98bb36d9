"""One server runs the deployments of a database, and the others know it."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import pytest
import trio
import trio.testing

from fuota.device import states as device
from fuota.health import Health
from fuota.journal import postgres_ownership
from fuota.journal.port import Fenced, LogRow, NewDeployment
from fuota.journal.postgres import PostgresJournal
from fuota.journal.postgres_dsn import conninfo
from fuota.journal.sql import queries
from tests.postgres.clusters import execute
from tests.postgres.owners import Life, end_sessions, opened, step, until

Order = Callable[[int], NewDeployment]
Log = Callable[[NewDeployment, int], LogRow]

pytestmark = pytest.mark.usefixtures("a_tenth_of_the_time")


async def test_the_first_owns_and_the_second_says_who_does(dsn: str, order: Order, log: Log) -> None:
    new = order(1)
    async with opened(dsn) as first:
        assert first.ownership.certain
        await first.create(new)
        async with opened(dsn) as second:
            assert second.ownership.epoch is None
            assert "process" in second.ownership.holder
            with pytest.raises(Fenced, match=r"run by .* process"):
                await second.create(order(0))
            with pytest.raises(Fenced):
                await second.commit(step(new))
            with pytest.raises(Fenced):
                await second.record([log(new, 0)])
            status = await second.status(new.id)
            assert status is not None
            assert status.devices[0].state == device.Waiting()
        await first.commit(step(new))


async def test_the_owner_goes_on_after_its_session_has_ended(dsn: str, order: Order) -> None:
    new = order(1)
    async with opened(dsn) as journal:
        epoch = journal.ownership.epoch
        await journal.create(new)
        end_sessions(dsn)
        await until(lambda: not journal.ownership.certain)
        await journal.commit(step(new))
        await until(lambda: journal.ownership.certain)
        assert journal.ownership.epoch == epoch


async def test_an_owner_that_only_loses_its_session_remains_the_owner(
    dsn: str, nursery: trio.Nursery
) -> None:
    """Although another stands by: as when PostgreSQL is restarted."""
    owner = await Life.begin(dsn, nursery)
    epoch = owner.ownership.epoch
    async with opened(dsn) as second:
        end_sessions(dsn)
        await until(lambda: not owner.ownership.certain)
        await until(lambda: owner.ownership.certain)
        assert owner.ownership.epoch == epoch
        assert second.ownership.epoch is None


async def test_who_regains_it_waits_for_what_it_had_begun(dsn: str) -> None:
    """Another server was the owner in between, and has gone."""
    async with opened(dsn) as journal:
        ownership = journal.ownership
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("update ownership set epoch = epoch + 1, holder = 'nobody'")
        epoch = ownership.epoch
        assert epoch is not None
        await until(lambda: ownership.epoch is None)
        await trio.sleep(3 * postgres_ownership.TRY)
        assert ownership.epoch is None
        ownership.vacate()
        await until(lambda: ownership.certain)
        assert ownership.epoch == epoch + 2


async def test_doubt_can_be_seen(dsn: str) -> None:
    """Also when everything else of the database works."""
    health = Health()
    async with opened(dsn, health) as journal:
        assert health.ailments() == {}
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("alter table ownership rename to hidden")
            await until(lambda: "in doubt: PostgreSQL" in health.ailments().get("ownership", ""))
            assert not journal.ownership.certain
            connection.execute("alter table hidden rename to ownership")
        await until(lambda: not health.ailments())


async def test_a_session_that_the_owner_has_lost_sight_of_is_ended(dsn: str, line: Any) -> None:
    """PostgreSQL does not know yet that the owner has gone; the owner comes back with another session."""
    async with opened(line.dsn) as journal:
        epoch = journal.ownership.epoch
        line.frozen = True
        await until(lambda: not journal.ownership.certain)
        line.frozen = False
        await until(lambda: journal.ownership.certain)
        assert journal.ownership.epoch == epoch


async def test_servers_that_start_together_agree_on_one(dsn: str) -> None:
    async with AsyncExitStack() as stack:
        journals: list[PostgresJournal] = []

        async def start() -> None:
            journals.append(await stack.enter_async_context(opened(dsn)))

        for _ in range(3):
            await start()
        assert [journal.ownership.certain for journal in journals] == [True, False, False]
        health = [journal.ownership.holder for journal in journals]
        assert health[0] == "this server"
        assert health[1] == health[2] != "this server"


async def test_a_renewal_needs_no_thread_that_others_use(dsn: str) -> None:
    """Images of a thousand deployments may be waiting to be encoded."""
    threads = trio.to_thread.current_default_thread_limiter()
    async with opened(dsn) as journal, trio.open_nursery() as nursery:
        for _ in range(int(threads.total_tokens)):
            nursery.start_soon(threads.acquire_on_behalf_of, object())
        await trio.testing.wait_all_tasks_blocked()
        assert threads.available_tokens == 0
        try:
            end_sessions(dsn)
            await until(lambda: not journal.ownership.certain)
            await until(lambda: journal.ownership.certain)
        finally:
            for borrower in threads.statistics().borrowers:
                threads.release_on_behalf_of(borrower)


async def test_servers_in_two_schemas_of_one_database_know_nothing_of_each_other(dsn: str) -> None:
    """Both are owners, and neither ends the other's session, whatever it thinks of its own table's owner."""
    execute(dsn, "create extension hstore; create schema test; create schema live")
    test, live = (f"{dsn} search_path='{schema}, public'" for schema in ("test", "live"))
    ended = {"key": postgres_ownership.LOCK, "writing": True}
    async with opened(test) as one, opened(live) as other:
        assert one.ownership.certain
        assert other.ownership.certain
        with psycopg.connect(conninfo(test), autocommit=True) as connection:
            assert len(connection.execute(queries()["end_owners_sessions"], ended).fetchall()) == 1
        await until(lambda: not one.ownership.certain)
        assert other.ownership.certain
        await until(lambda: one.ownership.certain)
