"""A server as an operator has it: `fuota serve` with a configuration file, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import attrs
import trio

from fuota.config.value import Bind

Tables = Mapping[str, Mapping[str, object]]

LOOPBACK = Bind("127.0.0.1", 0)
LOOK = 0.05
"""Seconds between two looks at what another process does."""


@attrs.define
class Installation:
    """What of a server lies on the disk: its configuration, its master key, what it has said."""

    folder: Path
    tables: dict[str, dict[str, object]]

    @classmethod
    def make(cls, folder: Path, tables: Tables) -> "Installation":
        """With ports of its own, and these tables beside or over the usual ones."""
        anywhere = {"bind": str(LOOPBACK)}
        four = any(name.startswith("chirpstack.") for name in tables)
        made: dict[str, dict[str, object]] = {
            "fuota_server.api": dict(anywhere),
            f"{'chirpstack' if four else 'application_server'}.event_handler.http": dict(anywhere),
            "debug": dict(anywhere),
        }
        for name, table in tables.items():
            made.setdefault(name, {}).update(table)
        return cls(folder, made)

    @property
    def stderr(self) -> str:
        """All that was ever logged."""
        return self._log.read_text() if self._log.exists() else ""

    def command(self) -> tuple[list[str], dict[str, str]]:
        """The command and its environment; the configuration file is written for it."""
        path = self.folder / "fuota.toml"
        path.write_text("\n".join(_lines(self.tables)))
        # tmp_path may lie too deep for a socket of the embedded PostgreSQL, but TMPDIR does not
        environ = {name: os.environ[name] for name in ("TMPDIR", "PYTHONPATH") if name in os.environ}
        environ |= {"PATH": os.defpath, "HOME": str(self.folder), "SSL_CERT_FILE": "/dev/null"}
        return [sys.executable, "-m", "fuota", "serve", "-c", str(path)], environ

    async def refused(self) -> tuple[int, str]:
        """Run a server that can not start: its exit code and its last words."""
        command, environ = self.command()
        with trio.fail_after(20):
            ended = await trio.run_process(
                command, env=environ, check=False, capture_stdout=True, capture_stderr=True
            )
        return ended.returncode, ended.stderr.decode()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[trio.Process]:
        """Run the server until the block ends; it is killed then if it still runs."""
        command, environ = self.command()
        with self._log.open("ab") as log:
            process = await trio.lowlevel.open_process(
                command, env=environ, stdout=subprocess.PIPE, stderr=log, cwd=self.folder
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
                assert process.stdout is not None
                await process.stdout.aclose()
            print(self.stderr)  # is shown with a test that fails

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Server"]:
        """The same, from when it listens."""
        async with self.running() as process:
            with trio.fail_after(60):
                api, integration, debug = await _three_lines(process)
            yield Server(process, api, integration, debug)

    @property
    def _log(self) -> Path:
        return self.folder / "stderr"


@attrs.define
class Server:
    """A process that listens."""

    process: trio.Process
    api: str
    """HOST:PORT."""
    integration: str
    """http://HOST:PORT/, as `debug`."""
    debug: str

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code, which it has to find within 10 s."""
        self.process.send_signal(number)
        with trio.fail_after(10):
            return await self.process.wait()

    async def look(self, path: str) -> Any:
        """What the debug endpoint has to say."""
        return (await self.says(path))[1]

    async def says(self, path: str) -> tuple[int, Any]:
        """The same, and its status."""

        def read() -> tuple[int, Any]:
            try:
                with urlopen(f"{self.debug}{path}", timeout=5) as answer:
                    return answer.status, json.load(answer)
            except HTTPError as refused:
                return refused.code, json.load(refused)

        return await trio.to_thread.run_sync(read)

    async def until_it_says(self, path: str, what: Callable[[Any], object], *, within: float = 30) -> None:
        """Wait for something to be so at the debug endpoint."""
        with trio.fail_after(within):
            while not what(await self.look(path)):  # noqa: ASYNC110  # it does not tell by itself
                await trio.sleep(LOOK)

    async def crashes(self) -> list[str]:
        """Actors that have crashed, or have begun anew for any other reason."""
        found, left = [], [await self.look("debug/actors?depth=8&limit=1000")]
        while left:
            actor = left.pop()
            left += actor["children"]
            if actor["crashes"] or actor["last_error"] or actor["incarnations"] != 1:
                found.append(actor["path"])
        return found


def _lines(tables: Tables) -> Iterator[str]:
    for name, table in tables.items():
        yield f"[{name}]"
        yield from (f"{key} = {json.dumps(value)}" for key, value in table.items())


async def _three_lines(process: trio.Process) -> list[str]:
    """The addresses that the server prints once it listens."""
    assert process.stdout is not None
    printed = b""
    while printed.count(b"\n") < 3:
        received = await process.stdout.receive_some()
        assert received, "the server has ended"
        printed += received
    starts = ("gRPC API listening on ", "ChirpStack events listening on ", "debug endpoint listening on ")
    return [
        line.removeprefix(start) for line, start in zip(printed.decode().splitlines(), starts, strict=True)
    ]
