"""A deployment with 100 000 devices, in PostgreSQL: memory, seconds, and the longest stall of the event loop.

    python bench/memory.py [--quick]

It is ordered through the gRPC API by another process. The network takes every call at once and no device
answers, so that each of them ends up waiting for the answer to McGroupSetupReq, with everything a waiting
device has: an actor, an alarm, a place in the registry. With --quick there are 10 000 devices.
"""

import gc
import sys
from functools import partial
from time import perf_counter
from uuid import UUID

import trio

from bench import kit
from bench.ordering import dev_euis, order, request
from fuota import bridge
from fuota.api.errors import answer
from fuota.api.service3 import FuotaServerService
from fuota.config.value import Bind
from fuota.generated.chirpstack3 import fuota_pb2 as pb
from fuota.generated.chirpstack3.fuota_grpc import FUOTAServerServiceStub
from fuota.rpc.client import call, connect
from fuota.rpc.server import serve as serve_grpc

PATIENCE = 100.0
"""Seconds for one call, or until all devices wait."""


async def client(address: str, method: str, argument: str) -> None:
    """Runs in a process of its own, and prints the id and the seconds; size and seconds."""
    async with bridge.open_loop(), connect(Bind.parse(address)) as channel:
        stub = FUOTAServerServiceStub(channel)
        if method == "create":
            asked = request(order(dev_euis(int(argument))))
            begin = perf_counter()
            created = await call(stub.CreateDeployment, asked, timeout=PATIENCE)
            print(UUID(bytes=created.id), perf_counter() - begin, asked.ByteSize())
        else:
            wanted = pb.GetDeploymentStatusRequest(id=UUID(argument).bytes)
            begin = perf_counter()
            status = await call(stub.GetDeploymentStatus, wanted, timeout=PATIENCE)
            assert status.device_status
            print(perf_counter() - begin, status.ByteSize())


async def asked(*arguments: str) -> list[str]:
    """What `client` prints in its process."""
    command = [sys.executable, __file__, "--client", *arguments]
    return (await trio.run_process(command, capture_stdout=True)).stdout.decode().split()


async def main(devices: int) -> None:
    kit.prepare()
    async with (
        kit.postgres() as journal,
        bridge.open_loop(),
        kit.serving(journal, kit.Accepting()) as server,
        trio.open_nursery() as nursery,
    ):
        services = [FuotaServerService(server.orders, journal)]
        address: str = await nursery.start(partial(serve_grpc, services, Bind("127.0.0.1", 0), answer=answer))
        gc.collect()
        before = kit.resident()
        async with kit.watched() as creation:
            deployment_id, create, ordered = await asked(address, "create", str(devices))
        alarms = server.services.alarms
        async with kit.watched() as joining:
            with trio.fail_after(PATIENCE):
                await kit.until(lambda: alarms.pending == devices)
        gc.collect()
        after = kit.resident()
        async with kit.watched() as answering:
            status, told = await asked(address, "status", deployment_id)
        begin = perf_counter()
        server.tree.snapshot(limit=500)
        snapshot = perf_counter() - begin
        nursery.cancel_scope.cancel()
    kit.show(
        f"{devices} devices in one deployment, PostgreSQL",
        [
            ("memory for each device", f"{(after - before) / devices:.0f} B"),
            ("CreateDeployment, until it exists", f"{float(create):.2f} s"),
            ("  the request", f"{int(ordered) / 2**20:.1f} MiB of the 16 allowed"),
            ("  longest stall of the event loop", f"{1000 * creation.stall:.0f} ms"),
            ("until all have joined and are asked", f"{joining.seconds:.1f} s more"),
            ("  longest stall", f"{1000 * joining.stall:.0f} ms"),
            ("GetDeploymentStatus", f"{float(status):.2f} s"),
            ("  the response", f"{int(told) / 2**20:.1f} MiB"),
            ("  longest stall", f"{1000 * answering.stall:.0f} ms"),
            ("snapshot of the tree, for the debug endpoint", f"{1000 * snapshot:.1f} ms"),
        ],
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        trio.run(client, sys.argv[2], sys.argv[3], sys.argv[4])
    else:
        trio.run(main, 10_000 if "--quick" in sys.argv else 100_000)
