"""Transitions of many actors in few transactions, each of them exactly once."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import psycopg
import pytest
import trio

from fuota.device import states as device
from fuota.health import Health
from fuota.journal.port import ActorId, JournalError, LogRow, NewDeployment, Transition
from fuota.journal.postgres import PostgresJournal
from fuota.journal.sealing import Keyring

Order = Callable[[int], NewDeployment]
Log = Callable[[NewDeployment, int], LogRow]

COMMIT = b"COMMIT\0"

TERMINATE = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'fuota'"


@pytest.fixture
async def journal(line: Any, keyring: Keyring) -> AsyncIterator[PostgresJournal]:
    async with PostgresJournal.open(line.dsn, keyring=keyring, health=Health()) as journal:
        yield journal


def prepared(new: NewDeployment, place: int, version: int, *logs: LogRow) -> Transition:
    return Transition(
        actor=ActorId(new.id, new.devices[place].dev_eui),
        version=version,
        at=new.created_at,
        cause="Answered",
        state=device.Prepared(),
        logs=logs,
    )


def ask(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query.encode()).fetchall()


async def test_many_transitions_take_few_transactions(
    journal: PostgresJournal, dsn: str, order: Order, log: Log
) -> None:
    new = order(500)
    await journal.create(new)
    async with trio.open_nursery() as nursery:
        for place in range(500):
            nursery.start_soon(journal.commit, prepared(new, place, 2, log(new, place)))
    assert ask(dsn, "select count(*) from deployment_device where version = 2") == [(500,)]
    assert ask(dsn, "select count(*), count(distinct dev_eui) from deployment_log") == [(500, 500)]
    [(transactions,)] = ask(dsn, "select count(distinct xmin::text) from transition where version = 2")
    assert transactions <= 3


async def test_a_step_of_a_device_leaves_the_indexes_alone(
    journal: PostgresJournal, dsn: str, order: Order
) -> None:
    new = order(3)
    await journal.create(new)
    step = """update deployment_device set updated_at = now(), state = '{"state": "prepared"}', version = 2"""
    hot = "select pg_stat_get_xact_tuples_hot_updated('deployment_device'::regclass)"
    with psycopg.connect(dsn) as connection:
        connection.execute(step)
        assert connection.execute(hot).fetchone() == (3,)


async def test_what_can_not_be_written_stops_nothing_else(
    journal: PostgresJournal, dsn: str, order: Order, log: Log
) -> None:
    new = order(50)
    await journal.create(new)
    refused: dict[int, str] = {}

    async def commit(place: int) -> None:
        row = log(new, place)
        if place in (0, 17, 18, 49):
            row = attrs.evolve(row, f_port=100_000)
        try:
            await journal.commit(prepared(new, place, 2, row))
        except JournalError as error:
            refused[place] = str(error)

    async with trio.open_nursery() as nursery:
        for place in range(50):
            nursery.start_soon(commit, place)
    assert refused == dict.fromkeys((0, 17, 18, 49), "PostgreSQL refuses it: smallint out of range")
    assert ask(dsn, "select count(*) from deployment_device where version = 2") == [(46,)]
    assert ask(dsn, "select count(*), count(distinct dev_eui) from deployment_log") == [(46, 46)]


@pytest.mark.usefixtures("whose_id")
@pytest.mark.parametrize("moment", ["cut_before", "cut_after"])
async def test_a_connection_lost_during_commit_loses_and_doubles_nothing(
    journal: PostgresJournal, dsn: str, line: Any, order: Order, log: Log, moment: str
) -> None:
    new = order(3)
    await journal.create(new)
    setattr(line, moment, COMMIT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.commit, prepared(new, 0, 2, log(new, 0)))
        nursery.start_soon(journal.record, [log(new, 1), log(new, 1)])
        nursery.start_soon(journal.commit, prepared(new, 2, 2))
    assert getattr(line, moment) is None
    assert ask(dsn, "select dev_eui, version from deployment_device order by 1") == [
        (new.devices[0].dev_eui.octets, 2),
        (new.devices[1].dev_eui.octets, 1),
        (new.devices[2].dev_eui.octets, 2),
    ]
    assert ask(dsn, "select dev_eui, count(*) from deployment_log group by 1 order by 1") == [
        (new.devices[0].dev_eui.octets, 1),
        (new.devices[1].dev_eui.octets, 2),
    ]


@pytest.mark.usefixtures("whose_id")
@pytest.mark.parametrize("moment", ["cut_before", "cut_after"])
async def test_nor_where_there_are_only_log_rows_or_none(
    journal: PostgresJournal, dsn: str, line: Any, order: Order, log: Log, moment: str
) -> None:
    new = order(2)
    await journal.create(new)
    setattr(line, moment, COMMIT)
    await journal.record([log(new, 1), log(new, 1)])
    setattr(line, moment, COMMIT)
    await journal.commit(prepared(new, 0, 2))
    assert getattr(line, moment) is None
    assert ask(dsn, "select dev_eui, count(*) from deployment_log group by 1 order by 1") == [
        (new.devices[1].dev_eui.octets, 2)
    ]
    assert ask(dsn, "select max(version) from transition where dev_eui <> ''") == [(2,)]


async def test_a_server_that_ends_all_connections_loses_and_doubles_nothing(
    journal: PostgresJournal, dsn: str, order: Order, log: Log
) -> None:
    new = order(20)
    await journal.create(new)
    steps = 30

    async def live(place: int) -> None:
        for version in range(2, 2 + steps):
            await journal.record([log(new, place)])
            await journal.commit(prepared(new, place, version, log(new, place)))

    ended = 0

    def terminate() -> None:
        nonlocal ended
        ended += len(ask(dsn, TERMINATE))

    async with trio.open_nursery() as saboteur:

        async def sabotage() -> None:
            while True:
                await trio.to_thread.run_sync(terminate)
                await trio.sleep(0.1)

        saboteur.start_soon(sabotage)
        async with trio.open_nursery() as nursery:
            for place in range(20):
                nursery.start_soon(live, place)
        saboteur.cancel_scope.cancel()
    assert ended > 0
    assert ask(dsn, "select version, count(*) from deployment_device group by 1") == [(1 + steps, 20)]
    assert ask(dsn, "select count(*) from transition where dev_eui <> ''") == [(20 * (1 + steps),)]
    assert ask(dsn, "select count(*) from deployment_log") == [(2 * 20 * steps,)]


async def test_a_deployment_that_is_deleted_takes_its_actors_along(
    journal: PostgresJournal, dsn: str, order: Order, log: Log
) -> None:
    gone, other = order(1), attrs.evolve(order(0), devices=order(2).devices[1:])
    await journal.create(gone)
    await journal.create(other)
    ask(dsn, f"delete from deployment where id = '{gone.id}' returning id")
    outcomes: list[str] = []

    async def commit(transition: Transition) -> None:
        try:
            await journal.commit(transition)
        except JournalError as error:
            outcomes.append(type(error).__name__)
        else:
            outcomes.append("written")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(commit, prepared(gone, 0, 2, log(gone, 0)))
        nursery.start_soon(commit, prepared(other, 0, 2, log(other, 0)))
    assert sorted(outcomes) == ["Fenced", "written"]
    assert ask(dsn, "select count(*) from deployment_log") == [(1,)]
