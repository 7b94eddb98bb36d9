"""The journals that have to pass the suites."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from fuota.health import Health
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import Journal
from fuota.journal.postgres import PostgresJournal
from fuota.journal.sealing import Keyring

Opened = Callable[[], AbstractAsyncContextManager[Journal]]


@pytest.fixture(params=["memory", "postgresql"])
def opened(request: pytest.FixtureRequest) -> Opened:
    """Opens the journal; opened again, it holds what it held."""
    if request.param == "memory":
        memory = MemoryJournal()

        @asynccontextmanager
        async def open_memory() -> AsyncIterator[Journal]:
            yield memory

        return open_memory
    dsn = request.getfixturevalue("dsn")
    keyring = Keyring.from_hex("a5" * 32)
    return lambda: PostgresJournal.open(dsn, keyring=keyring, health=Health())


@pytest.fixture
async def journal(opened: Opened) -> AsyncIterator[Journal]:
    async with opened() as journal:
        yield journal
