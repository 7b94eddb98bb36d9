"""The process dies before or after each commit of a whole deployment, and is started again."""

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
import trio
from trio.testing import MockClock

from fuota.deployment.machine import BATCH
from fuota.deployment.order import Order
from fuota.deployment.plan import SESSIONS, MulticastClass
from fuota.deployment.states import ArrangingSession, AwaitingEnd, Ended, InSession, Transmitting, Why
from fuota.device.states import Complete, Listening, SettingUpSession
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import Transition
from fuota.lorawan.eui import EUI64
from fuota.network.port import ANYTHING, About, Group, KnownGroup, Queued
from fuota.simulation.radio import Radio
from fuota.simulation.world import World
from fuota.uplink import Uplink
from tests.campaign import IMAGE, Surroundings, order, serving, simulated, surroundings
from tests.soak.witness import Asked, Witness, WitnessedNetwork
from tests.virtual.spoilt_uplinks import crashed

DOWN = timedelta(seconds=20)
"""Until the process is started again, or the database goes on: longer than an answer is awaited."""
QUICK = Radio()
DEAF = Radio(loss=1)
SLOW = Radio(fragment_interval=timedelta(seconds=2.9))
"""21 of 61 fragments in a window."""


class MortalJournal(MemoryJournal):
    """Does not return from one commit, made or not: there the process dies."""

    def __init__(self, die_at: int, *, after: bool) -> None:
        super().__init__()
        self.die_at, self.after = die_at, after
        self.commits = 0
        self.died = trio.Event()
        self.written: Callable[[Transition], object] = lambda transition: None
        """Is told of each."""

    async def write(self, transition: Transition) -> None:
        await super().commit(transition)
        self.written(transition)

    async def commit(self, transition: Transition) -> None:
        self.commits += 1
        if self.commits != self.die_at:
            await self.write(transition)
            return
        if self.after:
            await self.write(transition)
        self.died.set()
        await trio.sleep_forever()


class HesitantJournal(MortalJournal):
    """Takes long over that one commit."""

    async def commit(self, transition: Transition) -> None:
        self.commits += 1
        slow = self.commits == self.die_at
        if slow and not self.after:
            await trio.sleep(DOWN.total_seconds())
        await self.write(transition)
        if slow and self.after:
            await trio.sleep(DOWN.total_seconds())


class WitnessNetwork(WitnessedNetwork):
    """Sees in each call that the journal already holds the state that asked for it."""

    def __init__(self, world: World, journal: MortalJournal, witness: Witness) -> None:
        super().__init__(world)
        self.witness = witness
        self.journal = journal
        self.created = Counter[str]()
        self.multicasts = 0

    async def ensure_group(self, group: Group) -> str:
        known = set(self._chirpstack.groups)
        group_id = await super().ensure_group(group)
        self.created.update(set(self._chirpstack.groups) - known)
        return group_id

    async def downlink(
        self,
        dev_eui: EUI64,
        f_port: int,
        data: bytes,
        *,
        unless_pending: bool,
        urgent: bool = False,
        about: About = ANYTHING,
    ) -> Queued:
        states = [each.state for each in self.journal.history if each.actor.dev_eui == dev_eui]
        assert states, "nothing is sent for a state that is not written"
        return await super().downlink(
            dev_eui, f_port, data, unless_pending=unless_pending, urgent=urgent, about=about
        )

    async def multicast(self, group: KnownGroup, f_port: int, data: bytes) -> None:
        written = [each.state for each in self.journal.history if each.actor.dev_eui is None]
        assert isinstance(written[-1], Transmitting)
        self.multicasts += 1
        await super().multicast(group, f_port, data)


async def live(
    around: Surroundings, journal: MortalJournal, deployment_id: UUID | None, asked: Order
) -> UUID:
    """One life of the process: until it dies, or the deployment has ended."""
    with trio.CancelScope() as life:
        async with serving(around) as running, trio.open_nursery() as nursery:

            async def watch() -> None:
                await journal.died.wait()
                assert crashed(running.tree) == []
                life.cancel()

            nursery.start_soon(watch)
            if deployment_id is None:
                deployment_id = await running.orders.take(asked)
            await running.end_of(deployment_id)
            assert crashed(running.tree) == []
            nursery.cancel_scope.cancel()
    assert deployment_id is not None
    return deployment_id


async def deploy(
    journal: MortalJournal,
    mc_class: MulticastClass,
    radio: Radio = QUICK,
    *,
    unheard: bool = False,
    **changes: object,
) -> tuple[list[int], int]:
    """The claims of what was sent when a window closed, and how often a fragment was put into the queue.
    `unheard`: no device hears what is sent in the first round.

    The witness sees at each commit that no fragment is claimed that was not, and versions without a gap."""
    devices = simulated(2)
    around = surroundings(devices, journal=journal, radio=radio)
    in_b = mc_class is MulticastClass.B
    asked = order(devices, multicast_group_type=mc_class, multicast_timeout=2 if in_b else 6, **changes)
    known = Asked(asked, {device.dev_eui: device for device in devices})
    witness = Witness(asked=defaultdict(lambda: known))

    def written(transition: Transition) -> None:
        witness.committed(transition)
        if unheard and isinstance(state := transition.state, InSession):
            opened = isinstance(state, Transmitting | AwaitingEnd) and state.round.number == 1
            around.world.radio = DEAF if opened else radio

    journal.written = written
    around.network = network = WitnessNetwork(around.world, journal, witness)
    with witness.overhearing():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(around.run)
            deployment_id = await live(around, journal, None, asked)
            if journal.died.is_set():
                journal.died = trio.Event()
                await trio.sleep(DOWN.total_seconds())
                await live(around, journal, deployment_id, asked)
            nursery.cancel_scope.cancel()
    status = await journal.status(deployment_id)
    assert status is not None
    assert status.state == Ended(Why.DONE, "")
    assert {type(each.state) for each in status.devices} == {Complete}
    assert {device.image for device in devices} == {IMAGE}
    assert not around.world.chirpstack.groups
    assert sum(network.created.values()) == 1
    assert not witness.wrong
    windows = [each.state for each in journal.history if isinstance(each.state, AwaitingEnd)]
    claimed = [state.sent for state in windows if not state.looked]
    return claimed, network.multicasts


COMMITS = 29
"""Of a deployment to two devices in which nothing is lost; the first test says so."""
ROUND_COMMITS = 55
"""With two rounds."""
MORE_COMMITS = 56
"""With four windows, for the network is slow; in the last of them the queue is seen empty."""


@pytest.mark.parametrize("mc_class", MulticastClass)
async def test_as_many_commits_as_below(mc_class: MulticastClass, autojump_clock: MockClock) -> None:
    journal = MortalJournal(0, after=False)
    await deploy(journal, mc_class)
    assert journal.commits == COMMITS


@pytest.mark.parametrize("mc_class", MulticastClass)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("die_at", range(1, COMMITS + 1))
async def test_the_process_dies(
    die_at: int, after: bool, mc_class: MulticastClass, autojump_clock: MockClock
) -> None:
    claimed, multicasts = await deploy(MortalJournal(die_at, after=after), mc_class)
    assert claimed == [61]
    assert 61 <= multicasts <= 61 + BATCH


@pytest.mark.parametrize("mc_class", MulticastClass)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("die_at", range(1, COMMITS + 1))
async def test_the_death_of_the_process_costs_no_attempt(
    die_at: int, after: bool, mc_class: MulticastClass, autojump_clock: MockClock
) -> None:
    """Though there is but one: the answer may have come while nobody was there to hear it."""
    await deploy(MortalJournal(die_at, after=after), mc_class, unicast_attempt_count=1)


@pytest.mark.parametrize("mc_class", MulticastClass)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("late_at", range(1, COMMITS + 1))
async def test_a_slow_database_costs_no_attempt(
    late_at: int, after: bool, mc_class: MulticastClass, autojump_clock: MockClock
) -> None:
    """Though there is but one, and the wait is over before it is written down."""
    await deploy(HesitantJournal(late_at, after=after), mc_class, unicast_attempt_count=1)


async def test_as_many_commits_where_the_network_is_slow(autojump_clock: MockClock) -> None:
    journal = MortalJournal(0, after=False)
    claimed, _ = await deploy(journal, MulticastClass.C, SLOW)
    assert claimed == [61, 61, 61, 61]
    assert journal.commits == MORE_COMMITS


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("die_at", range(1, MORE_COMMITS + 1))
async def test_the_process_dies_where_the_network_is_slow(
    die_at: int, after: bool, autojump_clock: MockClock
) -> None:
    """What still waits in the queue when a window closes is sent again, whatever happens to the process."""
    claimed, _ = await deploy(MortalJournal(die_at, after=after), MulticastClass.C, SLOW)
    assert 2 <= len(claimed) <= SESSIONS, "one more where nobody saw what left the queue in time"
    assert set(claimed) == {61}


@pytest.mark.parametrize("mc_class", MulticastClass)
async def test_as_many_commits_with_two_rounds(mc_class: MulticastClass, autojump_clock: MockClock) -> None:
    journal = MortalJournal(0, after=False)
    claimed, multicasts = await deploy(journal, mc_class, unheard=True)
    assert (claimed, multicasts) == ([61, 61], 122)
    assert journal.commits == ROUND_COMMITS


@pytest.mark.parametrize("mc_class", MulticastClass)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("die_at", range(1, ROUND_COMMITS + 1))
async def test_the_process_dies_where_all_is_sent_once_more(
    die_at: int, after: bool, mc_class: MulticastClass, autojump_clock: MockClock
) -> None:
    claimed, multicasts = await deploy(MortalJournal(die_at, after=after), mc_class, unheard=True)
    assert claimed == [61, 61]
    assert 122 <= multicasts <= 122 + BATCH


async def test_a_start_is_put_off_for_those_whose_answers_were_lost(autojump_clock: MockClock) -> None:
    """The process is away from when the first device has agreed until the start."""
    devices = simulated(2)
    around = surroundings(devices)
    journal = around.journal

    def only_of_the_first(uplink: Uplink) -> list[Uplink]:
        asked = any(isinstance(each.state, SettingUpSession) for each in journal.history)
        return [] if asked and uplink.dev_eui == devices[1].dev_eui else [uplink]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around, only_of_the_first) as running:
            deployment_id = await running.orders.take(order(devices, unicast_attempt_count=5))
            while not any(isinstance(each.state, Listening) for each in journal.history):  # noqa: ASYNC110
                await trio.sleep(0.1)
        (start,) = (
            each.state.session.start for each in journal.history if isinstance(each.state, ArrangingSession)
        )
        await around.clock.sleep_until(start)
        async with serving(around) as running:
            result = await running.end_of(deployment_id)
        nursery.cancel_scope.cancel()
    assert result.states() == {Complete}
