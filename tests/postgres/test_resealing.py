"""The master key is not changed beside a server that may still act; one that comes back is fenced."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import trio

from fuota.health import Health
from fuota.journal import postgres_ownership, rotation, silence
from fuota.journal.holder import this_process
from fuota.journal.port import Fenced, NewDeployment
from fuota.journal.postgres_ownership import Claimant
from fuota.journal.rotation import InUse, reseal
from fuota.journal.sealing import Keyring, NotOpened
from fuota.journal.sql import queries
from fuota.ownership import Ownership
from tests.postgres.clusters import execute, master_keys, value
from tests.postgres.owners import Life, end_sessions, opened, seen, step, until

Order = Callable[[int], NewDeployment]

KEYRING = Keyring({1: b"\xa5" * 32, 2: b"\x5a" * 32}, current=2)
"""The servers of these tests have the first."""

OTHERS = """
select count(*) from pg_stat_activity
where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
"""
"""Who have ended have said what they have looked at."""

LOOKED_AT = """
select seq_tup_read + idx_tup_fetch from pg_stat_user_tables where relname = 'deployment_device'
"""
"""Rows, so far."""

pytestmark = pytest.mark.usefixtures("a_tenth_of_the_time")


async def resealed(dsn: str, told: Callable[[], Any] | None = None) -> int:
    return await trio.to_thread.run_sync(reseal, dsn, KEYRING, lambda keys: told and told())


def row(dsn: str) -> tuple[int, str]:
    with psycopg.connect(dsn) as connection:
        [(epoch, holder)] = connection.execute("select epoch, holder from ownership").fetchall()
    return epoch, holder


def locked(dsn: str) -> bool:
    with psycopg.connect(dsn) as connection:
        return bool(connection.execute("select true from pg_locks where locktype = 'advisory'").fetchone())


async def test_a_server_that_is_cut_off_keeps_the_master_key_from_being_changed(
    dsn: str, line: Any, order: Order, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock is free, and it may act, and come back."""
    monkeypatch.setattr(postgres_ownership, "CERTAIN", 1000.0)
    owner = await Life.begin(line.dsn, nursery)
    await owner.journal.create(order(1))
    line.frozen = True
    end_sessions(dsn)
    before = row(dsn)
    with pytest.raises(InUse, match=r"stop it first; it is another, process \d+, .* try again in \d+ s"):
        await resealed(dsn)
    assert owner.ownership.certain
    assert master_keys(dsn) == {1}
    assert row(dsn) == before
    line.frozen = False
    await line.cut()
    await owner.end()


async def test_the_session_of_a_server_that_has_just_stopped_may_need_a_moment_to_end(
    dsn: str, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(dsn) as journal:
        await journal.create(order(1))
    await until(lambda: not locked(dsn))
    ends = []
    with psycopg.connect(dsn, autocommit=True) as leaving:
        leaving.execute(queries()["try_ownership_lock"], {"key": postgres_ownership.LOCK})

        def sleep(seconds: float) -> None:
            ends.append(seconds)
            leaving.close()

        monkeypatch.setattr("fuota.journal.rotation.time.sleep", sleep)
        assert await resealed(dsn) == 2
    assert ends
    assert master_keys(dsn) == {2}


async def test_the_master_key_is_changed_when_a_silent_server_has_surely_stopped(
    dsn: str, line: Any, order: Order, nursery: trio.Nursery
) -> None:
    """It comes back in the middle: it is fenced, although nobody else runs the deployments."""
    owner, new = await Life.begin(line.dsn, nursery), order(1)
    await owner.journal.create(new)
    epoch = owner.ownership.epoch
    assert epoch is not None
    fenced = []

    async def come_back() -> None:
        line.frozen = False
        await line.cut()
        await until(lambda: owner.ownership.epoch is None)
        with pytest.raises(Fenced):
            await owner.journal.create(order(2))
        with pytest.raises(Fenced):
            await owner.journal.commit(step(new))
        fenced.append(row(dsn))
        await owner.end()

    def told() -> None:
        assert not fenced or master_keys(dsn) == {2}
        if not fenced:
            trio.from_thread.run(come_back)

    line.frozen = True
    end_sessions(dsn)
    with trio.fail_after(20):
        while not fenced:
            try:
                assert await resealed(dsn, told) == 2
            except InUse:
                await trio.sleep(0.05)
    [(taken, holder)] = fenced
    assert taken == postgres_ownership.MASTER_KEY > epoch
    assert "process" in holder
    assert row(dsn) == (taken, "nobody"), "a server that is started now need not wait"


@pytest.mark.parametrize("there", [False, True])
async def test_a_time_to_come_does_not_keep_the_master_key_from_being_changed(
    there: bool, dsn: str, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database's clock was set back. Whether a server is `there`, its next renewal shows."""
    async with opened(dsn) as journal:
        await journal.create(order(1))
    await until(lambda: not locked(dsn))
    paused = []

    def sleep(seconds: float) -> None:
        paused.append(seconds)
        if there:
            execute(dsn, seen("59 min"))

    monkeypatch.setattr(silence, "sleep", sleep)
    execute(dsn, seen("1 hour"))
    if there:
        with pytest.raises(InUse, match=r"stop it first; it is elsewhere, process 7, .* try again in"):
            await resealed(dsn)
    else:
        assert await resealed(dsn) == 2
        execute(dsn, "update ownership set seen_at = clock_timestamp() + interval '1 hour'")
        assert await resealed(dsn) == 0, "at once, for the owner has said that it stops"
    assert paused == [postgres_ownership.CERTAIN]
    assert master_keys(dsn) == ({1} if there else {2})


async def test_what_is_sealed_again_is_not_searched_through_again(
    dsn: str, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many batches there are: else each takes longer than the one before it."""
    devices = 4000
    monkeypatch.setattr(rotation, "BATCH", 20)
    async with opened(dsn) as journal:
        await journal.create(order(devices))
    execute(dsn, "analyze deployment_device")
    await until(lambda: value(dsn, OTHERS) == 0)
    before = value(dsn, LOOKED_AT)
    assert await resealed(dsn) == 1 + devices
    await until(lambda: value(dsn, OTHERS) == 0)
    assert value(dsn, LOOKED_AT) - before < 10 * devices


async def test_the_change_of_the_master_key_ends_when_a_server_has_taken_over(dsn: str, order: Order) -> None:
    """It had hung, perhaps, and its session was ended."""
    async with opened(dsn) as journal:
        await journal.create(order(1))
    await until(lambda: not locked(dsn))

    def take_over() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("update ownership set epoch = epoch + 1, holder = 'another, process 1'")

    with pytest.raises(InUse, match="since a moment ago"):
        await resealed(dsn, take_over)
    assert master_keys(dsn) == {1, 2}
    assert row(dsn)[1] == "another, process 1"


async def test_a_server_that_began_before_the_master_key_was_changed_ends(dsn: str) -> None:
    """Also when there is nothing to resume: what it seals, nobody could open."""

    async def fit() -> None:
        pass

    ownership = Ownership(Health(), this_process())
    claimant = Claimant(dsn, ownership, fit)

    async def run() -> None:
        with pytest.raises(NotOpened, match="the master key was changed since this server began"):
            await claimant.run()
        ended.set()

    ended = trio.Event()
    async with opened(dsn), trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await until(lambda: "process" in ownership.holder or ownership.epoch)
        end_sessions(dsn)
        with psycopg.connect(dsn) as connection:
            connection.execute("select from ownership for update")
            [(epoch, _, seen_at, _)] = connection.execute(queries()["select_ownership"]).fetchall()
            connection.execute(
                queries()["take_ownership_to_rotate"],
                {
                    "epoch": epoch,
                    "seen_at": seen_at,
                    "holder": "attic, process 3",
                    "master_key": postgres_ownership.MASTER_KEY,
                },
            )
        with trio.fail_after(20):
            ownership.vacate()
            await ended.wait()
    async with opened(dsn) as journal:
        await until(lambda: journal.ownership.certain)
        assert journal.ownership.epoch == postgres_ownership.MASTER_KEY + 1
