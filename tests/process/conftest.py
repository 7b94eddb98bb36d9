"""Fixtures for tests with other processes."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import pytest
import trio

from tests.process.cluster import Cluster, open_cluster

SCRIPT = Path(__file__).with_name("official_client.py")
PURE_PYTHON = os.environ | {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}


@attrs.frozen
class OfficialError(Exception):
    """The official client has raised."""

    code: str
    detail: str
    violations: Mapping[str, str]


@attrs.define
class OfficialClient:
    """ChirpStack's own Python client, in a process of its own."""

    _process: trio.Process
    _buffer: bytes = b""

    async def __call__(self, method: str, **request: Any) -> dict[str, Any]:
        """Call e.g. "CreateDeployment": protobuf's JSON in and out, so bytes are base64.

        Raises `OfficialError`.
        """
        assert self._process.stdin is not None
        call = json.dumps({"method": method, "request": request})
        await self._process.stdin.send_all(call.encode() + b"\n")
        answer = json.loads(await self._line())
        if "response" not in answer:
            raise OfficialError(**answer)
        response: dict[str, Any] = answer["response"]
        return response

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._buffer:
            received = await self._process.stdout.receive_some()
            assert received, "the official client has ended"
            self._buffer += received
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """A PostgreSQL of the test's own, which may be stopped, killed and started again."""
    async with open_cluster() as cluster:
        yield cluster


Official: TypeAlias = Callable[[str], AbstractAsyncContextManager[OfficialClient]]


@pytest.fixture
def official_client() -> Official:
    """`async with official_client("127.0.0.1:8070") as client: await client("GetDeploymentStatus", id=…)`"""

    @asynccontextmanager
    async def start(address: str) -> AsyncIterator[OfficialClient]:
        async with trio.open_nursery() as nursery:
            command = [sys.executable, SCRIPT, address]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            process = await nursery.start(partial(trio.run_process, command, env=PURE_PYTHON, **pipes))
            yield OfficialClient(process)
            await process.stdin.aclose()

    return start


@pytest.fixture(scope="session")
def official_descriptors() -> str:
    """The official .proto files' FileDescriptorSet, in base64."""
    run = subprocess.run(
        [sys.executable, SCRIPT, "--descriptors"], env=PURE_PYTHON, capture_output=True, text=True, check=True
    )
    return run.stdout
