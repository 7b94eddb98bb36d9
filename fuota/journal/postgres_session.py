"""One connection to PostgreSQL beside the pool: what it locks is locked for as long as it lives."""

import os
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import psycopg
import trio

from fuota.journal.port import Unavailable
from fuota.journal.postgres_connections import T, Work, configure, one_line
from fuota.journal.postgres_dsn import conninfo
from fuota.journal.postgres_held import Connection
from fuota.journal.sql import queries

WITHIN = 5.0
"""Seconds that one statement may take; the connection ends with one that takes longer."""

LEFT = 1.0
"""Seconds that it has when it is cancelled: others are to have the session, too."""


class Session:
    """Made by `open`. Each statement is a transaction of its own; all raise `Unavailable`."""

    def __init__(
        self, connection: Connection, connected: socket.socket, thread: trio.CapacityLimiter
    ) -> None:
        self._connection = connection
        self._connected = connected
        """The connection's."""
        self._thread = thread

    @classmethod
    @asynccontextmanager
    async def open(cls, dsn: str) -> AsyncIterator[Self]:
        thread = trio.CapacityLimiter(1)  # of its own: it never waits behind other work
        connection = await _Connecting(conninfo(dsn)).connect(thread)
        try:
            with _socket(connection) as connected:  # once: later there may be no file descriptor to be had
                session = cls(connection, connected, thread)
                await session._run(configure)
                yield session
        finally:
            connection.close()

    async def ask(self, query: str, **values: object) -> Sequence[tuple[Any, ...]]:
        """The rows that a query of `sql/queries.sql` gives. Cancelled, it ends it after `LEFT` seconds."""
        return await self._run(lambda connection: connection.execute(queries()[query], values).fetchall())

    async def _run(self, work: Work[T]) -> T:
        def execute() -> T | psycopg.Error:
            try:
                return work(self._connection)
            except psycopg.Error as error:
                return error

        answered = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cut_unless, answered)
            answer = await trio.to_thread.run_sync(execute, limiter=self._thread)
            answered.set()
            nursery.cancel_scope.cancel()
        if isinstance(answer, psycopg.Error):
            raise Unavailable(f"PostgreSQL: {one_line(answer)}") from answer
        return answer

    async def disturbed(self) -> None:
        """Return when the other side says something unasked, as it does at once when it ends the session."""
        await trio.lowlevel.wait_readable(self._connected)

    async def _cut_unless(self, answered: trio.Event) -> None:
        try:
            await trio.sleep(WITHIN)
        except trio.Cancelled:
            with trio.move_on_after(LEFT, shield=True):
                await answered.wait()
            raise
        finally:
            if not answered.is_set():
                with suppress(OSError):
                    self._connected.shutdown(socket.SHUT_RDWR)


def _socket(connection: Connection) -> socket.socket:
    try:
        return socket.socket(fileno=os.dup(connection.fileno()))
    except (OSError, psycopg.Error) as error:
        raise Unavailable(f"PostgreSQL: {error}") from error


class _Connecting:
    """A connection in the making, which is closed if nobody waits for it any more when it is made."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._lock = threading.Lock()
        self._wanted = True
        self._made: Connection | None = None

    async def connect(self, thread: trio.CapacityLimiter) -> Connection:
        try:
            return await trio.to_thread.run_sync(self._connect, abandon_on_cancel=True, limiter=thread)
        except BaseException:  # raised on: nobody waits for it any more
            with self._lock:
                self._wanted = False
                if self._made is not None:
                    self._made.close()
            raise

    def _connect(self) -> Connection:
        try:
            made = psycopg.connect(self._where, autocommit=True)
        except psycopg.Error as error:
            raise Unavailable(f"PostgreSQL: {one_line(error)}") from error
        with self._lock:
            if self._wanted:
                self._made = made
            else:
                made.close()
        return made
