"""What a soak does to a server from outside: to its network, its database, and its being the owner."""

import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from uuid import UUID

import attrs
import trio

from fuota.deployment.messages import Cancel
from fuota.lorawan.eui import EUI64
from fuota.simulation.chirpstack import Group
from tests.campaign import Server, Surroundings
from tests.soak.journal import FickleJournal
from tests.soak.witness import WitnessedNetwork

STATUSES = ("UNAVAILABLE", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAUTHENTICATED")
HANGING = 10.0
"""Seconds until a call that is never answered is given up."""
CANCELLING = 20_000.0
"""Seconds from one cancellation to the next, on average."""


@attrs.define
class Faults:
    """One thing after the other, and what they did that excuses a deployment."""

    random: Random
    around: Surroundings
    network: WitnessedNetwork
    journal: FickleJournal
    latency: float
    """Seconds that a call takes when nothing is wrong."""
    meantime: float
    """Seconds from one fault to the next, on average."""
    suspend: Callable[[float], None]
    deaths_left: int
    deleted: dict[str, int] = attrs.field(factory=dict)
    """Groups that were deleted by hand, by name: how often."""
    cancelled: set[UUID] = attrs.field(factory=set)
    stumbled: set[EUI64] = attrs.field(factory=set)
    """Devices over which the network has stumbled."""
    hides: bool = False
    """Whether it does not show the groups' queues at times, so that it may not be known what was not sent."""
    leaves: bool = False
    """Whether the gateways are off line at times: nothing is heard, up or down, and requests are in vain."""

    async def run(self) -> None:
        """Faults that do not need a server, for ever."""
        kinds: list[Callable[[], Awaitable[None]]] = [
            *(self.outage, self.hanging, self.slowness, self.silence),
            *(self.database, self.owner, self.group, self.suspension, self.stumbling),
            *([self.hiding] if self.hides else []),
            *([self.gateways] if self.leaves else []),
        ]
        while True:
            await trio.sleep(self.random.expovariate(1 / self.meantime))
            await self.random.choice(kinds)()

    def lasting(self) -> float:
        return self.random.choice([1.0, 30.0, 600.0])

    async def outage(self) -> None:
        lasting = self.lasting()
        self.around.network.conditions.outage(timedelta(seconds=lasting), self.random.choice(STATUSES))
        await trio.sleep(lasting)

    async def hanging(self) -> None:
        """ChirpStack takes calls and answers none."""
        lasting, conditions = self.lasting(), self.around.network.conditions
        conditions.latency = HANGING
        conditions.outage(timedelta(seconds=lasting))
        await trio.sleep(lasting)
        conditions.latency = self.latency

    async def slowness(self) -> None:
        conditions = self.around.network.conditions
        conditions.latency = self.random.uniform(0.1, 4.9)
        await trio.sleep(self.lasting())
        conditions.latency = self.latency

    async def silence(self) -> None:
        """Calls are carried out, and the answer is lost."""
        conditions = self.around.network.conditions
        conditions.unsaid = self.random.choice([0.1, 0.5])
        await trio.sleep(self.lasting())
        conditions.unsaid = 0

    async def stumbling(self) -> None:
        """Over one device, whatever else works: for a while, or for good."""
        device = self.random.choice(self.around.world.devices).dev_eui
        status = self.random.choice(["UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL"])
        self.stumbled.add(device)
        self.network.stumbles[device] = status
        if self.random.random() < (0.5 if status == "INTERNAL" else 0.98):
            await trio.sleep(self.lasting())
            self.network.stumbles.pop(device, None)

    async def hiding(self) -> None:
        self.network.hidden = True
        await trio.sleep(self.lasting())
        self.network.hidden = False

    async def gateways(self) -> None:
        world = self.around.world
        radio, world.radio = world.radio, attrs.evolve(world.radio, loss=1)
        await trio.sleep(self.lasting())
        world.radio = radio

    async def database(self) -> None:
        await self.journal.absence(self.lasting())

    async def owner(self) -> None:
        """Another server takes over, and gives back."""
        ownership = self.journal.ownership
        epoch = ownership.epoch or 0
        ownership.lose("another server")
        await trio.sleep(self.lasting())
        await ownership.vacated()
        ownership.gain(epoch + 1, math.inf)

    async def suspension(self) -> None:
        """The process stands still, and the world does not."""
        self.suspend(self.lasting())

    async def group(self) -> None:
        """Somebody deletes a group by hand."""
        if groups := sorted(self.around.world.chirpstack.groups.values(), key=_name):
            group = self.random.choice(groups)
            self.around.world.chirpstack.delete_group(group.id)
            self.deleted[_name(group)] = self.deleted.get(_name(group), 0) + 1

    # What needs a server that runs

    async def cancelling(self, running: Server) -> None:
        """Cancel one deployment or another, for ever."""
        while True:
            await trio.sleep(self.random.expovariate(1 / CANCELLING))
            if left := await self.journal.left():
                deployment_id = self.random.choice(left)
                actor = running.tree.find(f"/deployments/{deployment_id}")
                if actor is not None and not actor.stopped:
                    self.cancelled.add(deployment_id)
                    await actor.tell(Cancel())

    def draw_death(self, life: trio.CancelScope) -> None:
        """Let this life of the process end at some time, at some commit, or not."""
        if self.deaths_left == 0:
            return
        self.deaths_left -= 1
        if self.random.random() < 0.5:
            life.deadline = trio.current_time() + self.random.choice([20, 300, 4000])
        else:
            self.journal.doom(self.random.randint(1, 300), after=self.random.random() < 0.5, die=life.cancel)


def _name(group: Group) -> str:
    return group.settings.name
