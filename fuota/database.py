"""The database of the settings, and the journal in it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TypeVar

import structlog
import trio

from fuota.config.settings import PostgreSQL, Secrets, Settings
from fuota.health import Health
from fuota.journal import keyfile
from fuota.journal.port import Journal, Unavailable
from fuota.journal.postgres import PostgresJournal
from fuota.journal.postgres_dsn import PAIR, conninfo
from fuota.journal.rotation import reseal
from fuota.journal.sealing import BadMasterKey
from fuota.postgresql import DataDirectoryInUseError, keep_postgresql

T = TypeVar("T")

log = structlog.get_logger(__name__)

CONNECTIONS = 8
"""To the database, if `max_open_connections` leaves it to us."""

OWNERS = 1
"""Of these: it has the lock of the owner, and does nothing else."""

PLACE = ("host", "port", "dbname")
"""What is told of a dsn."""

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
async def database_in_turn(settings: PostgreSQL) -> AsyncIterator[str]:
    """The same; if another server uses the data directory, as soon as that has ended."""
    async with AsyncExitStack() as stack:
        yield await _entered(stack, lambda: database(settings), DataDirectoryInUseError)


def place(settings: PostgreSQL) -> str:
    """Where the database is, without what is secret. Raises `BadDsn`."""
    if not settings.dsn:
        return f"the embedded PostgreSQL in {settings.data_dir}"
    return " ".join(pair[0].strip() for pair in PAIR.finditer(conninfo(settings.dsn)) if pair[1] in PLACE)


@asynccontextmanager
async def journal_in(dsn: str, settings: Settings, health: Health) -> AsyncIterator[Journal]:
    """The journal, as soon as its database can be reached."""
    postgresql = settings.postgresql
    opened = partial(
        PostgresJournal.open,
        dsn,
        keyring=keyfile.keyring(master_keys(settings.secrets)),
        health=health,
        automigrate=postgresql.automigrate,
        most_connections=(postgresql.max_open_connections or CONNECTIONS) - OWNERS,
        idle_connections=postgresql.max_idle_connections,
    )
    async with AsyncExitStack() as stack:
        yield await _entered(stack, opened, Unavailable)


async def _entered(
    stack: AsyncExitStack, opened: Callable[[], AbstractAsyncContextManager[T]], problem: type[Exception]
) -> T:
    """What `opened()` gives, entered into `stack`, as soon as it meets no such problem; that is told once."""
    said = ""
    while True:
        try:
            return await stack.enter_async_context(opened())
        except problem as error:
            if str(error) != said:
                said = str(error)
                log.warning("waiting for the database", problem=said)
            await trio.sleep(PAUSE)


def master_keys(secrets: Secrets) -> dict[int, bytes]:
    """By their number. Raises `BadMasterKey`."""
    if secrets.master_key is not None:
        return {secrets.master_key.number: secrets.master_key.key}
    try:
        return keyfile.load_or_create(secrets.key_file)
    except BadMasterKey as error:
        raise BadMasterKey(f"[secrets] key_file: {error}") from error


async def rotate_master_key(settings: Settings, told: Callable[[int], None]) -> int:
    """Seal everything with a new master key, which is in the key file afterwards; how many keys that were.

    A rotation that was cut off is finished, with the key that it had made. Raises `JournalError`.
    """
    path, given = settings.secrets.key_file, settings.secrets.master_key
    keys = master_keys(settings.secrets)
    if given is not None and path.exists():
        keys = keyfile.load_or_create(path)
        if given.key not in keys.values():
            raise BadMasterKey(f"master key: {path} holds another than [secrets] master_key: move it away")
        if keys.get(given.number) != given.key:  # what is sealed says another number than the key would have
            [number] = [number for number, key in keys.items() if key == given.key]
            raise BadMasterKey(
                f"master key: in {path} the one of [secrets] master_key has the number {number}: "
                "write that and a space before it"
            )
    async with database(settings.postgresql) as dsn:
        keys = keyfile.with_another(keys)
        keyfile.save(path, keys)
        done = await trio.to_thread.run_sync(reseal, dsn, keyfile.keyring(keys), told)
        current, key = next(iter(keys.items()))
        keyfile.save(path, {current: key})
    return done
