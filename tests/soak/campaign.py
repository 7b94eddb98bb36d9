"""One campaign: orders, the lives of a process, and what is checked in the end."""

import math
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from hashlib import sha256
from random import Random

import attrs
import trio

from fuota.deployment.order import Order
from fuota.deployment.plan import MulticastClass, StatusRequest
from fuota.journal.port import Conflict, Fenced, Unavailable
from fuota.simulation.device import Device
from fuota.simulation.fleet import fleet
from tests.campaign import Server, Surroundings, attended, order, serving, surroundings
from tests.soak.air import Air, behaviour
from tests.soak.clock import LeapingClock
from tests.soak.faults import Faults
from tests.soak.invariants import Score, check_deployment, check_idle, check_memory
from tests.soak.journal import FickleJournal
from tests.soak.witness import Asked, Witness, WitnessedNetwork

LONGEST = timedelta(days=28)
"""That a campaign may take, outages and restarts included."""

SETTLING = 120.0
"""Seconds after the last end in which all that is left of a deployment goes."""


@attrs.define
class Campaign:
    """Everything that outlives the process."""

    random: Random
    air: Air
    around: Surroundings
    journal: FickleJournal
    witness: Witness
    faults: Faults
    orders: list[Asked]
    """Not taken yet; the last one is next."""

    async def run(self) -> Score:
        """`AssertionError` says what did not hold."""
        score = Score()
        async with trio.open_nursery() as nursery:
            carry = partial(self.air.carry, Random(self.random.random()), self.around.post)
            tell = self.around.tell_of if self.air.told else None
            nursery.start_soon(self.around.world.run, carry, tell)
            nursery.start_soon(self.faults.run)
            with trio.fail_after(LONGEST.total_seconds()):
                while not await self.live():
                    score.deaths += 1
                    await trio.sleep(self.random.choice([0.1, 30, 4000]))
            nursery.cancel_scope.cancel()
        check_memory()
        assert not self.around.world.chirpstack.groups, "a group is left behind"
        for deployment_id, asked in self.witness.asked.items():
            status = await self.journal.seen(deployment_id)
            score.deployments += 1
            score.devices += len(status.devices)
            score.owed += check_deployment(status, asked, self.witness, self.air, self.faults)
        score.fingerprint = sha256(repr(self.journal.history).encode()).hexdigest()
        return score

    async def live(self) -> bool:
        """One life of the process: it takes orders and works, until it dies or all is done."""
        with trio.CancelScope() as life:
            self.faults.draw_death(life)
            async with serving(self.around) as running, trio.open_nursery() as nursery:
                nursery.start_soon(self.faults.cancelling, running)
                await self.take_orders(running)
                while await self.journal.left():  # noqa: ASYNC110  # it is told by the journal alone
                    await trio.sleep(10)
                await trio.sleep(SETTLING)
                life.deadline = math.inf
                nursery.cancel_scope.cancel()
                check_idle(running)
                return True
        return False

    async def take_orders(self, running: Server) -> None:
        while self.orders:
            asked = self.orders[-1]
            try:
                with trio.CancelScope(shield=True):  # an order is taken or not
                    self.witness.asked[await running.orders.take(asked.order)] = asked
            except (Unavailable, Fenced):
                await trio.sleep(10)
                continue
            except Conflict as conflict:
                await self.check_conflict(conflict, asked.order)
            self.orders.pop()
            await trio.sleep(self.random.choice([0, 0, 1000]))

    async def check_conflict(self, conflict: Conflict, refused: Order) -> None:
        """The device is in another live deployment, which has what this one wants."""
        other = self.witness.asked[conflict.deployment_id].order
        assert conflict.deployment_id in await self.journal.left()
        assert conflict.dev_eui in self.witness.asked[conflict.deployment_id].devices
        group, index = conflict.field == "McGroupID", conflict.field == "FragIndex"
        assert group or index
        assert not group or refused.multicast_group_id == other.multicast_group_id
        assert not index or refused.fragmentation_session_index == other.fragmentation_session_index


def campaign(seed: int, deployments: int, devices: int, clock: LeapingClock) -> Campaign:
    """So many deployments to so many devices each; some devices are in several."""
    random = Random(seed)
    air = Air.drawn(random)
    fleets = fleet(deployments * devices, seed=seed, behaviour=lambda _: behaviour(random))
    witness = Witness()
    journal = FickleJournal(witness.committed)
    around = surroundings(fleets, radio=air.radio, journal=journal, timeline=clock)
    around.random = Random(f"{seed} keys")
    around.network = network = WitnessedNetwork(around.world, permit=attended(journal))
    network.witness = witness
    network.conditions.latency = air.latency
    network.conditions.failing = random.choice([0, 0.1])
    network.conditions.random = Random(f"{seed} calls")
    faults = Faults(
        random=Random(f"{seed} faults"),
        around=around,
        network=network,
        journal=journal,
        latency=air.latency,
        suspend=clock.suspend,
        meantime=random.choice([20, 60, 300, 2000]),
        deaths_left=random.choice([0, 2, 5, 20]),
        hides=random.random() < 0.2,
        leaves=not air.clear,
    )
    orders = []
    for index in range(deployments):
        part = fleets[index * devices : (index + 1) * devices]
        if index and random.random() < 0.3:  # half of them are of another deployment, too
            part = part[len(part) // 2 :] + fleets[(index - 1) * devices :][: len(part) // 2]
        orders.append(Asked(drawn(random, air, part), {device.dev_eui: device for device in part}))
    return Campaign(random, air, around, journal, witness, faults, orders[::-1])


def drawn(random: Random, air: Air, devices: Sequence[Device]) -> Order:
    """An order that can be carried out; where the air is clear mostly one that has to succeed."""
    in_b = random.random() < 0.3
    patient = air.clear and random.random() < 0.8
    size = random.choice([10, 50, 50, 200])
    return order(
        devices,
        multicast_group_type=MulticastClass.B if in_b else MulticastClass.C,
        multicast_timeout=random.randint(2, 4) if in_b else random.randint(6, 10),
        multicast_periodicity=random.randint(0, 2) if in_b else 0,
        multicast_group_id=random.randint(0, 3),
        fragmentation_session_index=random.randint(0, 3),
        unicast_timeout=air.turn if patient else timedelta(seconds=random.choice([5, 20, 60])),
        unicast_attempt_count=random.choice([1, 2, 3, random.randint(4, 12)]),
        fragmentation_fragment_size=size,
        payload=random.randbytes(random.randint(1, 60 * size)),
        fragmentation_redundancy=random.randint(0, 60),
        fragmentation_block_ack_delay=random.randint(0, 2),
        request_fragmentation_session_status=random.choice(list(StatusRequest)),
    )
