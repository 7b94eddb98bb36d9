"""Runs PostgreSQL for as long as a block runs."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import structlog
import trio

from fuota.postgresql.binaries import Binaries, find_binaries
from fuota.postgresql.child import Child, spawn
from fuota.postgresql.cluster import (
    HALF_MADE,
    Account,
    address,
    claim,
    close_to_others,
    empty_directory,
    forget_crash,
    lock_file,
    refuse_other_versions,
)
from fuota.postgresql.errors import EmbeddedPostgresqlError, PostgresqlStoppedError

log = structlog.get_logger(__name__)

INITDB_OPTIONS = (
    "--username=fuota",
    "--auth-local=trust",  # the socket lies in a directory that only one user can enter
    "--auth-host=reject",
    "--no-locale",
    "--encoding=UTF8",
    "--no-instructions",
)
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "port": "5432",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "",
    "log_checkpoints": "off",
}
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

FIRST_PAUSE = 1.0
LONGEST_PAUSE = (
    10.0  # seconds before PostgreSQL is started again: twice as long each time that it does not run
)

PATIENCE_WITH_ORPHAN = 30  # seconds for the PostgreSQL of a killed server to finish its shutdown


@attrs.frozen
class _Place:
    """A data directory that nobody else uses."""

    data_dir: Path
    cluster: Path
    dsn: str
    binaries: Binaries


@asynccontextmanager
async def keep_postgresql(data_dir: Path) -> AsyncIterator[str]:
    """`open_postgresql`, started again at the same address whenever it ends by itself.

    It may have been killed; or the disk is full, and it ends as often as it starts until that is mended.
    Raises only what keeps it from starting the first time.
    """
    async with _place(data_dir) as place, trio.open_nursery() as nursery:
        await nursery.start(_keep, place)
        yield place.dsn
        nursery.cancel_scope.cancel()


async def _keep(place: _Place, task_status: trio.TaskStatus[None]) -> None:
    begun, said, pause = False, "", FIRST_PAUSE
    while True:
        try:
            async with _run(place, durable=True):
                if not begun:
                    task_status.started()
                begun, said, pause = True, "", FIRST_PAUSE
                await trio.sleep_forever()
        except (EmbeddedPostgresqlError, OSError) as error:
            if not begun:
                raise
            # Its last words are in the log already, as they came.
            reason = error.ending if isinstance(error, PostgresqlStoppedError) else str(error)
            if reason != said:
                said = reason
                log.error("PostgreSQL is started again", after=said)
        await trio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


@asynccontextmanager
async def open_postgresql(data_dir: Path, *, durable: bool = True) -> AsyncIterator[str]:
    """Runs PostgreSQL on `data_dir`, made if need be; gives a libpq connection string.

    `durable=False` trades safety against crashes for speed, for tests and demonstrations. The end of the
    calling thread, like any end of this process, stops PostgreSQL. Starting takes as long as it takes, for
    crash recovery reads all that was written since the last checkpoint: who wants a limit puts one around it.

    Raises DataDirectoryInUseError; PostgresqlStoppedError when it ends by itself, at any time;
    EmbeddedPostgresqlError when there are no binaries or the directory can not be used.
    """
    async with _place(data_dir) as place, _run(place, durable=durable):
        yield place.dsn


@asynccontextmanager
async def _place(data_dir: Path) -> AsyncIterator[_Place]:
    binaries = await trio.to_thread.run_sync(find_binaries)
    with claim(data_dir) as data_dir:
        refuse_other_versions(data_dir, binaries.major)
        cluster = data_dir / str(binaries.major)
        with address(cluster) as dsn:
            yield _Place(data_dir, cluster, dsn, binaries)


@asynccontextmanager
async def _run(place: _Place, *, durable: bool) -> AsyncIterator[None]:
    family = await _family_lock(place.data_dir)
    try:
        if not place.cluster.exists():
            await _initialise(place.cluster, place.binaries, family, durable=durable)
        close_to_others(place.cluster, Account.to_run_as())
        forget_crash(place.cluster)
        server = _start(place.cluster, place.binaries, family, durable=durable)
    finally:
        os.close(family)
    async with server.running():
        with server.lifetime:
            await server.ready.wait()
            yield
    if server.lifetime.cancelled_caught:
        raise PostgresqlStoppedError(server.returncode, server.last_lines)


async def _family_lock(data_dir: Path) -> int:
    """The lock that all of PostgreSQL's processes inherit, once those of a killed server are gone."""
    with trio.move_on_after(PATIENCE_WITH_ORPHAN):
        while True:
            if (lock := lock_file(data_dir / "postgresql.lock")) is not None:
                return lock
            await trio.sleep(0.02)
    raise EmbeddedPostgresqlError(
        f"a PostgreSQL of a former run is still at work in {data_dir} "
        f"after {PATIENCE_WITH_ORPHAN} s: stop it first"
    )


async def _initialise(cluster: Path, binaries: Binaries, family: int, *, durable: bool) -> None:
    """Makes the cluster beside its place, so that a half-made one is never taken for one."""
    new = cluster.with_suffix(HALF_MADE)
    empty_directory(new, Account.to_run_as())
    options = [*INITDB_OPTIONS, *([] if durable else ["--no-sync"])]
    initdb = spawn(binaries.directory / "initdb", options, new, family)
    async with initdb.running():
        with initdb.lifetime:
            await trio.sleep_forever()
    if initdb.returncode != 0:
        raise PostgresqlStoppedError(initdb.returncode, initdb.last_lines)
    new.rename(cluster)


def _start(cluster: Path, binaries: Binaries, family: int, *, durable: bool) -> Child:
    settings = SETTINGS if durable else SETTINGS | FORGETFUL
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
    return spawn(binaries.directory / "postgres", options, cluster, family)
