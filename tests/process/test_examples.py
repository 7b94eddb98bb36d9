"""The examples of the documentation, as they are, are understood by a server."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
import trio

from fuota.simulation.behaviour import Behaviour
from tests.process.certificates import Authority
from tests.process.generations import FOUR, IMAGE, THREE, Generation
from tests.process.installation import Installation
from tests.process.live import chirpstack, quick, site

EXAMPLES = Path(__file__).parents[2] / "docs/examples"


@pytest.mark.parametrize(
    ("script", "generation", "more"),
    [
        ("create_deployment.py", THREE, []),
        ("create_deployment_grpclib.py", THREE, []),
        ("create_deployment_v4.py", FOUR, ["EU868"]),
        ("create_deployment_v4.py", FOUR, ["US915"]),
    ],
    ids=["v3, official client", "v3", "v4", "v4 elsewhere"],
)
async def test_an_example_creates_a_deployment(
    script: str, generation: Generation, more: list[str], tmp_path: Path, dsn: str
) -> None:
    devices = quick([Behaviour()] * 3)
    (tmp_path / "firmware.bin").write_bytes(IMAGE)
    lines = [f"{device.dev_eui},{device.mc_root_key.hex()}\n" for device in devices]
    (tmp_path / "devices.csv").write_text("".join(lines))
    async with chirpstack(devices, generation) as field:
        installation = Installation.make(tmp_path, field.tables(dsn))
        async with installation.serving() as server, field.posted_to(server):
            command = [sys.executable, str(EXAMPLES / script), server.api, generation.application_id, *more]
            process = await trio.lowlevel.open_process(
                [*command, "firmware.bin", "devices.csv"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=tmp_path,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
            assert process.stdout is not None
            said = b""
            async with process.stdout:
                try:
                    with trio.fail_after(20):
                        while b"of 3 devices have the whole image" not in said:
                            received = await process.stdout.receive_some()
                            assert received, said
                            said += received
                finally:
                    process.kill()
                    await process.wait()
            await field.until(lambda: any(len(group.members) == 3 for group in field.groups.values()))
    assert said.startswith(b"deployment ")


STUBS = pytest.mark.parametrize(
    ("script", "generation"),
    [("create_deployment_grpclib.py", THREE), ("create_deployment_v4.py", FOUR)],
    ids=["v3", "v4"],
)


@STUBS
async def test_an_example_says_why_a_deployment_was_given_up(
    script: str, generation: Generation, tmp_path: Path, dsn: str
) -> None:
    (tmp_path / "firmware.bin").write_bytes(IMAGE)
    [device] = quick([Behaviour()])
    (tmp_path / "devices.csv").write_text(f"{device.dev_eui},{device.mc_root_key.hex()}\n")
    elsewhere = {3: ["7"], 4: ["5f0c2b1e-0000-4000-8000-000000000007", "EU868"]}[generation.number]
    async with chirpstack([device], generation) as field:
        installation = Installation.make(tmp_path, field.tables(dsn))
        async with installation.serving() as server:
            command = [sys.executable, str(EXAMPLES / script), server.api, *elsewhere]
            with trio.fail_after(40):
                ended = await trio.run_process(
                    [*command, "firmware.bin", "devices.csv"],
                    cwd=tmp_path,
                    capture_stdout=True,
                    capture_stderr=True,
                    check=False,
                )
    assert ended.returncode == 1
    assert b"ENDED: 0 of 1 devices have the whole image" in ended.stdout
    assert ended.stderr.startswith(b"GROUP_REFUSED ")


@STUBS
async def test_an_example_watches_until_everything_was_sent(
    script: str, generation: Generation, tmp_path: Path, dsn: str
) -> None:
    devices = quick([Behaviour()])
    watch = f"""
import asyncio, sys
from {Path(script).stem} import Channel, DeploymentServiceStub, watch
async def main(host, port, deployment_id):
    async with Channel(host, int(port)) as channel:
        return await watch(DeploymentServiceStub(channel), deployment_id)
sys.exit(asyncio.run(main(*sys.argv[1:])))
"""
    async with (
        chirpstack(devices, generation) as field,
        site(Installation.make(tmp_path, field.tables(dsn)), field) as running,
    ):
        deployment_id = str(generation.uuid(await running.create(devices)))
        command = [sys.executable, "-c", watch, *running.server.api.split(":"), deployment_id]
        with trio.fail_after(40):
            ended = await trio.run_process(command, cwd=EXAMPLES, capture_stdout=True)
    assert ended.stdout.endswith(b"ENDED: 1 of 1 devices have the whole image \n")


@pytest.mark.parametrize("generation", [THREE, FOUR], ids=["v3", "v4"])
async def test_deployments_are_listed_shown_and_cancelled(
    generation: Generation, tmp_path: Path, dsn: str
) -> None:
    devices = quick([Behaviour(silent=True)] * 2)
    async with chirpstack(devices, generation) as field:
        installation = Installation.make(tmp_path, field.tables(dsn))
        async with site(installation, field) as running:
            api = running.server.api
            told = await running.create(devices, unicastTimeout="60s")
            deployment_id = str(generation.uuid(told))
            await field.until(lambda: any(len(group.members) == 2 for group in field.groups.values()))
            assert (await say(api)).startswith(f"{deployment_id}  20")
            assert "2 SETTING_UP_GROUP" in await say(api, deployment_id)
            await say(api, deployment_id, "cancel")
            await field.until(lambda: not field.groups)
            shown = await say(api, deployment_id)
            assert shown.startswith("ENDED CANCELLED since ")
            assert f"{devices[0].dev_eui}  ABANDONED: cancelled" in shown
            assert "ENDED CANCELLED" in await say(api)
            assert await running.server.stop() == 0


async def test_deployments_are_asked_for_over_tls(tmp_path: Path, dsn: str) -> None:
    authority = Authority(tmp_path, "authority")
    ca_cert, server, client = authority.own(), authority.issue("localhost"), authority.issue("client")
    api = {"tls_cert": str(server.cert), "tls_key": str(server.key), "ca_cert": str(ca_cert)}
    installation = Installation.make(tmp_path, {"postgresql": {"dsn": dsn}, "fuota_server.api": api})
    async with installation.serving() as running:
        ended = await trio.run_process(
            [
                *[sys.executable, str(EXAMPLES / "deployments.py"), running.api, str(UUID(int=1))],
                *["--ca", str(ca_cert), "--cert", str(client.cert), "--key", str(client.key)],
            ],
            capture_stderr=True,
            check=False,
        )
        assert ended.stderr.startswith(b"NOT_FOUND: ")
        assert await running.stop() == 0


async def say(*arguments: str) -> str:
    """What docs/examples/deployments.py prints."""
    command = [sys.executable, str(EXAMPLES / "deployments.py"), *arguments]
    ended = await trio.run_process(command, capture_stdout=True)
    return ended.stdout.decode()
