"""One server runs the deployments of a database; who takes over from whom, and when."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
import psycopg
import pytest
import trio

from fuota.device import states as device
from fuota.health import Health
from fuota.journal import postgres_ownership, postgres_session
from fuota.journal.port import ActorId, Fenced, LogRow, NewDeployment, Transition
from fuota.journal.postgres import PostgresJournal
from fuota.journal.postgres_writing import hold_epoch
from fuota.journal.sealing import Keyring

Order = Callable[[int], NewDeployment]
Log = Callable[[NewDeployment, int], LogRow]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the time for everything, in the same proportions."""
    monkeypatch.setattr(postgres_session, "WITHIN", postgres_session.WITHIN / 10)
    for name in ("RENEWAL", "CERTAIN", "FROZEN", "TRY"):
        monkeypatch.setattr(postgres_ownership, name, getattr(postgres_ownership, name) / 10)


@pytest.fixture
def opened(keyring: Keyring) -> Any:
    """A server's journal."""

    @asynccontextmanager
    async def opened(dsn: str) -> AsyncIterator[PostgresJournal]:
        async with PostgresJournal.open(dsn, keyring=keyring, health=Health(), patience=0.3) as journal:
            yield journal

    return opened


WAITING = """
select true from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock' and query like '%epoch + 1%'
"""
"""Whoever wants to take over, and can not yet."""


def step(new: NewDeployment, version: int = 2) -> Transition:
    return Transition(
        actor=ActorId(new.id, new.devices[0].dev_eui),
        version=version,
        at=new.created_at,
        cause="Answered",
        state=device.Prepared(),
    )


async def until(what: Callable[[], object]) -> None:
    with trio.fail_after(20):
        while not what():  # noqa: ASYNC110  # a clock runs out, which tells nobody
            await trio.sleep(0.01)


async def test_the_first_owns_and_the_second_says_who_does(
    dsn: str, opened: Any, order: Order, log: Log
) -> None:
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
            assert (await second.status(new.id)).devices[0].state == device.Waiting()
        await first.commit(step(new))


@attrs.define
class Life:
    """Of a server that does not end with the block it was started in."""

    journal: PostgresJournal
    _scope: trio.CancelScope
    _over: trio.Event

    @classmethod
    async def begin(
        cls, opening: AbstractAsyncContextManager[PostgresJournal], nursery: trio.Nursery
    ) -> "Life":
        over = trio.Event()

        async def live(task_status: trio.TaskStatus["Life"]) -> None:
            with trio.CancelScope() as scope:
                async with opening as journal:
                    task_status.started(cls(journal, scope, over))
                    await trio.sleep_forever()
            over.set()

        begun: Life = await nursery.start(live)
        return begun

    async def end(self) -> None:
        self._scope.cancel()
        await self._over.wait()


async def test_the_second_takes_over_as_soon_as_the_first_has_ended(
    dsn: str, opened: Any, order: Order, nursery: trio.Nursery
) -> None:
    first, new = await Life.begin(opened(dsn), nursery), order(1)
    await first.journal.create(new)
    epoch = first.journal.ownership.epoch
    assert epoch is not None
    async with opened(dsn) as second:
        await first.end()
        await until(lambda: second.ownership.certain)
        assert second.ownership.epoch == epoch + 1
        await second.commit(step(new))


async def test_the_owner_goes_on_after_its_session_has_ended(dsn: str, opened: Any, order: Order) -> None:
    new = order(1)
    async with opened(dsn) as journal:
        epoch = journal.ownership.epoch
        await journal.create(new)
        end_sessions(dsn)
        await until(lambda: not journal.ownership.certain)
        await journal.commit(step(new))
        await until(lambda: journal.ownership.certain)
        assert journal.ownership.epoch == epoch


async def test_an_owner_cut_off_is_succeeded_and_never_acts_beside_its_successor(
    dsn: str, line: Any, opened: Any, order: Order
) -> None:
    new, both = order(1), 0
    async with opened(line.dsn) as first, opened(dsn) as second:
        await first.create(new)
        line.frozen = True
        with trio.fail_after(20):
            while not second.ownership.certain:
                both += first.ownership.certain and second.ownership.certain
                await trio.sleep(0.005)
        assert not both
        assert not first.ownership.certain
        await second.commit(step(new))
        line.frozen = False
        await line.cut()
        await until(lambda: first.ownership.epoch is None)
        with pytest.raises(Fenced):
            await first.commit(step(new, 3))
        assert not first.ownership.certain
        assert second.ownership.certain


async def test_a_session_that_the_owner_has_lost_sight_of_is_ended(dsn: str, line: Any, opened: Any) -> None:
    """PostgreSQL does not know yet that the owner has gone; the owner comes back with another session."""
    async with opened(line.dsn) as journal:
        epoch = journal.ownership.epoch
        line.frozen = True
        await until(lambda: not journal.ownership.certain)
        line.frozen = False
        await until(lambda: journal.ownership.certain)
        assert journal.ownership.epoch == epoch


async def test_a_takeover_waits_for_what_is_being_written(
    dsn: str, opened: Any, nursery: trio.Nursery
) -> None:
    first = await Life.begin(opened(dsn), nursery)
    async with opened(dsn) as second:
        with psycopg.connect(dsn) as connection:
            hold_epoch(connection, first.journal.ownership.epoch)
            await first.end()
            with psycopg.connect(dsn, autocommit=True) as onlooker:
                await until(lambda: onlooker.execute(WAITING).fetchone())
            assert second.ownership.epoch is None
        await until(lambda: second.ownership.certain)


async def test_servers_that_start_together_agree_on_one(dsn: str, opened: Any) -> None:
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


def end_sessions(dsn: str) -> None:
    """Those of the owners."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'")
