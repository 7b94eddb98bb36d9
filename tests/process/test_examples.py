"""The examples of the documentation, as they are, are understood by a server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from fuota.simulation.behaviour import Behaviour
from tests.process.generations import FOUR, IMAGE, THREE, Generation
from tests.process.installation import Installation
from tests.process.live import chirpstack, quick

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
