"""Connections to PostgreSQL: a transaction runs in a worker thread, and ends in time."""

import math
import random
import select
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import psycopg
import trio
from psycopg_pool import ConnectionPool, PoolTimeout

from fuota.health import Health
from fuota.journal.port import Unavailable
from fuota.journal.postgres_dsn import conninfo
from fuota.journal.postgres_held import Connection, Held
from fuota.journal.sql import queries

T = TypeVar("T")
Work = Callable[[Connection], T]

REFUSALS = (psycopg.DataError, psycopg.IntegrityError)
"""What is wrong with what is written. Everything else passes when the database is well again, or when its
operator has mended it: a full disk, a right that was revoked, a trigger that fails."""

WATCHING = 0.5
"""Seconds between two looks at the transactions under way."""

ENDING = 2.0
"""Seconds that a transaction has when all is cancelled."""

KEPT = psycopg.errors.ReadOnlySqlTransaction
"""What stays with a connection when the database may be written to again: it is made anew."""

PULSE = 10.0
"""Seconds between two signs of life, and from the last failure to write until one is to write."""

CONFIGURING = 5.0
"""Seconds that `configure` may take: meanwhile no other connection is made."""

CLOSING = 2.0
"""Seconds for which the end waits for connections that are being made."""

LONGEST_PAUSE = 2.0


class Connections:
    """A pool, with a thread for each of its connections at most."""

    def __init__(
        self, pool: ConnectionPool[Connection], reasons: "Reasons", health: Health, patience: float
    ) -> None:
        self._pool = pool
        self._reasons = reasons
        self._health = health
        self._patience = patience
        self._limiter = trio.CapacityLimiter(pool.max_size)
        self._held: set[Held] = set()
        self._failed_at = -math.inf
        """When the last that was writing failed; never, if another has succeeded since."""

    async def transact(self, work: Work[T], *, within: float, writing: bool = False) -> T:
        """`work` and its commit in one transaction, which is not cancelled once it has begun.

        What takes longer than `within` seconds is cut off, also when the database hangs. While the last
        that was `writing` has failed, the database is ill even if it can be read. Raises `Unavailable`,
        and one of `REFUSALS`.
        """
        held = Held(within)
        self._held.add(held)
        try:
            result = await trio.to_thread.run_sync(self._attempt, work, held, limiter=self._limiter)
        except REFUSALS:
            raise
        except psycopg.Error as error:
            reason = self._reasons.last if isinstance(error, PoolTimeout) else ""
            reason = reason or one_line(error)
            if writing:
                self._failed_at = trio.current_time()
            self._health.ill("postgresql", reason)
            raise Unavailable(f"PostgreSQL: {reason}") from error
        finally:
            self._held.discard(held)
        if writing:
            self._failed_at = -math.inf
        if self._failed_at == -math.inf:
            self._health.well("postgresql")
        return result

    async def persist(self, work: Work[T], *, within: float, writing: bool = False) -> T:
        """Like `transact`, tried again for `patience` seconds."""
        unavailable = Unavailable("PostgreSQL: all connections are busy")
        with trio.move_on_after(self._patience):
            for pause in pauses():
                try:
                    return await self.transact(work, within=within, writing=writing)
                except Unavailable as error:
                    unavailable = error
                await trio.sleep(pause)
        raise unavailable

    async def cut_what_hangs(self) -> None:
        """Also while all is cancelled: transactions under way are waited for, and then not for so long."""
        try:
            await self._cut_while(lambda: True)
        finally:
            for held in tuple(self._held):  # of which other threads have some, too
                held.hurry(ENDING)
            with trio.CancelScope(shield=True):
                await self._cut_while(lambda: self._held)

    async def _cut_while(self, needed: Callable[[], object]) -> None:
        while needed():
            await trio.sleep(WATCHING)
            for held in tuple(self._held):
                held.cut_if_overdue()

    def configure(self, connection: Connection) -> None:
        """A new one of the pool, in a thread of that."""
        held = Held(CONFIGURING)
        self._held.add(held)
        try:
            with held.holding(connection):
                configure(connection)
        except psycopg.Error as error:
            self._reasons.last = one_line(error)
            raise
        finally:
            self._held.discard(held)

    async def feel_pulse(self) -> None:
        """An outage, and its end, are noticed also when nobody asks for anything."""
        while True:
            await trio.sleep(PULSE)
            with suppress(Unavailable):
                if -math.inf < self._failed_at < trio.current_time() - PULSE:
                    await self.transact(_write_nothing, within=5, writing=True)
                else:
                    await self.transact(lambda connection: connection.execute(""), within=5)

    def _attempt(self, work: Work[T], held: Held) -> T:
        while True:
            with self._pool.connection(self._patience) as connection:
                if _ended(connection):
                    connection.close()
                    continue
                try:
                    with held.holding(connection), connection.transaction():
                        return work(connection)
                except psycopg.Error as error:
                    if not (connection.broken or isinstance(error, KEPT)):
                        raise
                    connection.close()
                    # Where one connection was lost, the idle ones were, too.
                    self._pool.drain()
                    raise psycopg.OperationalError(str(error)) from error


def _write_nothing(connection: Connection) -> None:
    connection.execute(queries()["write_nothing"])


def _ended(connection: Connection) -> bool:
    """Whether the server has ended it; else there is nothing to read while nothing was asked."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def pauses() -> Iterator[float]:
    """Seconds between attempts: doubled each time up to `LONGEST_PAUSE`, with jitter."""
    pause = 0.05
    while True:
        yield pause * random.uniform(0.5, 1)
        pause = min(2 * pause, LONGEST_PAUSE)


def one_line(error: psycopg.Error) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class Reasons:
    """Why no connection could be made last; the pool itself only says that it has none."""

    def __init__(self) -> None:
        self.last = ""

    def connection_class(self) -> type[Connection]:
        """Of connections that say here why they could not be made, whichever thread they are made in."""

        class Made(psycopg.Connection[Any]):
            @classmethod
            def connect(cls, *args: Any, **kwargs: Any) -> "Made":
                try:
                    made = super().connect(*args, **kwargs)
                except psycopg.Error as error:
                    self.last = one_line(error)
                    raise
                self.last = ""
                return made

        return Made


def configure(connection: Connection) -> None:
    """What other settings would spoil is set, of a connection that was just made."""
    before = connection.autocommit
    connection.autocommit = True  # so that what is refused undoes nothing else
    connection.execute(queries()["configure_patience"])
    connection.execute(queries()["configure"])
    with suppress(psycopg.DataError):
        connection.execute(queries()["configure_client_check"])
    connection.autocommit = before


@asynccontextmanager
async def open_connections(
    dsn: str, *, health: Health, idle: int, most: int, patience: float
) -> AsyncIterator[Connections]:
    """Up to `most` connections, of which `idle` stay open; made when they are needed."""
    reasons = Reasons()
    pool = ConnectionPool(
        conninfo(dsn),
        connection_class=reasons.connection_class(),
        min_size=min(idle, most),
        max_size=most,
        open=False,
        configure=lambda connection: connections.configure(connection),
        reconnect_timeout=patience,
        num_workers=1,
        name="fuota",
    )
    connections = Connections(pool, reasons, health, patience)
    pool.open()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connections.cut_what_hangs)
            nursery.start_soon(connections.feel_pulse)
            yield connections
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(pool.close, CLOSING)
