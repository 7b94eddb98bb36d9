"""The implementations of the network port, and what is behind them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import attrs
import trio

from fuota.bridge import open_loop
from fuota.clock import SystemClock
from fuota.config.settings import ChirpStackApi
from fuota.config.value import Bind
from fuota.deployment.plan import MulticastClass
from fuota.health import Health
from fuota.lorawan.eui import EUI64
from fuota.lorawan.region import Region
from fuota.network import application_server
from fuota.network import chirpstack4 as network4
from fuota.network.port import (
    Group,
    KnownGroup,
    Network,
)
from fuota.network.simulated import SimulatedNetwork
from fuota.simulation import chirpstack3, chirpstack4
from fuota.simulation.conditions import ApiConditions
from fuota.simulation.fleet import fleet
from fuota.simulation.world import World

TOKEN = "let-me-in"
UNKNOWN_DEVICE = EUI64.parse("ffffffffffffffff")


GROUP = Group(
    name="fuota-1",
    application_id="1",
    mc_class=MulticastClass.C,
    mc_addr=0x00FF0102,
    mc_nwk_s_key=bytes(range(16)),
    mc_app_s_key=bytes(range(16, 32)),
    frequency=869_525_000,
    dr=3,
    periodicity=0,
    region=Region.AS923_3,
)


UUIDS = (
    "5f0c2b1e-0000-4000-8000-000000000001",
    "5f0c2b1e-0000-4000-8000-000000000002",
)
"""ChirpStack 4 has them for ids of applications."""


@attrs.frozen
class Opened:
    """An implementation, and what is behind it."""

    network: Network
    world: World
    conditions: ApiConditions
    health: Health
    application_id: str
    generation: int | None
    """Of ChirpStack; None if it is not called over a wire."""

    @property
    def device(self) -> EUI64:
        return self.world.devices[0].dev_eui

    @property
    def group_ids(self) -> list[str]:
        return [*self.world.chirpstack.groups]

    @property
    def group(self) -> Group:
        return attrs.evolve(GROUP, application_id=self.application_id)

    @property
    def other(self) -> str:
        """Id of an application that does not exist."""
        return UUIDS[1] if self.application_id in UUIDS else "77"

    @property
    def unknown_group(self) -> KnownGroup:
        return KnownGroup("00000000-0000-4000-8000-000000000000", GROUP.name, self.application_id)

    async def make(self) -> KnownGroup:
        """The group, made."""
        return KnownGroup(await self.network.ensure_group(self.group), GROUP.name, self.application_id)

    def waiting(self, group: KnownGroup | None = None) -> list[tuple[int, bytes]]:
        """Port and payload of what is queued for the group, or for the device."""
        queue = (
            self.world.chirpstack.group(group.id).queue if group else self.world.chirpstack.queue(self.device)
        )
        return [(item.f_port, item.data) for item in queue.items]


Open = Callable[[World, ApiConditions, Health], AbstractAsyncContextManager[Network]]


@asynccontextmanager
async def simulated(world: World, conditions: ApiConditions, health: Health) -> AsyncIterator[Network]:
    yield SimulatedNetwork(world, conditions, health=health)


@asynccontextmanager
async def application_server_v3(
    world: World, conditions: ApiConditions, health: Health
) -> AsyncIterator[Network]:
    serve_api, connected = chirpstack3.serve_api, application_server.connected
    async with over_a_wire(serve_api, connected, world, conditions, health) as network:
        yield network


@asynccontextmanager
async def chirpstack_v4(world: World, conditions: ApiConditions, health: Health) -> AsyncIterator[Network]:
    serve_api, connected = chirpstack4.serve_api, network4.connected
    async with over_a_wire(serve_api, connected, world, conditions, health) as network:
        yield network


@asynccontextmanager
async def over_a_wire(
    serve_api: Any, connected: Any, world: World, conditions: ApiConditions, health: Health
) -> AsyncIterator[Network]:
    async with open_loop(), trio.open_nursery() as nursery:
        serve = partial(serve_api, world, Bind("127.0.0.1", 0), token=TOKEN, conditions=conditions)
        address: str = await nursery.start(serve)
        async with connected(ChirpStackApi(server=Bind.parse(address), token=TOKEN), health) as network:
            yield network
        nursery.cancel_scope.cancel()


GENERATION: dict[Open, int] = {application_server_v3: 3, chirpstack_v4: 4}


@asynccontextmanager
async def open_one(opening: Open) -> AsyncIterator[Opened]:
    application_id = UUIDS[0] if opening is chirpstack_v4 else "1"
    clock = SystemClock()
    world = World(fleet(2), clock=clock, application_id=application_id)
    conditions = ApiConditions(clock=clock)
    async with opening(world, conditions, health := Health()) as network:
        yield Opened(network, world, conditions, health, application_id, GENERATION.get(opening))
