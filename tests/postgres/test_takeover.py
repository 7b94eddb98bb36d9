"""Who takes over from whom, when, and never before the other has stopped."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trio
import trio.testing

from fuota.journal import postgres_ownership, postgres_session, retry
from fuota.journal.port import Fenced, NewDeployment
from fuota.journal.postgres_preparation import prepare
from fuota.journal.postgres_writing import begin_writing
from fuota.journal.retry import keep_trying_keys, try_keys
from fuota.journal.sealing import NotOpened
from fuota.journal.sql import queries
from fuota.ownership import Ownership
from tests.postgres.clusters import execute, value
from tests.postgres.owners import Life, end_sessions, opened, seen, step, succeeded, until

Order = Callable[[int], NewDeployment]

pytestmark = pytest.mark.usefixtures("a_tenth_of_the_time")

WAITING = """
select true from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock' and query like '%epoch + 1%'
"""
"""Whoever wants to take over, and can not yet."""
RENEWING = """
select true from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock' and query like '%seen_at = clock_timestamp()%'
"""


async def test_the_second_takes_over_as_soon_as_the_first_has_ended(
    dsn: str, order: Order, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_ownership, "CERTAIN", 1000.0)
    first, new = await Life.begin(dsn, nursery), order(1)
    await first.journal.create(new)
    epoch = first.ownership.epoch
    assert epoch is not None
    async with opened(dsn) as second:
        await first.end()
        await until(lambda: second.ownership.certain)
        assert second.ownership.epoch == epoch + 1
        await second.commit(step(new))


async def test_an_owner_cut_off_is_succeeded_and_never_acts_beside_its_successor(
    dsn: str, line: Any, order: Order
) -> None:
    new = order(1)
    async with opened(line.dsn) as first, opened(dsn) as second:
        await first.create(new)
        line.frozen = True
        await succeeded(first.ownership, second.ownership)
        await second.commit(step(new))
        line.frozen = False
        await line.cut()
        await until(lambda: first.ownership.epoch is None)
        with pytest.raises(Fenced):
            await first.commit(step(new, 3))
        assert not first.ownership.certain
        assert second.ownership.certain


async def test_a_lock_that_is_free_is_no_proof_that_its_owner_has_stopped(
    dsn: str, line: Any, nursery: trio.Nursery
) -> None:
    """PostgreSQL has hung up, as it does when it is restarted, and the owner can not hear of it."""
    owner = await Life.begin(line.dsn, nursery)
    async with opened(dsn) as second:
        line.frozen = True
        end_sessions(dsn)
        await succeeded(owner.ownership, second.ownership)
        line.frozen = False
        await line.cut()


async def test_who_is_stopped_while_it_renews_has_the_last_word(
    dsn: str, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_session, "WITHIN", 10.0)
    monkeypatch.setattr(postgres_session, "LEFT", 10.0)
    owner = await Life.begin(dsn, nursery)
    with psycopg.connect(dsn) as other, psycopg.connect(dsn, autocommit=True) as watching:
        other.execute("select from ownership for update")
        await until(lambda: watching.execute(RENEWING).fetchone())
        nursery.start_soon(owner.end)
        await trio.testing.wait_all_tasks_blocked()
        other.commit()
        await owner.end()
        assert watching.execute("select holder from ownership").fetchone() == ("nobody",)


@pytest.mark.parametrize("lock", ["held", "free"])
async def test_an_owner_that_hangs_in_the_middle_of_a_transaction_is_succeeded(
    lock: str, dsn: str, nursery: trio.Nursery
) -> None:
    """Whether or not its other session has gone; the transaction is undone."""
    owner = await Life.begin(dsn, nursery)
    with psycopg.connect(dsn) as writing, psycopg.connect(dsn, autocommit=True) as hanging:
        epoch = owner.ownership.epoch
        assert epoch is not None
        begin_writing(writing, owner.ownership.tenure)
        await owner.end()
        if lock == "held":
            hanging.execute(queries()["try_ownership_lock"], {"key": postgres_ownership.LOCK})
        hanging.execute("update ownership set holder = 'another, process 1', seen_at = clock_timestamp()")
        async with opened(dsn) as second:
            assert second.ownership.epoch is None
            await until(lambda: second.ownership.certain)  # before PostgreSQL ends the transaction by itself
            # Perhaps by two: an attempt that the transaction held up was given up here, but not by PostgreSQL
            assert second.ownership.epoch is not None
            assert second.ownership.epoch > epoch
        with pytest.raises(psycopg.OperationalError):
            writing.execute("select")


async def test_a_process_of_another_namespace_is_not_known_to_have_gone(
    dsn: str, line: Any, nursery: trio.Nursery, tmp_path: Path
) -> None:
    """Containers of one host name, in each of which the server is process 1."""
    owner = await Life.begin(line.dsn, nursery, namespace=tmp_path)
    async with opened(dsn) as second:
        assert f", process {os.getpid()}" in second.ownership.holder
        line.frozen = True
        end_sessions(dsn)
        await succeeded(owner.ownership, second.ownership)
        line.frozen = False
        await line.cut()


async def test_a_takeover_waits_for_what_is_being_written(dsn: str, nursery: trio.Nursery) -> None:
    first = await Life.begin(dsn, nursery)
    async with opened(dsn) as second:
        with psycopg.connect(dsn) as connection:
            begin_writing(connection, first.ownership.tenure)
            await first.end()
            with psycopg.connect(dsn, autocommit=True) as onlooker:
                await until(lambda: onlooker.execute(WAITING).fetchone())
            assert second.ownership.epoch is None
        await until(lambda: second.ownership.certain)


async def test_a_standby_that_could_not_go_on_says_so_before_it_has_to(
    dsn: str, order: Order, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "LOOK", 0.01)
    first = await Life.begin(dsn, nursery)
    async with opened(dsn, master_key="ab" * 32) as second:
        await try_keys(second)
        await first.journal.create(order(1))
        with trio.fail_after(20), pytest.raises(NotOpened, match="sealed with another master key"):
            await keep_trying_keys(second)
        await first.end()


async def test_an_owner_with_the_same_number_is_another(
    dsn: str, line: Any, order: Order, nursery: trio.Nursery
) -> None:
    """A replica has taken the place of the database, and has never heard of the first."""
    first, new = await Life.begin(line.dsn, nursery), order(1)
    await first.journal.create(new)
    line.frozen = True
    end_sessions(dsn)
    execute(dsn, "update ownership set epoch = epoch - 1, holder = 'nobody'")
    async with opened(dsn) as second:
        assert second.ownership.certain
        assert second.ownership.epoch == first.ownership.epoch
        line.frozen = False
        await line.cut()
        await until(lambda: first.ownership.epoch is None)
        with pytest.raises(Fenced):
            await first.journal.commit(step(new))
        assert second.ownership.certain
        await second.commit(step(new))
    await first.end()


async def test_what_is_written_with_the_number_of_another_is_fenced(dsn: str, order: Order) -> None:
    """Before the server has heard that its number is another's."""
    new = order(1)
    async with opened(dsn) as journal:
        await journal.create(new)
        await journal.commit(step(new))
        execute(dsn, "update ownership set holder = 'another, process 1', seen_at = clock_timestamp()")
        with pytest.raises(Fenced):
            await journal.commit(step(new, 3))
        with pytest.raises(Fenced):
            await journal.create(order(0))
        await until(lambda: journal.ownership.holder == "another, process 1")
    assert value(dsn, "select holder from ownership") == "another, process 1"


async def test_an_owner_seen_in_a_time_to_come_is_waited_for_no_longer_than_another(dsn: str) -> None:
    """The database's machine had no clock while it was off: an owner of before is seen in an hour."""
    await prepare(dsn, automigrate=True)
    execute(dsn, seen("1 hour"))
    async with opened(dsn) as second:
        assert second.ownership.epoch is None
        await until(lambda: second.ownership.certain)


async def test_who_was_silent_for_long_is_not_waited_for(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_ownership, "CERTAIN", 1000.0)
    await prepare(dsn, automigrate=True)
    execute(dsn, seen("-1001 s"))
    async with opened(dsn) as second:
        assert second.ownership.certain


@pytest.mark.parametrize("lock", ["held", "free"])
async def test_a_clock_that_is_set_forward_makes_nobody_silent(dsn: str, lock: str) -> None:
    """Each renewal comes before the clock is set, and each look of the other server after that."""
    await prepare(dsn, automigrate=True)
    with psycopg.connect(dsn, autocommit=True) as owner:
        if lock == "held":
            owner.execute(queries()["try_ownership_lock"], {"key": postgres_ownership.LOCK})
        owner.execute(seen())
        async with opened(dsn) as second:
            await renewing(owner, "-1 hour", beside=second.ownership)
            await until(lambda: second.ownership.certain)


async def test_nobody_is_succeeded_who_was_heard_of_since_the_last_look(dsn: str) -> None:
    """The renewal was under way, perhaps, when its session ended."""
    async with opened(dsn) as journal:
        await journal.unfinished()
    with psycopg.connect(dsn) as connection:
        [(epoch, _, seen_at, _)] = connection.execute(queries()["select_ownership"]).fetchall()
        connection.execute(seen())
        taken = {"epoch": epoch, "seen_at": seen_at, "holder": "another, process 1", "master_key": 10}
        for take in ("take_ownership", "take_ownership_to_rotate"):
            assert connection.execute(queries()[take], taken).fetchall() == []


async def test_an_owner_of_an_earlier_version_is_waited_for_though_it_has_another_lock(dsn: str) -> None:
    """The key of that had nothing of the table: to us, the lock is free."""
    await prepare(dsn, automigrate=True)
    with psycopg.connect(dsn, autocommit=True) as earlier:
        earlier.execute("select pg_advisory_lock(%s)", [postgres_ownership.LOCK])
        earlier.execute(seen())
        async with opened(dsn) as second:
            await renewing(earlier, "0", beside=second.ownership)
            await until(lambda: second.ownership.certain)


async def renewing(owner: psycopg.Connection[Any], ahead: str, *, beside: Ownership) -> None:
    """For longer than anybody may be silent; the other server does not take over meanwhile."""
    with trio.move_on_after(1.5 * postgres_ownership.FROZEN):
        while beside.epoch is None:
            owner.execute(seen(ahead))
            await trio.sleep(postgres_ownership.RENEWAL)
    assert beside.epoch is None
