"""The composition root: what is started, in which order, inside what.

    database ⊃ journal ⊃ asyncio loop ⊃ network ⊃ alarms ⊃ tree of actors

To stop, all of it is cancelled at once, for nothing is lost by that: what is under way is in the journal, or
is told whoever asked. Three things take their time: requests that have come have a few seconds for their
answers, a commit under way is waited for, and the owner of the deployments says that it is none any more.
What was opened is let go in the reverse order, the connections to the database last. An embedded PostgreSQL
is told to stop at the same time as the server, so that all is over within 10 s; it waits for those
connections to end, for a while. What would take longer, with many devices on a busy machine, is cut off.
"""

import os
import resource
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from importlib import metadata

import structlog
import trio

from fuota import bridge, ending, garbage
from fuota.actor import Alarms, Registry, open_tree
from fuota.children import Addresses, grow
from fuota.clock import SystemClock
from fuota.config.file import TABLES
from fuota.config.mistake import ConfigError, printable
from fuota.config.settings import FuotaServerApi, Settings
from fuota.database import database_in_turn, journal_in, place
from fuota.endpoint import check
from fuota.generations import GENERATIONS
from fuota.health import Health
from fuota.journal.port import JournalError
from fuota.journal.postgres_dsn import BadDsn
from fuota.journal.retry import keep_trying_keys, try_keys
from fuota.ownership import Attendance
from fuota.places import CONNECTIONS, room
from fuota.postgresql import EmbeddedPostgresqlError
from fuota.rpc.tls import CertificateError, server_context
from fuota.services import Services

log = structlog.get_logger(__name__)

TURN = 0.001
"""Seconds after which a busy thread lets another run: the journal's and the event loop's take turns often."""

FILES = 8192
"""More than 500 connections to each of three ports, newcomers that are being refused, and what the database
needs. By default, many systems allow 1024."""

MISCONFIGURED = (ConfigError, BadDsn)
"""What has to be mended in the configuration."""

MISTAKES = (*MISCONFIGURED, JournalError, EmbeddedPostgresqlError, CertificateError, OSError)
"""What the operator has to mend; everything else that ends the server is a bug."""


def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    garbage.set_up()
    sys.setswitchinterval(TURN)
    allow_files()
    try:
        trio.run(_main, settings)
    except BaseExceptionGroup as group:
        errors: list[BaseException] = list(_leaves(group))
        if not all(isinstance(error, MISTAKES) for error in errors):
            raise
    except MISTAKES as mistake:
        errors = [mistake]
    else:
        log.info("stopped")
        return 0
    for error in errors:
        bare = isinstance(error, OSError) and error.filename is None and error.strerror
        print(f"fuota: {printable(str(bare or error))}", file=sys.stderr)
    return 2 if any(isinstance(error, MISCONFIGURED) for error in errors) else 1


def allow_files() -> None:
    """Allow this process as many open files as it may allow itself, up to `FILES`: a socket is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if room() < CONNECTIONS:
        log.warning(
            "few files may be open at a time, and so few connections: raise the hard limit (ulimit -Hn)",
            limit=hard,
            enough=FILES,
            connections=room(),
        )


async def _main(settings: Settings) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as serving:
                nursery.start_soon(_obey, signals, serving)
                await _serve_and_tell(settings)
            nursery.cancel_scope.cancel()


async def _obey(signals: AsyncIterator[int], serving: trio.CancelScope) -> None:
    """Stop when asked to; asked twice, at once."""
    async for number in signals:
        with ending.cut_off_in_time():
            log.info("stopping", signal=signal.Signals(number).name)
            garbage.rest()
            serving.cancel()
            async for again in signals:
                os._exit(128 + again)


async def _serve_and_tell(settings: Settings) -> None:
    async with trio.open_nursery() as nursery:
        addresses: Addresses = await nursery.start(serve, settings)
        log.info("started", version=metadata.version("fuota"), database=place(settings.postgresql))
        print(f"gRPC API listening on {addresses.api}")
        print(f"ChirpStack events listening on http://{addresses.integration}/")
        print(f"debug endpoint listening on http://{addresses.debug}/", flush=True)


async def serve(settings: Settings, *, task_status: trio.TaskStatus[Addresses]) -> None:
    """Serve until cancelled; then stop in order."""
    health, generation = Health(), GENERATIONS[settings.generation]
    clock = SystemClock(health.absent)
    async with AsyncExitStack() as stack:
        events = f"{TABLES[settings.generation]}.event_handler.http.bind"
        await check(
            {
                "fuota_server.api.bind": settings.fuota_server.api.bind,
                events: settings.network.event_handler.http.bind,
                "debug.bind": settings.debug.bind,
            }
        )
        tls = _tls(settings.fuota_server.api)
        if not settings.debug.token and not settings.debug.bind.loopback:
            log.warning("the debug endpoint is open to whoever reaches it: set [debug] token")
        dsn = await stack.enter_async_context(database_in_turn(settings.postgresql))
        journal = await stack.enter_async_context(journal_in(dsn, settings, health))
        await try_keys(journal)
        await stack.enter_async_context(bridge.open_loop())
        network = await stack.enter_async_context(generation.connected(settings.network.api, health))
        attendance = Attendance(journal.ownership)
        attended = network.if_permitted(attendance)
        services = Services(journal, attended, clock, Alarms(clock), Registry(), health)
        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(services.alarms.run)
        nursery.start_soon(keep_trying_keys, journal)
        nursery.start_soon(garbage.sweep)
        async with open_tree() as tree:
            addresses = await grow(tree, services, network, attendance, settings, tls)
            task_status.started(addresses)
            await trio.sleep_forever()


def _tls(api: FuotaServerApi) -> ssl.SSLContext | None:
    return server_context(api.tls_cert, api.tls_key, api.ca_cert) if api.tls_cert and api.tls_key else None


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
