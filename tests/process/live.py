"""A server beside a simulated ChirpStack of either generation, and a client of its API.

They speak over real sockets; the ChirpStack lives in the test's own process.
"""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import attrs
import trio

from fuota.bridge import open_loop
from fuota.clock import SystemClock
from fuota.fate import Fate
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.chirpstack import Group
from fuota.simulation.conditions import ApiConditions
from fuota.simulation.device import Device
from fuota.simulation.fleet import fleet
from fuota.simulation.radio import Radio
from fuota.simulation.webhook import Marshaler, Webhook, open_webhook
from fuota.simulation.world import World
from fuota.uplink import Uplink
from tests.process.generations import IMAGE, THREE, Generation, in_base64
from tests.process.installation import LOOK, LOOPBACK, Installation, Server

__all__ = [
    "API_TOKEN",
    "EVENT_TOKEN",
    "IMAGE",
    "LOOK",
    "LOOPBACK",
    "QUICK",
    "Field",
    "Groups",
    "Installation",
    "Server",
    "Site",
    "chirpstack",
    "complete",
    "hold_the_image",
    "in_base64",
    "instant",
    "quick",
    "site",
]

API_TOKEN = "the token of ChirpStack's API"
EVENT_TOKEN = "the token of the integration"

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
    generation: Generation
    deliver: Callable[[Uplink], Awaitable[None]] | None = None
    """Where uplinks go while a server runs; without one they are lost."""
    tell: Callable[[Fate], Awaitable[None]] | None = None
    """The same for word of downlinks."""
    groups: Groups = attrs.field(factory=Groups)

    async def post(self, uplink: Uplink) -> None:
        if self.deliver is not None:
            await self.deliver(uplink)

    async def tell_of(self, fate: Fate) -> None:
        if self.tell is not None:
            await self.tell(fate)

    def tables(self, dsn: str) -> dict[str, dict[str, object]]:
        """What a server beside it has to be told."""
        return {
            "postgresql": {"dsn": dsn},
            self.generation.api: {"server": self.address, "token": API_TOKEN},
            f"{self.generation.table}.event_handler.http": {"token": EVENT_TOKEN},
        }

    def webhook(
        self, server: Server, marshaler: Marshaler = "protobuf"
    ) -> AbstractAsyncContextManager[Webhook]:
        """The integration that posts to this server."""
        return open_webhook(
            server.integration,
            generation=self.generation.number,
            application_id=self.generation.application_id,
            marshaler=marshaler,
            token=EVENT_TOKEN,
        )

    @asynccontextmanager
    async def posted_to(
        self, server: Server, *, marshaler: Marshaler = "protobuf", times: int = 1
    ) -> AsyncIterator[Webhook]:
        """Post each uplink to the server, so many times at once."""
        async with self.webhook(server, marshaler) as webhook:

            async def deliver(uplink: Uplink) -> None:
                async with trio.open_nursery() as nursery:
                    for _ in range(times):
                        nursery.start_soon(webhook.deliver, uplink)

            self.deliver, self.tell = deliver, webhook.tell
            try:
                yield webhook
            finally:
                self.deliver = self.tell = None

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

    async def until_called(self) -> None:
        """Wait for another call, which takes `conditions.latency` from now on."""
        calls = self.conditions.calls
        await self.until(lambda: self.conditions.calls > calls)


@asynccontextmanager
async def chirpstack(
    devices: Sequence[Device],
    generation: Generation = THREE,
    *,
    radio: Radio = QUICK,
    chatty: bool = False,
) -> AsyncIterator[Field]:
    """`chatty`: devices send their readings, too, at the pace of this radio: a busy machine feels them."""
    clock = SystemClock()
    application_id = generation.application_id
    world = World(devices, clock=clock, radio=radio, application_id=application_id, chatty=chatty)
    conditions = ApiConditions(clock=clock)
    async with open_loop(), trio.open_nursery() as nursery:
        api = partial(generation.serve_api, world, LOOPBACK, token=API_TOKEN, conditions=conditions)
        field = Field(world, conditions, await nursery.start(api), generation)
        world.chirpstack.groups = field.groups
        nursery.start_soon(world.run, field.post, field.tell_of)
        yield field
        nursery.cancel_scope.cancel()


@attrs.frozen
class Site:
    """A server at work, and a client of its API."""

    server: Server
    client: Any
    webhook: Webhook | None = None
    generation: Generation = THREE

    async def create(self, devices: Sequence[Device], **changes: object) -> str:
        """Order a deployment: its id, as the generation spells it in JSON."""
        answer = await self.client(
            "CreateDeployment", deployment=self.generation.deployment(devices, **changes)
        )
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
        dev_eui = self.generation.octets(device.dev_eui.octets)
        answer = await self.client("GetDeploymentDeviceLogs", deploymentId=deployment_id, devEui=dev_eui)
        logs: list[dict[str, Any]] = answer.get("logs", [])
        return logs


@asynccontextmanager
async def site(
    installation: Installation,
    field: Field,
    *,
    marshaler: Marshaler = "protobuf",
    times: int = 1,
) -> AsyncIterator[Site]:
    """Start the server and a client; ChirpStack posts each uplink to it so many times at once."""
    async with (
        installation.serving() as server,
        field.posted_to(server, marshaler=marshaler, times=times) as webhook,
        field.generation.client(server.api) as ask,
    ):
        yield Site(server, ask, webhook, field.generation)


def complete(status: Mapping[str, Any]) -> set[str]:
    """The DevEUIs of devices that say they have the image."""
    spelled = [each["devEui"] for each in status["deviceStatus"] if "fragStatusCompletedAt" in each]
    # v3 has it in base64, which is 12 characters
    return {dev_eui if len(dev_eui) == 16 else base64.b64decode(dev_eui).hex() for dev_eui in spelled}


def hold_the_image(devices: Sequence[Device]) -> bool:
    return all(device.image == IMAGE for device in devices)


def runs_nothing(said: Any) -> bool:
    """Whether `debug/actors?path=/deployments` has no deployment that goes on."""
    return not [each for each in said["children"] if each["status"] != "stopped"]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
