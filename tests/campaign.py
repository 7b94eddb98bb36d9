"""A whole server in virtual time: real actors and machines, the memory journal, a simulated network."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random, SystemRandom
from typing import Any
from uuid import UUID

import attrs
import trio

from fuota.actor import ActorError, Alarms, Child, Registry, Tree, open_tree
from fuota.api.orders import Orders
from fuota.clock import TrioClock
from fuota.deployment.order import Order, OrderedDevice
from fuota.deployment.plan import MulticastClass, StatusRequest
from fuota.deployment.states import Ended, Why
from fuota.deployments import Begin, Deployments
from fuota.dispatcher import Dispatcher, Route, tell
from fuota.fate import Fate
from fuota.integration.endpoint import PORTS
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import DeploymentStatus, Journal
from fuota.lorawan.eui import EUI64
from fuota.network.simulated import SimulatedNetwork
from fuota.ownership import Attendance
from fuota.services import Services
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.device import Device
from fuota.simulation.fleet import fleet
from fuota.simulation.radio import Radio
from fuota.simulation.timeline import Timeline
from fuota.simulation.world import World
from fuota.uplink import Uplink

Uplinks = Callable[[Uplink], Sequence[Uplink]]

START = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
IMAGE = Random(0).randbytes(2_010)


def order(devices: Sequence[Device], **changes: Any) -> Order:
    """41 uncoded and 20 coded fragments to these devices, in a class C window of 64 s."""
    asked = Order(
        application_id="1",
        devices=[OrderedDevice(device.dev_eui.octets, device.mc_root_key) for device in devices],
        multicast_group_type=MulticastClass.C,
        multicast_dr=5,
        multicast_periodicity=0,
        multicast_frequency=869_525_000,
        multicast_group_id=0,
        multicast_timeout=6,
        unicast_timeout=timedelta(seconds=15),
        unicast_attempt_count=3,
        fragmentation_fragment_size=50,
        payload=IMAGE,
        fragmentation_redundancy=20,
        fragmentation_session_index=0,
        fragmentation_matrix=0,
        fragmentation_block_ack_delay=0,
        fragmentation_descriptor=bytes(4),
        request_fragmentation_session_status=StatusRequest.AFTER_SESSION_TIMEOUT,
    )
    return attrs.evolve(asked, **changes)


@attrs.frozen
class Server:
    """A running server, and what it runs on."""

    world: World
    journal: Journal
    network: SimulatedNetwork
    orders: Orders
    tree: Tree
    clock: TrioClock
    services: Services

    async def carry_out(self, order: Order, *, within: timedelta = timedelta(hours=12)) -> "Result":
        """Order a deployment and wait for its end."""
        deployment_id = await self.orders.take(order)
        return await self.end_of(deployment_id, within=within)

    async def end_of(self, deployment_id: UUID, *, within: timedelta = timedelta(hours=12)) -> "Result":
        with trio.fail_after(within.total_seconds()):
            while deployment_id in await self.journal.unfinished():  # noqa: ASYNC110  # it tells nobody
                await trio.sleep(1)
        status = await self.journal.status(deployment_id)
        assert status is not None
        return Result(status, self.clock.now())


@attrs.frozen
class Result:
    """How a deployment ended."""

    status: DeploymentStatus
    at: datetime

    @property
    def why(self) -> Why:
        assert isinstance(self.status.state, Ended)
        return self.status.state.why

    def state(self, dev_eui: EUI64) -> Any:
        return next(device.state for device in self.status.devices if device.dev_eui == dev_eui)

    def states(self) -> set[type]:
        return {type(device.state) for device in self.status.devices}


@attrs.define
class Surroundings:
    """What outlives a server: its journal, the network, and the time."""

    clock: TrioClock
    world: World
    network: SimulatedNetwork
    journal: MemoryJournal
    deliver: Callable[[Uplink], Awaitable[None]] | None = None
    """Where uplinks go while a server runs; without one they are lost."""
    tell: Callable[[Fate], object] | None = None
    """The same for word of downlinks."""
    random: Random = attrs.field(factory=SystemRandom)
    """Where the server has ids, addresses and keys from."""

    async def run(self) -> None:
        await self.world.run(self.post, self.tell_of)

    async def post(self, uplink: Uplink) -> None:
        if self.deliver is not None:
            await self.deliver(uplink)

    async def tell_of(self, fate: Fate) -> None:
        if self.tell is not None:
            self.tell(fate)


def surroundings(
    devices: Sequence[Device],
    *,
    radio: Radio | None = None,
    journal: MemoryJournal | None = None,
    timeline: Timeline | None = None,
) -> Surroundings:
    clock, memory = TrioClock(START), journal or MemoryJournal()
    world = World(devices, clock=clock, radio=radio, chatty=False, timeline=timeline)
    return Surroundings(clock, world, SimulatedNetwork(world, permit=attended(memory)), memory)


def attended(journal: Journal) -> Attendance:
    """The permit of a server that has no ports."""
    attendance = Attendance(journal.ownership)
    attendance.listening.set()
    return attendance


@asynccontextmanager
async def serving(
    around: Surroundings, uplinks: Uplinks = lambda uplink: (uplink,), *, told: bool = True
) -> AsyncIterator[Server]:
    """Everything of a server that needs no socket; it can be cancelled and started again.

    `uplinks` says what becomes of an uplink on its way from the network: nothing, one, or several.
    `told`: whether the network says what became of a downlink.
    """
    network, clock = around.network, around.clock
    clock.overslept = network.health.absent
    services = Services(around.journal, network, clock, Alarms(clock), Registry(), network.health)
    children: list[Child[Any]] = [
        Child(
            "dispatcher", lambda: Dispatcher(services.devices, network, around.journal.ownership), room=1024
        ),
        Child("deployments", lambda: Deployments(services)),
    ]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(services.alarms.run)
        async with open_tree(children) as tree:
            dispatcher, deployments = tree.find("/dispatcher"), tree.find("/deployments")
            assert dispatcher is not None
            assert deployments is not None

            async def deliver(uplink: Uplink) -> None:
                for each in uplinks(uplink):
                    if each.f_port in PORTS:  # the endpoint tells the dispatcher of no others
                        with suppress(ActorError):  # nobody posts an event twice
                            await dispatcher.ask(partial(Route, each), within=8)

            async def begin(deployment_id: UUID) -> None:
                await deployments.tell(Begin(deployment_id))

            around.deliver, around.tell = deliver, partial(tell, services.devices) if told else None
            try:
                orders = Orders(services.journal, clock, begin, around.random)
                yield Server(around.world, services.journal, network, orders, tree, clock, services)
            finally:
                around.deliver = around.tell = None
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def server(
    devices: Sequence[Device],
    *,
    radio: Radio | None = None,
    journal: MemoryJournal | None = None,
    uplinks: Uplinks = lambda uplink: (uplink,),
    told: bool = True,
) -> AsyncIterator[Server]:
    """A server and its surroundings; call it under `autojump_clock`."""
    around = surroundings(devices, radio=radio, journal=journal)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around, uplinks, told=told) as running:
            yield running
        nursery.cancel_scope.cancel()


def simulated(count: int, behaviour: Callable[[int], Behaviour] = lambda _: Behaviour()) -> list[Device]:
    return fleet(count, seed=1, behaviour=behaviour)
