"""Clients of the gRPC API: ChirpStack's own for v3, in a process of its own, and our stubs for v4."""

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
import trio
from google.protobuf.json_format import MessageToDict, ParseDict

from fuota.config.value import Bind
from fuota.generated.chirpstack4 import fuota_pb2 as pb
from fuota.generated.chirpstack4.fuota_grpc import FuotaServerServiceStub
from fuota.rpc.client import call, connect
from fuota.rpc.errors import RpcError

SCRIPT = Path(__file__).with_name("official_client.py")
PURE_PYTHON = os.environ | {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}

Client: TypeAlias = Callable[[str], AbstractAsyncContextManager[Any]]
"""`async with client("127.0.0.1:8070") as ask: await ask("GetDeploymentStatus", id=…)`"""


@attrs.frozen
class CallFailed(Exception):
    """A client has raised."""

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

        Raises `CallFailed`.
        """
        assert self._process.stdin is not None
        asked = json.dumps({"method": method, "request": request})
        await self._process.stdin.send_all(asked.encode() + b"\n")
        answer = json.loads(await self._line())
        if "response" not in answer:
            raise CallFailed(**answer)
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


@asynccontextmanager
async def official(address: str) -> AsyncIterator[OfficialClient]:
    async with trio.open_nursery() as nursery:
        command = [sys.executable, SCRIPT, address]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = await nursery.start(partial(trio.run_process, command, env=PURE_PYTHON, **pipes))
        yield OfficialClient(process)
        await process.stdin.aclose()


@asynccontextmanager
async def stubs(address: str) -> AsyncIterator[Callable[..., Any]]:
    """The same for v4, inside `bridge.open_loop`."""
    async with connect(Bind.parse(address)) as channel:
        stub = FuotaServerServiceStub(channel)

        async def ask(method: str, **request: Any) -> dict[str, Any]:
            message = ParseDict(request, getattr(pb, f"{method}Request")())
            try:
                answer = await call(getattr(stub, method), message, timeout=30)
            except RpcError as error:
                raise CallFailed(error.status.name, error.detail, {}) from error
            made: dict[str, Any] = MessageToDict(answer)
            return made

        yield ask
