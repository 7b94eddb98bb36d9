"""The server that is fuzzed, in a process of its own: real but for the database and ChirpStack.

What it costs to serve hostile peers, and whether it lives, is seen from outside.
"""

import gc
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import Literal

import attrs
import trio

from fuota import log
from fuota.actor import Alarms, Registry, open_tree
from fuota.bridge import open_loop
from fuota.children import grow
from fuota.clock import SystemClock
from fuota.config.settings import Settings
from fuota.config.value import Bind
from fuota.health import Health
from fuota.journal.memory import MemoryJournal
from fuota.network.simulated import SimulatedNetwork
from fuota.ownership import Attendance
from fuota.places import Places
from fuota.rpc.tls import server_context
from fuota.services import Services
from fuota.simulation.world import World
from tests.process.certificates import Issued

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
LEAVING = 20.0
"""Seconds in which a server has to notice that a peer has gone, and to end what it has asked for."""


@attrs.frozen
class Victim:
    """A running one, seen from outside."""

    pid: int
    api: Bind
    integration: Bind
    debug: Bind
    log: Path

    def resident(self) -> int:
        """Octets of memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE

    def processor(self) -> float:
        """Seconds of the processor, so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def said(self) -> list[str]:
        """What it has logged, line by line."""
        return self.log.read_text(errors="replace").splitlines()


@asynccontextmanager
async def open_victim(generation: Literal[3, 4] = 3, issued: Issued | None = None) -> AsyncIterator[Victim]:
    """Start one beside that generation of ChirpStack. It must outlive all, and end when asked.

    `issued`: its API has TLS, with that certificate.
    """
    shown = [] if issued is None else [str(issued.cert), str(issued.key)]
    command = [sys.executable, "-m", "tests.fuzz.victim", str(generation), *shown]
    with tempfile.TemporaryDirectory() as folder:
        log_file = trio.Path(folder, "log")
        async with await log_file.open("wb") as written, trio.open_nursery() as nursery:
            run = partial(trio.run_process, command, stdin=PIPE, stdout=PIPE, stderr=written, check=False)
            process: trio.Process = await nursery.start(run)
            assert process.stdout is not None
            with trio.fail_after(60):
                line = await process.stdout.receive_some()
            assert line, await log_file.read_text()
            binds = {name: Bind.parse(address) for name, address in json.loads(line).items()}
            yield Victim(process.pid, log=Path(log_file), **binds)
            assert process.poll() is None, (await log_file.read_text())[-4000:]
            process.send_signal(signal.SIGTERM)
            with trio.fail_after(LEAVING + 20):
                assert await process.wait() == 0, (await log_file.read_text())[-4000:]


def _settings(generation: Literal[3, 4]) -> Settings:
    any_port = Bind("127.0.0.1", 0)
    settings = Settings()
    handler = settings.application_server.event_handler
    newer = settings.chirpstack.event_handler
    return attrs.evolve(
        settings,
        generation=generation,
        application_server=attrs.evolve(
            settings.application_server,
            event_handler=attrs.evolve(handler, http=attrs.evolve(handler.http, bind=any_port)),
        ),
        chirpstack=attrs.evolve(
            settings.chirpstack,
            event_handler=attrs.evolve(newer, http=attrs.evolve(newer.http, bind=any_port)),
        ),
        fuota_server=attrs.evolve(
            settings.fuota_server, api=attrs.evolve(settings.fuota_server.api, bind=any_port)
        ),
        debug=attrs.evolve(settings.debug, bind=any_port),
    )


async def _all_have_left() -> None:
    """The peers have gone: none of them may keep its place."""
    places = [each for each in gc.get_objects() if isinstance(each, Places)]
    with trio.fail_after(LEAVING):
        while any(each._taken for each in places):  # noqa: ASYNC110  # there is no event for what must not happen
            await trio.sleep(0.1)


async def main(generation: Literal[3, 4], issued: Issued | None) -> None:
    """Print where it listens, and serve until SIGTERM."""
    settings = _settings(generation)
    tls = None if issued is None else server_context(issued.cert, issued.key, None)
    log.set_up(settings.general)
    clock, health = SystemClock(), Health()
    network = SimulatedNetwork(World([], clock=clock))
    journal = MemoryJournal()
    services = Services(journal, network, clock, Alarms(clock), Registry(), health)
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with open_loop(), trio.open_nursery() as nursery:
            nursery.start_soon(services.alarms.run)
            async with open_tree() as tree:
                addresses = await grow(tree, services, network, Attendance(journal.ownership), settings, tls)
                print(json.dumps(attrs.asdict(addresses)), flush=True)
                await anext(signals)
                await _all_have_left()
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    version, *files = sys.argv[1:]
    trio.run(main, 4 if version == "4" else 3, Issued(*map(Path, files)) if files else None)
