"""The journal in PostgreSQL: transitions per second, a large deployment, and what it does to the event loop.

    python bench/journal.py [DEVICES]

Runs on an embedded PostgreSQL as durable as the server's, so each commit waits for the disk, and with the
thresholds of the garbage collector that the server sets.
"""

import gc
import hashlib
import logging
import os
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import attrs
import structlog
import trio
from rich.console import Console
from rich.table import Table

from fuota.deployment import states as deployment_states
from fuota.deployment.plan import MulticastClass, Plan, StatusRequest
from fuota.device import states as device_states
from fuota.health import Health
from fuota.journal.port import ActorId, LogRow, NewDeployment, NewDevice, Transition
from fuota.journal.postgres import PostgresJournal
from fuota.journal.sealing import Keyring
from fuota.lorawan.eui import EUI64
from fuota.postgresql import open_postgresql

FIRMWARE = os.urandom(1 << 20)
SECONDS = 3.0
CONCURRENT = [1, 10, 100, 1000, 10_000]


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
            due = trio.current_time() + 0.001
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


def ordered(devices: int, mc_group_id: int) -> NewDeployment:
    first = uuid4().int >> 64
    return NewDeployment(
        id=uuid4(),
        plan=Plan(
            application_id="1",
            mc_class=MulticastClass.C,
            mc_group_id=mc_group_id,
            mc_addr=0x01020304,
            frequency=869_525_000,
            dr=5,
            time_out=8,
            periodicity=0,
            unicast_timeout=timedelta(seconds=60),
            unicast_attempts=3,
            frag_index=mc_group_id,
            frag_size=50,
            redundancy=100,
            frag_algo=0,
            block_ack_delay=0,
            descriptor=bytes(4),
            status_request=StatusRequest.AFTER_SESSION_TIMEOUT,
            firmware_size=len(FIRMWARE),
            firmware_sha256=hashlib.sha256(FIRMWARE).digest(),
        ),
        mc_key=os.urandom(16),
        firmware=FIRMWARE,
        devices=[
            NewDevice(dev_eui=EUI64(((first + n) % (1 << 64)).to_bytes(8)), mc_root_key=os.urandom(16))
            for n in range(devices)
        ],
        created_at=datetime.now(UTC),
        state=deployment_states.CreatingGroup(),
        device_state=device_states.Waiting(),
    )


def transition(deployment_id: UUID, dev_eui: EUI64, version: int) -> Transition:
    """As a device's answer makes one: a state, and a row of the log."""
    now = datetime.now(UTC)
    answer = LogRow(
        deployment_id=deployment_id,
        dev_eui=dev_eui,
        created_at=now,
        f_port=200,
        command="McGroupSetupAns",
        fields={"mc_group_id": "1", "id_error": "false"},
    )
    return Transition(
        actor=ActorId(deployment_id, dev_eui),
        version=version,
        at=now,
        cause="Answered",
        state=device_states.SettingUpFragments(1, now + timedelta(seconds=60)),
        logs=(answer,),
    )


async def commits(journal: PostgresJournal, actors: int) -> tuple[float, float, float]:
    """Transitions per second, the mean milliseconds for which an actor waited, and the stall in ms."""
    new = ordered(actors, 1)
    await journal.create(new)
    written = 0

    async def live(dev_eui: EUI64, end: float) -> None:
        nonlocal written
        await trio.sleep(random.random() / 4)  # answers do not come all at once
        version = 1
        while trio.current_time() < end:
            version += 1
            await journal.commit(transition(new.id, dev_eui, version))
            written += 1

    async with watched() as watch, trio.open_nursery() as nursery:
        for device in new.devices:
            nursery.start_soon(live, device.dev_eui, trio.current_time() + SECONDS)
    return written / watch.seconds, 1000 * actors * watch.seconds / written, 1000 * watch.stall


async def main(devices: int) -> None:
    gc.set_threshold(20_000, 50, 1000)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            open_postgresql(Path(folder) / "postgresql") as dsn,
            PostgresJournal.open(dsn, keyring=Keyring.from_hex("a5" * 32), health=Health()) as journal,
        ):
            speed = Table("actors", "transitions/s", "wait, ms", "event loop stall, ms")
            for actors in CONCURRENT:
                speed.add_row(str(actors), *(f"{figure:.1f}" for figure in await commits(journal, actors)))
            console.print(speed)

            new = ordered(devices, 2)
            steps: dict[str, Callable[[], Awaitable[object]]] = {
                "create": lambda: journal.create(new),
                "devices, to resume": lambda: journal.devices(new.id),
                "status": lambda: journal.status(new.id),
                "firmware, 1 MiB": lambda: journal.firmware(new.plan.firmware_sha256),
            }
            large = Table(f"a deployment with {devices} devices", "seconds", "event loop stall, ms")
            for name, step in steps.items():
                async with watched() as watch:
                    result = await step()
                del result  # which takes a while, too
                large.add_row(name, f"{watch.seconds:.3f}", f"{1000 * watch.stall:.1f}")
            console.print(large)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
