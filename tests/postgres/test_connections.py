"""Connections to PostgreSQL that can not be made, end, or hang."""

import errno
import os
import threading
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg
import pytest
import trio

from fuota.health import Health
from fuota.journal import postgres_connections
from fuota.journal.port import Unavailable
from fuota.journal.postgres_connections import open_connections
from fuota.journal.postgres_held import Connection
from fuota.journal.postgres_session import Session
from tests.postgres.clusters import closed_to_newcomers

PATIENCE = 0.3


async def test_connections_that_ended_while_idle_are_never_used(line: Any, health: Health) -> None:
    async with open_connections(line.dsn, health=health, idle=3, most=3, patience=5) as connections:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(
                    partial(connections.transact, lambda connection: connection.execute("select"), within=5)
                )
        await line.cut()
        # Once, without another attempt.
        await connections.transact(lambda connection: connection.execute("select"), within=5)


async def test_why_no_connection_could_be_made_is_said(dsn: str, health: Health) -> None:
    async with open_connections(dsn, health=health, idle=0, most=1, patience=PATIENCE) as connections:
        with (
            closed_to_newcomers(dsn),
            pytest.raises(Unavailable, match="not currently accepting connections"),
        ):
            await connections.transact(lambda connection: connection.execute("select"), within=5)
        assert "not currently accepting connections" in health.ailments()["postgresql"]
        await connections.persist(lambda connection: connection.execute("select"), within=5)
    assert health.ailments() == {}


async def test_a_database_that_hangs_is_cut_off(line: Any, health: Health) -> None:
    async with open_connections(line.dsn, health=health, idle=1, most=1, patience=5) as connections:
        await connections.transact(lambda connection: connection.execute("select 1"), within=5)
        line.frozen = True
        with trio.fail_after(10), pytest.raises(Unavailable):
            await connections.transact(lambda connection: connection.execute("select 1"), within=0.1)
        assert health.ailments().keys() == {"postgresql"}
        line.frozen = False
        await line.cut()
        await connections.persist(lambda connection: connection.execute("select 1"), within=5)


async def test_a_connection_that_hangs_before_it_is_used_keeps_no_other_from_being_made(
    line: Any, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the database's machine vanishes just after the login."""
    monkeypatch.setattr(postgres_connections, "CONFIGURING", 0.2)
    monkeypatch.setattr(postgres_connections, "WATCHING", 0.02)
    async with open_connections(line.dsn, health=health, idle=0, most=2, patience=PATIENCE) as connections:
        line.lost = b"set_config"
        with pytest.raises(Unavailable):
            await connections.transact(lambda connection: connection.execute("select"), within=5)
        assert line.swallowed.is_set()
        line.lost = None
        with trio.fail_after(10):
            while health.ailments():
                with suppress(Unavailable):
                    await connections.persist(lambda connection: connection.execute("select"), within=5)


async def test_that_all_connections_are_busy_is_no_illness(
    dsn: str, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while a large order is written, and `max_open_connections` leaves one connection for all."""
    monkeypatch.setattr(postgres_connections, "PULSE", PATIENCE / 3)
    begun, written, done = threading.Event(), threading.Event(), []

    def write(connection: Connection) -> None:
        begun.set()
        assert written.wait(30)

    async with (
        open_connections(dsn, health=health, idle=1, most=1, patience=PATIENCE) as connections,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(partial(connections.transact, write, within=30, writing=True))

        async def write_too() -> None:
            await connections.transact(lambda connection: connection.execute("select"), within=5)
            done.append(written.is_set())

        await trio.to_thread.run_sync(begun.wait, 30)
        nursery.start_soon(write_too)
        for _ in range(3):
            with pytest.raises(Unavailable, match="all connections are busy"):
                await connections.persist(lambda connection: connection.execute("select"), within=5)
            assert health.ailments() == {}
        written.set()
    assert done == [True]


async def test_a_connection_that_nobody_waits_for_any_more_is_closed(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, closed = threading.Event(), threading.Event(), threading.Event()
    made: list[psycopg.Connection[Any]] = []

    class Connection(psycopg.Connection[Any]):
        def close(self) -> None:
            super().close()
            closed.set()

    def slow(*args: Any, **kwargs: Any) -> Any:
        begun.set()
        go.wait(30)
        made.append(Connection.connect(*args, **kwargs))
        return made[0]

    monkeypatch.setattr(psycopg, "connect", slow)

    async def wait() -> None:
        async with Session.open(dsn):
            raise AssertionError("nobody waits for it")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.to_thread.run_sync(begun.wait, 30)
        nursery.cancel_scope.cancel()
    assert not made
    go.set()
    assert await trio.to_thread.run_sync(closed.wait, 30)
    assert made[0].closed


async def test_a_session_needs_no_file_descriptor_that_it_has_not(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with Session.open(dsn) as session:
        monkeypatch.setattr(os, "dup", none_left)
        with trio.move_on_after(0.1) as patience:
            await session.disturbed()
        assert patience.cancelled_caught
    with pytest.raises(Unavailable, match="open files"):
        async with Session.open(dsn):
            pass
