"""`fuota demo`: everything on one machine, and a look at what each device holds in the end."""

import math
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Literal
from uuid import UUID

import attrs
import trio
from grpclib.client import Channel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from fuota import bridge, log
from fuota.clock import SystemClock
from fuota.config import (
    ApplicationServer,
    Bind,
    ChirpStackApi,
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
from fuota.generated.chirpstack3 import fuota_pb2 as pb
from fuota.generated.chirpstack3.fuota_grpc import FUOTAServerServiceStub
from fuota.rpc.client import call, connect
from fuota.server import Addresses, serve
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.chirpstack3 import serve_api
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

Step = Literal[
    "mc_group_setup_completed_at",
    "frag_session_setup_completed_at",
    "mc_session_completed_at",
    "frag_status_completed_at",
]
STEPS: dict[Step, str] = {
    "mc_group_setup_completed_at": "has the group",
    "frag_session_setup_completed_at": "expects fragments",
    "mc_session_completed_at": "knows the start",
    "frag_status_completed_at": "says: complete",
}


def run(*, devices: int, loss: float, size: int, device_class: str, keep: bool) -> int:
    """Run the demonstration; 0 if every device holds the image byte for byte."""
    log.set_up(General(log_level=2))
    return trio.run(_main, devices, loss, size, device_class, keep)


async def _main(count: int, loss: float, size: int, device_class: str, keep: bool) -> int:
    console = Console()
    image = Random(size).randbytes(size)
    devices = fleet(count, behaviour=lambda _: Behaviour(answer_delay=timedelta(milliseconds=50)))
    world = World(devices, clock=SystemClock(), radio=attrs.evolve(QUICK, loss=loss))
    async with _everything(world) as (addresses, channel):
        console.print(
            f"{count} simulated class {device_class} devices, {size} octets, {loss:.0%} of frames lost"
        )
        stub = FUOTAServerServiceStub(channel)
        deployment = _deployment(devices, image, loss, device_class)
        response = await call(
            stub.CreateDeployment, pb.CreateDeploymentRequest(deployment=deployment), timeout=10
        )
        deployment_id = UUID(bytes=response.id)
        console.print(f"deployment {deployment_id}")
        status = await _watch(stub, deployment_id, count, console)
        console.print(_table(devices, image, status))
        holding = sum(device.image == image for device in devices)
        console.print(f"[bold]{holding} of {count} devices hold the image byte for byte[/]")
        console.print(f"debug endpoint: http://{addresses.debug}/")
        if keep:
            console.print("still running; Ctrl-C ends it")
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                await anext(signals)
        return 0 if holding == count else 1


@asynccontextmanager
async def _everything(world: World) -> AsyncIterator[tuple[Addresses, Channel]]:
    """The simulated network, the server with a database of its own, and a client of its API."""
    with tempfile.TemporaryDirectory(prefix="fuota-demo-") as folder:
        async with bridge.open_loop(), trio.open_nursery() as nursery:
            conditions = ApiConditions(clock=world.clock)
            api = partial(serve_api, world, LOOPBACK, token=TOKEN, conditions=conditions)
            chirpstack: str = await nursery.start(api)
            settings = _settings(Path(folder), Bind.parse(chirpstack))
            addresses: Addresses = await nursery.start(serve, settings)
            async with (
                open_webhook(f"http://{addresses.integration}/") as webhook,
                connect(Bind.parse(addresses.api)) as channel,
            ):
                nursery.start_soon(world.run, webhook.deliver)
                yield addresses, channel
                nursery.cancel_scope.cancel()


def _settings(folder: Path, chirpstack: Bind) -> Settings:
    return Settings(
        postgresql=PostgreSQL(data_dir=folder / "postgresql"),
        application_server=ApplicationServer(
            event_handler=EventHandler(http=EventHandlerHttp(bind=LOOPBACK)),
            api=ChirpStackApi(server=chirpstack, token=TOKEN),
        ),
        fuota_server=FuotaServer(api=FuotaServerApi(bind=LOOPBACK)),
        debug=Debug(bind=LOOPBACK),
        secrets=Secrets(key_file=folder / "master.key"),
    )


def _deployment(devices: Sequence[Device], image: bytes, loss: float, device_class: str) -> pb.Deployment:
    nb_frag = math.ceil(len(image) / FRAG_SIZE)
    # what is lost, of these and of the coded ones, and some more for the device with the worst luck
    redundancy = math.ceil((loss * nb_frag + 4 * math.sqrt(nb_frag) + 12) / (1 - loss))
    on_air = (nb_frag + redundancy) * 0.4
    in_b = device_class.upper() == "B"
    return pb.Deployment(
        application_id=1,
        devices=[
            pb.DeploymentDevice(dev_eui=each.dev_eui.octets, mc_root_key=each.mc_root_key) for each in devices
        ],
        multicast_group_type=pb.CLASS_B if in_b else pb.CLASS_C,
        multicast_dr=5,
        multicast_frequency=869_525_000,
        multicast_ping_slot_period=32 if in_b else 0,
        multicast_timeout=math.ceil(math.log2((nb_frag + redundancy) / 100 + 1 if in_b else on_air)),
        unicast_timeout=UNICAST_TIMEOUT,
        unicast_attempt_count=_attempts(loss),
        fragmentation_fragment_size=FRAG_SIZE,
        payload=image,
        fragmentation_redundancy=redundancy,
        request_fragmentation_session_status=pb.AFTER_FRAGMENT_ENQUEUE,
    )


def _attempts(loss: float) -> int:
    """So many that of 100 000 requests one stays unanswered: both it and its answer may be lost."""
    failing = 1 - (1 - loss) ** 2
    needed = math.ceil(math.log(1e-5, failing)) if failing else 1
    return min(max(needed, FEWEST_ATTEMPTS), 1000)


async def _watch(
    stub: FUOTAServerServiceStub, deployment_id: UUID, count: int, console: Console
) -> pb.GetDeploymentStatusResponse:
    """Show the progress until the deployment has ended; its last status."""
    columns = (TextColumn("{task.description:>17}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    request = pb.GetDeploymentStatusRequest(id=deployment_id.bytes)
    with Progress(*columns, console=console) as progress:
        bars = {step: progress.add_task(text, total=count) for step, text in STEPS.items()}
        while True:
            status = await call(stub.GetDeploymentStatus, request, timeout=10)
            for step, bar in bars.items():
                progress.update(bar, completed=sum(each.HasField(step) for each in status.device_status))
            if status.HasField("frag_status_completed_at"):
                return status
            await trio.sleep(POLL)


def _table(devices: Sequence[Device], image: bytes, status: pb.GetDeploymentStatusResponse) -> Table:
    """What the server says of each device, beside what the device holds."""
    table = Table()
    for heading in ("DevEUI", *STEPS.values(), "holds the image"):
        table.add_column(heading, no_wrap=heading == "DevEUI")
    said = {each.dev_eui: each for each in status.device_status}
    began = status.created_at.ToDatetime()
    for device in devices:
        row = said[device.dev_eui.octets]
        times = [
            f"{(getattr(row, step).ToDatetime() - began).total_seconds():.1f} s"
            if row.HasField(step)
            else "–"
            for step in STEPS
        ]
        table.add_row(str(device.dev_eui), *times, "yes" if device.image == image else "[red]no[/]")
    return table
