"""A server as an operator has it: `fuota serve` with a configuration file, beside a simulated ChirpStack.

Server, ChirpStack and client speak over real sockets; the ChirpStack lives in the test's own process.
"""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import attrs
import trio

from fuota.bridge import open_loop
from fuota.clock import SystemClock
from fuota.config import Bind
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.chirpstack import Group
from fuota.simulation.chirpstack3 import serve_api
from fuota.simulation.conditions import ApiConditions
from fuota.simulation.device import Device
from fuota.simulation.fleet import fleet
from fuota.simulation.radio import Radio
from fuota.simulation.webhook import Marshaler, Webhook, open_webhook
from fuota.simulation.world import World
from fuota.uplink import Uplink

Tables = Mapping[str, Mapping[str, object]]

API_TOKEN = "the token of ChirpStack's API"
EVENT_TOKEN = "the token of the integration"
IMAGE = Random(0).randbytes(990)
LOOPBACK = Bind("127.0.0.1", 0)
LOOK = 0.05
"""Seconds between two looks at what another process does."""

QUICK = Radio(
    uplink_interval=timedelta(seconds=0.2),
    rx_delay=timedelta(milliseconds=20),
    latency=timedelta(milliseconds=5),
    fragment_interval=timedelta(milliseconds=20),
)


def quick(behaviours: Iterable[Behaviour]) -> list[Device]:
    """A device for each, none of which takes long to answer."""
    made = [attrs.evolve(each, answer_delay=timedelta(milliseconds=50)) for each in behaviours]
    return fleet(len(made), behaviour=lambda number: made[number])


def deployment(devices: Sequence[Device], **changes: object) -> dict[str, object]:
    """20 uncoded and 15 coded fragments in a class C window of 8 s, as protobuf's JSON."""
    return {
        "applicationId": "1",
        "devices": [
            {"devEui": in_base64(device.dev_eui.octets), "mcRootKey": in_base64(device.mc_root_key)}
            for device in devices
        ],
        "multicastGroupType": "CLASS_C",
        "multicastDr": 5,
        "multicastFrequency": 869_525_000,
        "multicastTimeout": 3,
        "unicastTimeout": "0.5s",
        "unicastAttemptCount": 4,
        "fragmentationFragmentSize": 50,
        "payload": in_base64(IMAGE),
        "fragmentationRedundancy": 15,
        "requestFragmentationSessionStatus": "AFTER_FRAGMENT_ENQUEUE",
        **changes,
    }


def in_base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


# -- the server ----------------------------------------------------------------------------------------


@attrs.define
class Installation:
    """What of a server lies on the disk: its configuration, its master key, what it has said."""

    folder: Path
    tables: dict[str, dict[str, object]]

    @classmethod
    def make(cls, folder: Path, tables: Tables) -> "Installation":
        """With ports of its own, and these tables beside or over the usual ones."""
        anywhere = {"bind": str(LOOPBACK)}
        made: dict[str, dict[str, object]] = {
            "fuota_server.api": dict(anywhere),
            "application_server.event_handler.http": dict(anywhere),
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

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Server"]:
        """The same, from when it listens."""
        async with self.running() as process:
            with trio.fail_after(20):
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


# -- ChirpStack ----------------------------------------------------------------------------------------


class Groups(dict[str, Group]):
    """ChirpStack's groups, which remember those that were deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.ever: list[str] = []

    def __setitem__(self, group_id: str, group: Group) -> None:
        super().__setitem__(group_id, group)
        self.ever.append(group.settings.name)


@attrs.define
class Field:
    """A simulated ChirpStack, and its devices."""

    world: World
    conditions: ApiConditions
    address: str
    """Of its API."""
    deliver: Callable[[Uplink], Awaitable[None]] | None = None
    """Where uplinks go while a server runs; without one they are lost."""
    groups: Groups = attrs.field(factory=Groups)

    async def post(self, uplink: Uplink) -> None:
        if self.deliver is not None:
            await self.deliver(uplink)

    def tables(self, dsn: str) -> dict[str, dict[str, object]]:
        """What a server beside it has to be told."""
        return {
            "postgresql": {"dsn": dsn},
            "application_server.api": {"server": self.address, "token": API_TOKEN},
            "application_server.event_handler.http": {"token": EVENT_TOKEN},
        }

    @asynccontextmanager
    async def posted_to(
        self, server: Server, *, marshaler: Marshaler = "protobuf", times: int = 1
    ) -> AsyncIterator[Webhook]:
        """Post each uplink to the server, so many times at once."""
        async with open_webhook(server.integration, marshaler=marshaler, token=EVENT_TOKEN) as webhook:

            async def deliver(uplink: Uplink) -> None:
                async with trio.open_nursery() as nursery:
                    for _ in range(times):
                        nursery.start_soon(webhook.deliver, uplink)

            self.deliver = deliver
            try:
                yield webhook
            finally:
                self.deliver = None

    def away(self) -> None:
        """Let all calls to the API fail for 5 s."""
        self.conditions.outage(timedelta(seconds=5))

    async def until(self, what: Callable[[], object]) -> None:
        """Wait for something to be so."""
        with trio.fail_after(30):
            while not what():  # noqa: ASYNC110  # the world tells nobody
                await trio.sleep(LOOK / 5)

    async def until_sent(self, count: int) -> None:
        """Wait for so many multicast frames in the queue of a group that is there."""
        await self.until(lambda: any(group.queue.next_f_cnt >= count for group in self.groups.values()))


@asynccontextmanager
async def chirpstack(devices: Sequence[Device], *, radio: Radio = QUICK) -> AsyncIterator[Field]:
    clock = SystemClock()
    world, conditions = World(devices, clock=clock, radio=radio), ApiConditions(clock=clock)
    async with open_loop(), trio.open_nursery() as nursery:
        api = partial(serve_api, world, LOOPBACK, token=API_TOKEN, conditions=conditions)
        field = Field(world, conditions, await nursery.start(api))
        world.chirpstack.groups = field.groups
        nursery.start_soon(world.run, field.post)
        yield field
        nursery.cancel_scope.cancel()


# -- all of it -----------------------------------------------------------------------------------------


@attrs.frozen
class Site:
    """A server at work, and a client of its API."""

    server: Server
    client: Any
    webhook: Webhook | None = None

    async def create(self, devices: Sequence[Device], **changes: object) -> str:
        """Order a deployment: its id, in base64."""
        answer = await self.client("CreateDeployment", deployment=deployment(devices, **changes))
        made: str = answer["id"]
        return made

    async def end(self, deployment_id: str, *, within: float = 40) -> dict[str, Any]:
        """The status of the deployment when all is said."""
        with trio.fail_after(within):
            while True:
                status = await self.status(deployment_id)
                if "fragStatusCompletedAt" in status:
                    return status
                await trio.sleep(LOOK * 2)

    async def status(self, deployment_id: str) -> dict[str, Any]:
        status: dict[str, Any] = await self.client("GetDeploymentStatus", id=deployment_id)
        return status

    async def logs(self, deployment_id: str, device: Device) -> list[dict[str, Any]]:
        dev_eui = in_base64(device.dev_eui.octets)
        answer = await self.client("GetDeploymentDeviceLogs", deploymentId=deployment_id, devEui=dev_eui)
        logs: list[dict[str, Any]] = answer.get("logs", [])
        return logs


@asynccontextmanager
async def site(
    installation: Installation,
    field: Field,
    official_client: Any,
    *,
    marshaler: Marshaler = "protobuf",
    times: int = 1,
) -> AsyncIterator[Site]:
    """Start the server and a client; ChirpStack posts each uplink to it so many times at once."""
    async with (
        installation.serving() as server,
        field.posted_to(server, marshaler=marshaler, times=times) as webhook,
        official_client(server.api) as client,
    ):
        yield Site(server, client, webhook)


def complete(status: Mapping[str, Any]) -> set[str]:
    """The DevEUIs of devices that say they have the image."""
    return {
        base64.b64decode(device["devEui"]).hex()
        for device in status["deviceStatus"]
        if "fragStatusCompletedAt" in device
    }


def hold_the_image(devices: Sequence[Device]) -> bool:
    return all(device.image == IMAGE for device in devices)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
