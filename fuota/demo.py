"""`fuota demo`: everything on one machine, and a look at what each device holds in the end."""

import math
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal
from uuid import UUID

import attrs
import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from fuota import bridge, log
from fuota.children import Addresses
from fuota.clock import SystemClock
from fuota.config.settings import (
    ApplicationServer,
    ChirpStack,
    ChirpStackApi,
    ChirpStackEventHandler,
    Debug,
    EventHandler,
    EventHandlerHttp,
    FuotaServer,
    FuotaServerApi,
    General,
    PostgreSQL,
    Secrets,
    Settings,
)
from fuota.config.value import Bind
from fuota.customer import CUSTOMERS, Customer, Progress, Step
from fuota.rpc.client import connect
from fuota.server import serve
from fuota.simulation import chirpstack3, chirpstack4
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.conditions import ApiConditions
from fuota.simulation.device import Device
from fuota.simulation.fleet import fleet
from fuota.simulation.radio import Radio
from fuota.simulation.webhook import open_webhook
from fuota.simulation.world import World

TOKEN = "demo"
LOOPBACK = Bind("127.0.0.1", 0)
FRAG_SIZE = 200
UNICAST_TIMEOUT = timedelta(seconds=0.6)
FEWEST_ATTEMPTS = 8
"""Also when nothing is lost: a busy machine may be slow to answer."""
POLL = 0.2
"""Seconds between two looks at the status."""

QUICK = Radio(
    uplink_interval=timedelta(seconds=0.5),
    rx_delay=timedelta(milliseconds=50),
    latency=timedelta(milliseconds=10),
    fragment_interval=timedelta(milliseconds=20),
)
"""Air on which everything happens some twenty times as quickly as in the field."""

HEADINGS: dict[Step, str] = {
    "mc_group_setup_completed_at": "has the group",
    "frag_session_setup_completed_at": "expects fragments",
    "mc_session_completed_at": "knows the start",
    "frag_status_completed_at": "says: complete",
}


def run(
    *, devices: int, loss: float, size: int, device_class: str, chirpstack: Literal[3, 4], keep: bool
) -> int:
    """Run the demonstration; 0 if every device holds the image byte for byte."""
    log.set_up(General(log_level=2))
    return trio.run(_main, devices, loss, size, device_class, chirpstack, keep)


async def _main(
    count: int, loss: float, size: int, device_class: str, generation: Literal[3, 4], keep: bool
) -> int:
    """The exit code. A signal ends it, in order: cut short it is what a shell makes of the signal."""
    code: int | None = None

    async def obey(signals: AsyncIterator[int]) -> None:
        nonlocal code
        async for number in signals:
            if code is None:
                code = 128 + number
                print(f"fuota: stopped by {signal.Signals(number).name}", file=sys.stderr)
            showing.cancel()

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as showing:
                nursery.start_soon(obey, signals)
                async with _shown(count, loss, size, device_class, generation) as holding:
                    code = 0 if holding == count else 1
                    if keep:
                        print("still running; Ctrl-C ends it", flush=True)
                        await trio.sleep_forever()
            nursery.cancel_scope.cancel()
    assert code is not None
    return code


@asynccontextmanager
async def _shown(
    count: int, loss: float, size: int, device_class: str, generation: Literal[3, 4]
) -> AsyncIterator[int]:
    """How many devices hold the image, when all is over and still runs."""
    console = Console()
    image = Random(size).randbytes(size)
    devices = fleet(count, behaviour=lambda _: Behaviour(answer_delay=timedelta(milliseconds=50)))
    world = World(
        devices,
        clock=SystemClock(),
        radio=attrs.evolve(QUICK, loss=loss),
        application_id=CUSTOMERS[generation].application_id,
    )
    async with _everything(world, generation) as (addresses, customer):
        console.print(
            f"{count} simulated class {device_class} devices, {size} octets, {loss:.0%} of frames lost"
        )
        console.print(f"page for operators at http://{addresses.debug}/, gRPC API at {addresses.api}")
        in_b = device_class.upper() == "B"
        deployment_id = await customer.create(devices, in_b, **_fields(image, loss, in_b))
        console.print(f"deployment {deployment_id}")
        progress = await _watch(customer, deployment_id, count, console)
        console.print(_table(devices, image, progress))
        holding = sum(device.image == image for device in devices)
        console.print(f"[bold]{holding} of {count} devices hold the image byte for byte[/]")
        yield holding


@asynccontextmanager
async def _everything(world: World, generation: Literal[3, 4]) -> AsyncIterator[tuple[Addresses, Customer]]:
    """The simulated network, the server with a database of its own, and a client of its API."""
    customer = CUSTOMERS[generation]
    with tempfile.TemporaryDirectory(prefix="fuota-demo-") as folder:
        async with bridge.open_loop(), trio.open_nursery() as nursery:
            conditions = ApiConditions(clock=world.clock)
            serve_api = {3: chirpstack3.serve_api, 4: chirpstack4.serve_api}[generation]
            api = partial(serve_api, world, LOOPBACK, token=TOKEN, conditions=conditions)
            chirpstack: str = await nursery.start(api)
            settings = _settings(Path(folder), Bind.parse(chirpstack), generation)
            addresses: Addresses = await nursery.start(serve, settings)
            async with (
                open_webhook(
                    f"http://{addresses.integration}/",
                    generation=generation,
                    application_id=customer.application_id,
                ) as webhook,
                connect(Bind.parse(addresses.api)) as channel,
            ):
                nursery.start_soon(world.run, webhook.deliver, webhook.tell)
                yield addresses, customer(channel)
                nursery.cancel_scope.cancel()


def _settings(folder: Path, chirpstack: Bind, generation: Literal[3, 4]) -> Settings:
    http, api = EventHandlerHttp(bind=LOOPBACK), ChirpStackApi(server=chirpstack, token=TOKEN)
    return Settings(
        generation=generation,
        postgresql=PostgreSQL(data_dir=folder / "postgresql"),
        application_server=ApplicationServer(event_handler=EventHandler(http=http), api=api),
        chirpstack=ChirpStack(event_handler=ChirpStackEventHandler(http=http), api=api),
        fuota_server=FuotaServer(api=FuotaServerApi(bind=LOOPBACK)),
        debug=Debug(bind=LOOPBACK),
        secrets=Secrets(key_file=folder / "master.key"),
    )


def _fields(image: bytes, loss: float, in_b: bool) -> dict[str, Any]:
    """Of the deployment, in the words of both generations."""
    nb_frag = math.ceil(len(image) / FRAG_SIZE)
    # what is lost, of these and of the coded ones, and some more for the device with the worst luck
    redundancy = math.ceil((loss * nb_frag + 4 * math.sqrt(nb_frag) + 12) / (1 - loss))
    on_air = (nb_frag + redundancy) * 0.4
    return {
        "multicast_dr": 5,
        "multicast_frequency": 869_525_000,
        "multicast_timeout": math.ceil(math.log2((nb_frag + redundancy) / 100 + 1 if in_b else on_air)),
        "unicast_timeout": UNICAST_TIMEOUT,
        "unicast_attempt_count": _attempts(loss),
        "fragmentation_fragment_size": FRAG_SIZE,
        "payload": image,
        "fragmentation_redundancy": redundancy,
    }


def _attempts(loss: float) -> int:
    """So many that of 100 000 requests one stays unanswered: both it and its answer may be lost."""
    failing = 1 - (1 - loss) ** 2
    needed = math.ceil(math.log(1e-5, failing)) if failing else 1
    return min(max(needed, FEWEST_ATTEMPTS), 1000)


async def _watch(customer: Customer, deployment_id: UUID, count: int, console: Console) -> Progress:
    """Show the progress until the deployment has ended; what it was then."""
    columns = (TextColumn("{task.description:>17}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console) as shown:
        bars = {step: shown.add_task(text, total=count) for step, text in HEADINGS.items()}
        while True:
            progress = await customer.progress(deployment_id)
            for step, bar in bars.items():
                shown.update(bar, completed=sum(step in each for each in progress.devices.values()))
            if progress.ended:
                return progress
            await trio.sleep(POLL)


def _table(devices: Sequence[Device], image: bytes, progress: Progress) -> Table:
    """What the server says of each device, beside what the device holds."""
    table = Table()
    for heading in ("DevEUI", *HEADINGS.values(), "holds the image"):
        table.add_column(heading, no_wrap=heading == "DevEUI")
    for device in devices:
        made = progress.devices[device.dev_eui]
        times = [
            f"{(made[step] - progress.created_at).total_seconds():.1f} s" if step in made else "–"
            for step in HEADINGS
        ]
        table.add_row(str(device.dev_eui), *times, "yes" if device.image == image else "[red]no[/]")
    return table
