"""ChirpStack 4's own Python package between it and the server; what only its clients may get wrong."""

import base64
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
import trio
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from fuota.bridge import open_loop
from fuota.generated.chirpstack4 import (
    common_pb2,
    device_pb2,
    device_profile_pb2,
    gw_pb2,
    integration_pb2,
    multicast_group_pb2,
)
from fuota.simulation.behaviour import Behaviour
from tests.process.clients import CallFailed
from tests.process.generations import FOUR
from tests.process.live import Installation, chirpstack, complete, hold_the_image, quick, site
from tests.process.test_official_client import declared

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


async def test_the_official_package_understands_every_call(tmp_path: Path, dsn: str) -> None:
    devices = quick([Behaviour()] * 5)
    async with chirpstack(devices, FOUR) as field, official(field.address) as address:
        tables = field.tables(dsn)
        tables[FOUR.api]["server"] = address
        installation = Installation.make(tmp_path, tables)
        async with site(installation, field, marshaler="json") as running:
            status = await running.end(await running.create(devices))
            await field.until(lambda: not field.groups)
            assert await running.server.crashes() == []
            assert await running.server.stop() == 0
    assert len(complete(status)) == 5
    assert hold_the_image(devices)


async def test_bad_requests_are_named_field_by_field(tmp_path: Path, dsn: str) -> None:
    tables = {"postgresql": {"dsn": dsn}, FOUR.api: {"server": "127.0.0.1:1"}}
    async with open_loop(), Installation.make(tmp_path, tables).serving() as server:
        async with FOUR.client(server.api) as ask:
            with pytest.raises(CallFailed) as refused:
                await ask("CreateDeployment", deployment={"applicationId": "7"})
            assert refused.value.code == "INVALID_ARGUMENT"
            for field in ("application_id", "devices", "payload", "unicast_timeout"):
                assert field in refused.value.detail
            with pytest.raises(CallFailed) as refused:
                await ask("GetDeploymentStatus", id="x")
            assert refused.value.code == "INVALID_ARGUMENT"
            assert "it must be a UUID" in refused.value.detail
            with pytest.raises(CallFailed) as refused:
                await ask("GetDeploymentStatus", id=str(UUID(int=1)))
            assert refused.value.code == "NOT_FOUND"
        assert await server.stop() == 0


def declarations() -> str:
    """The official .proto files' FileDescriptorSet, in base64."""
    script = (
        "import sys, base64; sys.path.insert(0, sys.argv[1])\n"
        "from google.protobuf.descriptor_pb2 import FileDescriptorSet\n"
        "from chirpstack_api.api import device_pb2, device_profile_pb2, multicast_group_pb2\n"
        "from chirpstack_api.common import common_pb2\n"
        "from chirpstack_api.gw import gw_pb2\n"
        "from chirpstack_api.integration import integration_pb2\n"
        "files = FileDescriptorSet()\n"
        "for module in (\n"
        "    device_pb2, device_profile_pb2, multicast_group_pb2, common_pb2, gw_pb2, integration_pb2\n"
        "):\n"
        "    module.DESCRIPTOR.CopyToProto(files.file.add())\n"
        "print(base64.b64encode(files.SerializeToString()).decode())"
    )
    command = [sys.executable, "-c", script, str(PACKAGE)]
    printed: str = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return printed


def test_what_we_declare_is_declared_officially() -> None:
    official = FileDescriptorSet.FromString(base64.b64decode(declarations()))
    theirs, ours = {each for file in official.file for each in declared(file)}, set()
    for module in (device_pb2, device_profile_pb2, multicast_group_pb2, common_pb2, gw_pb2, integration_pb2):
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        ours |= declared(file)
    [former] = ours - theirs
    assert former[:4] == ("api", "MulticastGroup", 12, "class_b_ping_slot_period")  # before 4.13
