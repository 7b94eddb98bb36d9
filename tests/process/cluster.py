"""A PostgreSQL that a test may stop, kill and start again, at an address that stays."""

import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs
import psycopg
import trio

from fuota.postgresql import PostgresqlStoppedError, open_postgresql

FULL = """
create function full_up() returns trigger language plpgsql as
$$ begin raise exception 'could not extend file: No space left on device' using errcode = 'disk_full'; end $$;
create trigger full_up before insert on transition execute function full_up();
"""


@attrs.define
class Cluster:
    """Made by `open_cluster`."""

    _data_dir: Path
    _nursery: trio.Nursery
    dsn: str = ""
    _over: trio.Event = attrs.field(factory=trio.Event)

    async def start(self) -> None:
        self._over = trio.Event()
        self.dsn = await self._nursery.start(self._run)

    async def stop(self) -> None:
        """As its operator would: clients are hung up on."""
        os.kill(self._postmaster(), signal.SIGINT)
        await self._over.wait()

    async def kill(self) -> None:
        """All of it, as when the machine loses power."""
        os.killpg(os.getpgid(self._postmaster()), signal.SIGKILL)
        await self._over.wait()

    async def freeze(self) -> None:
        """It takes connections, and says nothing any more."""
        for process in self._processes():
            os.kill(process, signal.SIGSTOP)

    async def thaw(self) -> None:
        for process in self._processes():
            os.kill(process, signal.SIGCONT)

    def _processes(self) -> Iterator[int]:
        """The postmaster, and only then its children."""
        yield (postmaster := self._postmaster())
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(FileNotFoundError, ProcessLookupError):
                _state, parent, *_ = stat.read_text().rpartition(")")[2].split()
                if int(parent) == postmaster:
                    yield int(stat.parent.name)

    def _postmaster(self) -> int:
        return int((next(self._data_dir.glob("[0-9]*")) / "postmaster.pid").read_text().split()[0])

    async def fill(self) -> None:
        """Nothing more can be written, as when its disk is full."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute(FULL)

    async def empty(self) -> None:
        """There is room again."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute("drop function full_up cascade")

    async def _run(self, task_status: trio.TaskStatus[str]) -> None:
        try:
            async with open_postgresql(self._data_dir) as dsn:
                task_status.started(dsn)
                await trio.sleep_forever()
        except PostgresqlStoppedError:
            pass
        finally:
            self._over.set()


@asynccontextmanager
async def open_cluster() -> AsyncIterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="fuota-test-"))
    try:
        async with trio.open_nursery() as nursery:
            made = Cluster(folder / "data", nursery)
            await made.start()
            yield made
            nursery.cancel_scope.cancel()
    finally:
        shutil.rmtree(folder)
