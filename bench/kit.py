"""What the benchmarks share: a server without its network, a stopwatch for the event loop, a table."""

import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from uuid import UUID

import attrs
import structlog
import trio
from rich.console import Console
from rich.table import Table

from fuota import garbage
from fuota.actor import Alarms, Child, Ref, Registry, Tree, open_tree
from fuota.api.orders import Orders
from fuota.clock import SystemClock
from fuota.deployments import Begin, Deployments, Message
from fuota.dispatcher import Dispatcher, Route
from fuota.health import Health
from fuota.journal.port import Journal
from fuota.journal.postgres import PostgresJournal
from fuota.journal.sealing import Keyring
from fuota.lorawan.eui import EUI64
from fuota.network.port import ANYTHING, About, Group, KnownGroup, Network, Queued
from fuota.postgresql import open_postgresql
from fuota.server import TURN
from fuota.services import Services

TICK = 0.001
"""Seconds between two looks at the event loop."""


class Accepting:
    """A network that takes whatever it is given, at once; no device ever answers."""

    async def ensure_group(self, group: Group) -> str:
        await trio.lowlevel.checkpoint()
        return group.name

    async def has_group(self, group: KnownGroup) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    async def add_device(self, group: KnownGroup, dev_eui: EUI64) -> None:
        await trio.lowlevel.checkpoint()

    async def downlink(
        self,
        dev_eui: EUI64,
        f_port: int,
        data: bytes,
        *,
        unless_pending: bool,
        urgent: bool = False,
        about: About = ANYTHING,
    ) -> Queued:
        await trio.lowlevel.checkpoint()
        return Queued("0")

    async def withdraw(
        self, dev_eui: EUI64, ours: Callable[[int, bytes], bool], *, about: About = ANYTHING
    ) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    async def multicast(self, group: KnownGroup, f_port: int, data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def waiting(self, group: KnownGroup) -> frozenset[tuple[int, bytes]]:
        await trio.lowlevel.checkpoint()
        return frozenset()

    async def flush(self, group: KnownGroup) -> None:
        await trio.lowlevel.checkpoint()

    async def delete_group(self, group: Group) -> None:
        await trio.lowlevel.checkpoint()


@attrs.frozen
class Server:
    """A running server that lacks only its sockets."""

    services: Services
    orders: Orders
    dispatcher: Ref[Route]
    tree: Tree


@asynccontextmanager
async def serving(memory: Journal, network: Network) -> AsyncIterator[Server]:
    """The actors of `fuota serve`, with this journal and this network."""
    clock = SystemClock()
    services = Services(memory, network, clock, Alarms(clock), Registry(), Health())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(services.alarms.run)
        nursery.start_soon(garbage.sweep)
        async with open_tree() as tree:
            dispatcher: Ref[Route] = await tree.start(
                Child(
                    "dispatcher",
                    lambda: Dispatcher(services.devices, network, memory.ownership),
                    room=1024,
                )
            )
            deployments: Ref[Message] = await tree.start(
                Child("deployments", lambda: Deployments(services), room=1024)
            )

            async def begin(deployment_id: UUID) -> None:
                await deployments.tell(Begin(deployment_id))

            yield Server(services, Orders(memory, clock, begin), dispatcher, tree)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def postgres(kind: type[PostgresJournal] = PostgresJournal) -> AsyncIterator[PostgresJournal]:
    """A journal in an embedded PostgreSQL as durable as the server's: each commit waits for the disk."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_postgresql(Path(folder) / "postgresql") as dsn, journal(dsn, kind) as opened:
            yield opened


def journal(
    dsn: str, kind: type[PostgresJournal] = PostgresJournal
) -> AbstractAsyncContextManager[PostgresJournal]:
    return kind.open(dsn, keyring=Keyring.from_hex("a5" * 32), health=Health())


@attrs.define
class Stopwatch:
    """How long something took, and the longest time for which the event loop did nothing else."""

    seconds: float = 0.0
    stall: float = 0.0


@asynccontextmanager
async def watched() -> AsyncIterator[Stopwatch]:
    watch = Stopwatch()

    async def tick() -> None:
        while True:
            due = trio.current_time() + TICK
            await trio.sleep_until(due)
            watch.stall = max(watch.stall, trio.current_time() - due)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        await trio.sleep(0.05)
        watch.stall = 0.0
        begin = trio.current_time()
        yield watch
        watch.seconds = trio.current_time() - begin
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Return when it holds; it is looked at every 10 ms."""
    while not condition():  # noqa: ASYNC110  # nobody sets an event
        await trio.sleep(0.01)


def resident() -> int:
    """Octets of memory this process has at present."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def prepare() -> None:
    """Log warnings only; garbage and threads as in the server."""
    garbage.set_up()
    sys.setswitchinterval(TURN)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def show(title: str, rows: Iterable[tuple[str, str]]) -> None:
    table = Table(title=title, title_justify="left", show_header=False)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
