"""The schema, before anything else is done with the database: a start that does not hang in silence."""

import math
import os
import socket
from collections.abc import Sequence
from contextlib import suppress

import psycopg
import structlog
import trio

from fuota.journal.migrations import Begin, Connection, migrate
from fuota.journal.port import JournalError, Unavailable
from fuota.journal.postgres_connections import configure, one_line
from fuota.journal.sql import Migration, migrations

log = structlog.get_logger(__name__)

WITHIN = 10.0
"""Seconds within which it is known what is to be done. To do it takes as long as it takes."""


async def prepare(where: str, *, automigrate: bool) -> None:
    """Bring the schema up to date. `where`: as libpq has it.

    Raises `Unavailable` for what passes by itself or is the operator's to mend while the server waits, also
    when somebody locks what is needed; otherwise `JournalError`, and what `migrate` does.
    """
    connection = await trio.to_thread.run_sync(_connect, where, abandon_on_cancel=True)
    with socket.socket(fileno=os.dup(connection.fileno())) as line, trio.CancelScope() as patience:

        def begin(missing: Sequence[Migration]) -> None:
            patience.deadline = math.inf
            if missing[0].number > 1:  # in a database with deployments it may take a while
                names = ", ".join(each.name for each in missing)
                log.info("the database is brought up to date", migrations=names)

        def bring_up() -> None:
            _bring_up(connection, lambda missing: trio.from_thread.run_sync(begin, missing), automigrate)

        patience.deadline = trio.current_time() + WITHIN
        try:
            await trio.to_thread.run_sync(bring_up, abandon_on_cancel=True)
        finally:
            # A thread that was left behind gets an error instead of an answer, and ends.
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
    if patience.cancelled_caught:
        raise Unavailable(f"PostgreSQL: no answer within {WITHIN:g} s")


def _connect(where: str) -> Connection:
    try:
        return psycopg.connect(where, autocommit=True)
    except psycopg.Error as error:
        raise _told(error) from error


def _bring_up(connection: Connection, begin: Begin, automigrate: bool) -> None:
    try:
        with connection:
            # If this server stops dead in the middle, its locks do not outlive it for long.
            configure(connection)
            migrate(connection, migrations(), automigrate=automigrate, begin=begin)
    except psycopg.Error as error:
        raise _told(error) from error


def _told(error: psycopg.Error) -> JournalError:
    passes = isinstance(error, psycopg.OperationalError | psycopg.errors.ReadOnlySqlTransaction)
    return (Unavailable if passes else JournalError)(f"PostgreSQL: {one_line(error)}")
