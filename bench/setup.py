"""The set-up phase for 1000 devices, with a ChirpStack that takes 5 ms for each call.

    python bench/setup.py [--quick]

Another process is the ChirpStack, over real sockets; its devices answer a downlink at once, each with an
uplink that it posts. Timed is a deployment from its creation until all devices have agreed to the session:
group, fragmentation session and session request, 4002 calls and 3000 uplinks, all written to PostgreSQL.
Beside it, in the same run, the same calls made one after the other by a client that waits for no device and
writes nothing. With --quick there are 200 devices.
"""

import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import perf_counter

import trio

from bench import kit, prompt
from bench.ordering import dev_euis, order, request
from fuota import bridge
from fuota.children import Addresses
from fuota.config.settings import (
    ApplicationServer,
    ChirpStackApi,
    Debug,
    EventHandler,
    EventHandlerHttp,
    FuotaServer,
    FuotaServerApi,
    PostgreSQL,
    Secrets,
    Settings,
)
from fuota.config.value import Bind
from fuota.deployment.plan import MulticastClass
from fuota.generated.chirpstack3 import fuota_pb2 as pb
from fuota.generated.chirpstack3.fuota_grpc import FUOTAServerServiceStub
from fuota.health import Health
from fuota.network.application_server import connected
from fuota.network.port import Group, KnownGroup
from fuota.rpc.client import call, connect
from fuota.server import serve

LOOPBACK = Bind("127.0.0.1", 0)


@asynccontextmanager
async def another(devices: int) -> AsyncIterator[tuple[Bind, trio.Process]]:
    """A ChirpStack with that many devices."""
    command = [sys.executable, prompt.__file__, str(devices)]
    async with trio.open_nursery() as nursery:
        start = partial(trio.run_process, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process: trio.Process = await nursery.start(start)
        assert process.stdout is not None
        address = (await process.stdout.receive_some()).decode().strip()
        yield Bind.parse(address), process
        nursery.cancel_scope.cancel()


async def sequentially(devices: int) -> float:
    """Seconds."""
    asked = order(dev_euis(1))
    payloads = [(200, bytes(30)), (201, bytes(11)), (200, bytes(10))]
    async with another(devices) as (server, _):
        settings = ChirpStackApi(server=server, token=prompt.TOKEN)
        group = Group(
            name="one by one",
            application_id=asked.application_id,
            mc_class=MulticastClass.C,
            mc_addr=0,
            mc_nwk_s_key=bytes(16),
            mc_app_s_key=bytes(16),
            frequency=asked.multicast_frequency,
            dr=asked.multicast_dr,
            periodicity=0,
        )
        async with connected(settings, Health()) as network:
            begin = perf_counter()
            group_id = await network.ensure_group(group)
            known = KnownGroup(group_id, group.name, group.application_id)
            for dev_eui in dev_euis(devices):
                await network.add_device(known, dev_eui)
            for f_port, data in payloads:
                for dev_eui in dev_euis(devices):
                    await network.downlink(dev_eui, f_port, data, unless_pending=False)
            return perf_counter() - begin


async def deployed(devices: int, folder: Path) -> float:
    """Seconds from the creation of a deployment to the agreement of its last device."""
    async with another(devices) as (server, process), trio.open_nursery() as nursery:
        settings = Settings(
            postgresql=PostgreSQL(data_dir=folder / "postgresql"),
            application_server=ApplicationServer(
                event_handler=EventHandler(http=EventHandlerHttp(bind=LOOPBACK)),
                api=ChirpStackApi(server=server, token=prompt.TOKEN),
            ),
            fuota_server=FuotaServer(api=FuotaServerApi(bind=LOOPBACK)),
            debug=Debug(bind=LOOPBACK),
            secrets=Secrets(key_file=folder / "master.key"),
        )
        addresses: Addresses = await nursery.start(serve, settings)
        assert process.stdin is not None
        await process.stdin.send_all(addresses.integration.encode() + b"\n")
        async with connect(Bind.parse(addresses.api)) as channel:
            stub = FUOTAServerServiceStub(channel)
            asked = request(order(dev_euis(devices)))
            created = await call(stub.CreateDeployment, asked, timeout=10)
            wanted = pb.GetDeploymentStatusRequest(id=created.id)
            while True:
                status = await call(stub.GetDeploymentStatus, wanted, timeout=10)
                if status.HasField("mc_session_completed_at"):
                    break
                await trio.sleep(1)
        nursery.cancel_scope.cancel()
    agreed = sum(device.HasField("mc_session_completed_at") for device in status.device_status)
    if agreed != devices:
        raise AssertionError(f"{agreed} of {devices} devices have agreed to the session")
    ended, began = status.mc_session_completed_at, status.created_at
    return (ended.ToDatetime() - began.ToDatetime()).total_seconds()


async def main(devices: int) -> None:
    kit.prepare()
    async with bridge.open_loop():
        one_by_one = await sequentially(devices)
        with tempfile.TemporaryDirectory() as folder:
            ours = await deployed(devices, Path(folder))
    kit.show(
        f"set-up of {devices} devices, {1000 * prompt.LATENCY:.0f} ms for each call",
        [
            ("the calls, one after the other", f"{one_by_one:.1f} s"),
            ("the whole set-up phase", f"{ours:.1f} s"),
            ("ratio", f"{one_by_one / ours:.1f}"),
        ],
    )


if __name__ == "__main__":
    trio.run(main, 200 if "--quick" in sys.argv else 1000)
