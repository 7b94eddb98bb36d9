"""Servers that share a database, as far as their journals go."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import LiteralString

import attrs
import psycopg
import pytest
import trio

from fuota.device import states as device
from fuota.health import Health
from fuota.journal import holder
from fuota.journal.port import ActorId, NewDeployment, Transition
from fuota.journal.postgres import PostgresJournal
from fuota.journal.sealing import Keyring
from fuota.ownership import Ownership


@asynccontextmanager
async def opened(
    dsn: str, health: Health | None = None, master_key: str = "a5" * 32
) -> AsyncIterator[PostgresJournal]:
    """A server's journal."""
    async with PostgresJournal.open(
        dsn, keyring=Keyring.from_hex(master_key), health=health or Health(), patience=0.3
    ) as journal:
        yield journal


@attrs.define
class Life:
    """Of a server that does not end with the block it was started in."""

    journal: PostgresJournal
    _scope: trio.CancelScope
    _over: trio.Event

    @classmethod
    async def begin(cls, dsn: str, nursery: trio.Nursery, namespace: Path | None = None) -> "Life":
        """On another machine than the test's own, or in a pid namespace that some file stands for."""
        over = trio.Event()

        async def live(task_status: trio.TaskStatus["Life"]) -> None:
            with trio.CancelScope() as scope:
                async with opened(dsn) as journal:
                    task_status.started(cls(journal, scope, over))
                    await trio.sleep_forever()
            over.set()

        with pytest.MonkeyPatch.context() as elsewhere:
            if namespace:
                elsewhere.setattr(holder, "NAMESPACE", namespace)
            else:
                elsewhere.setattr(socket, "gethostname", lambda: "another")
            begun: Life = await nursery.start(live)
        return begun

    @property
    def ownership(self) -> Ownership:
        return self.journal.ownership

    async def end(self) -> None:
        self._scope.cancel()
        await self._over.wait()


async def until(what: Callable[[], object]) -> None:
    with trio.fail_after(20):
        while not what():  # noqa: ASYNC110  # a clock runs out, which tells nobody
            await trio.sleep(0.01)


def end_sessions(dsn: str) -> None:
    """Those of the owners."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'")


def seen(ahead: LiteralString = "0") -> LiteralString:
    """What a server says that is no other's process here; its time may be `ahead` of the clock."""
    return (
        "update ownership set holder = 'elsewhere, process 7', "
        f"seen_at = clock_timestamp() + interval '{ahead}'"
    )


def step(new: NewDeployment, version: int = 2) -> Transition:
    return Transition(
        actor=ActorId(new.id, new.devices[0].dev_eui),
        version=version,
        at=new.created_at,
        cause="Answered",
        state=device.Prepared(),
    )


async def succeeded(first: Ownership, second: Ownership) -> None:
    """The second takes over from the first; for a while after that the first never acts beside it."""
    with trio.fail_after(20):
        while not second.certain:  # noqa: ASYNC110  # it does not tell
            await trio.sleep(0.002)
    with trio.move_on_after(0.1):
        while True:
            assert not first.certain
            await trio.sleep(0.002)
