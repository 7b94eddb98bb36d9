"""The database of the settings, and the journal in it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog
import trio

from fuota.config import PostgreSQL, Settings
from fuota.health import Health
from fuota.journal.port import Journal, Unavailable
from fuota.journal.postgres import PostgresJournal
from fuota.journal.retry import patiently
from fuota.journal.sealing import Keyring
from fuota.postgresql import keep_postgresql

log = structlog.get_logger(__name__)

CONNECTIONS = 8
"""To the database, if `max_open_connections` leaves it to us."""

OWNERS = 1
"""Of these: it has the lock of the owner, and does nothing else."""

PAUSE = 1.0
"""Seconds between two attempts to reach the database at the start."""


@asynccontextmanager
async def database(settings: PostgreSQL) -> AsyncIterator[str]:
    """A connection string: of the configured database, or of the embedded one, which runs meanwhile."""
    if settings.dsn:
        yield settings.dsn
    else:
        async with keep_postgresql(settings.data_dir) as dsn:
            yield dsn


@asynccontextmanager
async def journal_in(dsn: str, settings: Settings, health: Health) -> AsyncIterator[Journal]:
    """The journal, as soon as its database can be reached."""
    secrets, postgresql = settings.secrets, settings.postgresql
    if secrets.master_key is None:
        keyring = Keyring.load_or_create(secrets.key_file)
    else:
        keyring = Keyring({1: secrets.master_key}, current=1)
    said = ""
    async with AsyncExitStack() as stack:
        while True:
            opened = PostgresJournal.open(
                dsn,
                keyring=keyring,
                health=health,
                automigrate=postgresql.automigrate,
                most_connections=max(1, (postgresql.max_open_connections or CONNECTIONS) - OWNERS),
                idle_connections=postgresql.max_idle_connections,
            )
            try:
                journal = await stack.enter_async_context(opened)
            except Unavailable as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("waiting for the database", problem=said)
                await trio.sleep(PAUSE)
            else:
                break
        yield journal


async def try_keys(journal: Journal) -> None:
    """Raise `NotOpened` now if a deployment to resume is sealed with another master key.

    Later it would be the crash of an actor, and a traceback.
    """
    for deployment_id in await patiently(journal.unfinished):
        await patiently(partial(journal.load, deployment_id))
