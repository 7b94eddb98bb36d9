"""Fixtures for every test."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import trio
from hypothesis import settings

from fuota.postgresql import open_postgresql
from tests.postgres.clusters import database

# the same examples in every run, however slow the machine is
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")

# structlog's own rich tracebacks take seconds, in which the loop stands still
renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[structlog.processors.add_log_level, renderer])


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One embedded PostgreSQL for all tests: fast, not durable, and outside the tests' own event loops."""
    running: list[tuple[str, trio.Event, trio.lowlevel.TrioToken]] = []
    failed: list[BaseException] = []
    settled = threading.Event()

    async def serve(data_dir: Path) -> None:
        async with open_postgresql(data_dir, durable=False) as dsn:
            stop = trio.Event()
            running.append((dsn, stop, trio.lowlevel.current_trio_token()))
            settled.set()
            await stop.wait()

    def run() -> None:
        try:
            trio.run(serve, tmp_path_factory.mktemp("postgresql"))
        except BaseException as error:
            failed.append(error)
        finally:
            settled.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    settled.wait()
    if failed:
        raise failed[0]
    dsn, stop, token = running[0]
    yield dsn
    if not failed:
        token.run_sync_soon(stop.set)
    thread.join()
    if failed:
        raise failed[0]


@pytest.fixture
def dsn(postgresql: str) -> Iterator[str]:
    """The connection string of an empty database, dropped after the test."""
    with database(postgresql) as dsn:
        yield dsn
