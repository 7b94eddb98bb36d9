"""Whole deployments beside ChirpStack 4, also with its own Python package between it and the server."""

import base64
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
import trio
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpclib.const import Status

from fuota.bridge import open_loop
from fuota.clock import SystemClock
from fuota.config import Bind
from fuota.customer import Customer4
from fuota.generated.chirpstack4 import common_pb2, device_pb2, gw_pb2, integration_pb2, multicast_group_pb2
from fuota.generated.chirpstack4 import fuota_pb2 as pb
from fuota.generated.chirpstack4.fuota_grpc import FuotaServerServiceStub
from fuota.rpc.client import call, connect
from fuota.rpc.errors import RpcError
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.chirpstack4 import serve_api
from fuota.simulation.conditions import ApiConditions
from fuota.simulation.device import Device
from fuota.simulation.webhook import Marshaler, open_webhook
from fuota.simulation.world import World
from tests.process.live import API_TOKEN, EVENT_TOKEN, IMAGE, LOOPBACK, QUICK, Installation, Server, quick
from tests.process.test_official_client import declared

Way = Callable[[str], AbstractAsyncContextManager[str]]

PACKAGE = Path(sys.prefix) / "chirpstack4"
OFFICIAL = Path(__file__).with_name("official_chirpstack4.py")


@asynccontextmanager
async def official(address: str) -> AsyncIterator[str]:
    """The address of the official servicers, which pass everything on to the simulated ChirpStack."""
    command = [sys.executable, str(OFFICIAL), str(PACKAGE), address]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    async with process.stdout:
        try:
            yield (await process.stdout.receive_some()).decode().strip()
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


@asynccontextmanager
async def directly(address: str) -> AsyncIterator[str]:
    yield address


def installation(folder: Path, dsn: str, address: str) -> Installation:
    made = Installation.make(
        folder,
        {
            "postgresql": {"dsn": dsn},
            "chirpstack.api": {"server": address, "token": API_TOKEN},
            "chirpstack.event_handler.http": {"bind": str(LOOPBACK), "token": EVENT_TOKEN},
        },
    )
    del made.tables["application_server.event_handler.http"]
    return made


async def end_of(customer: Customer4, deployment_id: UUID) -> None:
    with trio.fail_after(60):
        while not (await customer.progress(deployment_id)).ended:  # noqa: ASYNC110  # nobody is told
            await trio.sleep(0.1)


@asynccontextmanager
async def beside(
    world: World, server: Server, marshaler: Marshaler, times: int = 1
) -> AsyncIterator[Customer4]:
    """ChirpStack's events, each so many times at once, and a client of the API."""
    webhook = open_webhook(
        server.integration,
        generation=4,
        application_id=Customer4.application_id,
        marshaler=marshaler,
        token=EVENT_TOKEN,
    )
    async with webhook as posted, connect(Bind.parse(server.api)) as channel, trio.open_nursery() as nursery:

        async def deliver(uplink: object) -> None:
            async with trio.open_nursery() as all_at_once:
                for _ in range(times):
                    all_at_once.start_soon(posted.deliver, uplink)  # type: ignore[arg-type]

        nursery.start_soon(world.run, deliver)
        yield Customer4(channel)
        nursery.cancel_scope.cancel()


def order(devices: list[Device]) -> dict[str, object]:
    return {
        "multicast_dr": 5,
        "multicast_frequency": 869_525_000,
        "multicast_timeout": 3,
        "unicast_timeout": timedelta(seconds=0.5),
        "unicast_attempt_count": 8,
        "fragmentation_fragment_size": 50,
        "payload": IMAGE,
        "fragmentation_redundancy": 15,
    }


@pytest.mark.parametrize(
    ("marshaler", "way", "times", "in_b"),
    [("protobuf", directly, 1, False), ("json", directly, 3, False), ("json", official, 1, False)],
    ids=["protobuf", "json, each event three times", "json, official package"],
)
async def test_from_the_order_to_the_image(
    marshaler: Marshaler, way: Way, times: int, in_b: bool, tmp_path: Path, dsn: str
) -> None:
    devices = quick([Behaviour()] * 5)
    world = World(devices, clock=SystemClock(), radio=QUICK, application_id=Customer4.application_id)
    async with open_loop(), trio.open_nursery() as nursery:
        api = partial(
            serve_api, world, LOOPBACK, token=API_TOKEN, conditions=ApiConditions(clock=world.clock)
        )
        async with way(await nursery.start(api)) as address:
            made = installation(tmp_path, dsn, address)
            async with made.serving() as server, beside(world, server, marshaler, times) as customer:
                deployment_id = await customer.create(devices, in_b, **order(devices))
                await end_of(customer, deployment_id)
                progress = await customer.progress(deployment_id)
                assert await server.crashes() == []
                assert await server.stop() == 0
        nursery.cancel_scope.cancel()
    assert {device.image for device in devices} == {IMAGE}
    assert {dev_eui for dev_eui, steps in progress.devices.items() if len(steps) == 4} == set(world.stations)
    assert not world.chirpstack.groups
    assert "Traceback" not in made.stderr


async def test_it_is_killed_and_goes_on(tmp_path: Path, dsn: str) -> None:
    devices = quick([Behaviour()] * 5)
    world = World(devices, clock=SystemClock(), radio=QUICK, application_id=Customer4.application_id)
    conditions = ApiConditions(clock=world.clock, latency=0.05)
    async with open_loop(), trio.open_nursery() as nursery:
        api = partial(serve_api, world, LOOPBACK, token=API_TOKEN, conditions=conditions)
        made = installation(tmp_path, dsn, await nursery.start(api))
        async with made.serving() as server, beside(world, server, "protobuf") as customer:
            deployment_id = await customer.create(devices, False, **order(devices) | {"multicast_timeout": 4})
            groups = world.chirpstack.groups
            with trio.fail_after(60):
                while not any(group.queue.next_f_cnt >= 5 for group in groups.values()):  # noqa: ASYNC110
                    await trio.sleep(0.01)
            assert await server.stop(signal.SIGKILL) == -signal.SIGKILL
        async with made.serving() as server, beside(world, server, "protobuf") as customer:
            await end_of(customer, deployment_id)
            assert await server.stop() == 0
        nursery.cancel_scope.cancel()
    assert {device.image for device in devices} == {IMAGE}
    assert not world.chirpstack.groups


async def test_bad_requests_are_named_field_by_field(tmp_path: Path, dsn: str) -> None:
    async with open_loop():
        made = installation(tmp_path, dsn, "127.0.0.1:1")
        async with made.serving() as server, connect(Bind.parse(server.api)) as channel:
            stub = FuotaServerServiceStub(channel)
            request = pb.CreateDeploymentRequest(deployment=pb.Deployment(application_id="7"))
            with pytest.raises(RpcError) as refused:
                await call(stub.CreateDeployment, request, timeout=10)
            assert refused.value.status is Status.INVALID_ARGUMENT
            for field in ("application_id", "devices", "payload", "unicast_timeout"):
                assert field in refused.value.detail
            with pytest.raises(RpcError, match="it must be a UUID") as refused:
                await call(stub.GetDeploymentStatus, pb.GetDeploymentStatusRequest(id="x"), timeout=10)
            assert refused.value.status is Status.INVALID_ARGUMENT
            with pytest.raises(RpcError, match="no deployment") as refused:
                await call(
                    stub.GetDeploymentStatus, pb.GetDeploymentStatusRequest(id=str(UUID(int=1))), timeout=10
                )
            assert refused.value.status is Status.NOT_FOUND
            assert await server.stop() == 0


def declarations() -> str:
    """The official .proto files' FileDescriptorSet, in base64."""
    script = (
        "import sys, base64; sys.path.insert(0, sys.argv[1])\n"
        "from google.protobuf.descriptor_pb2 import FileDescriptorSet\n"
        "from chirpstack_api.api import device_pb2, multicast_group_pb2\n"
        "from chirpstack_api.common import common_pb2\n"
        "from chirpstack_api.gw import gw_pb2\n"
        "from chirpstack_api.integration import integration_pb2\n"
        "files = FileDescriptorSet()\n"
        "for module in (device_pb2, multicast_group_pb2, common_pb2, gw_pb2, integration_pb2):\n"
        "    module.DESCRIPTOR.CopyToProto(files.file.add())\n"
        "print(base64.b64encode(files.SerializeToString()).decode())"
    )
    command = [sys.executable, "-c", script, str(PACKAGE)]
    printed: str = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return printed


def test_what_we_declare_is_declared_officially() -> None:
    official = FileDescriptorSet.FromString(base64.b64decode(declarations()))
    theirs = {each for file in official.file for each in declared(file)}
    for module in (device_pb2, multicast_group_pb2, common_pb2, gw_pb2, integration_pb2):
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        assert declared(file) - theirs == set()
