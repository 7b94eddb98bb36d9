"""A device about which the network never answers, while it works: it fails alone, and not soon."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import attrs
import pytest
import trio
from trio.testing import MockClock

from fuota.deployment.states import Ended
from fuota.device.states import Complete, Failed, Listening, Reason, SettingUpGroup, SettingUpSession, State
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import Transition
from fuota.lorawan.eui import EUI64
from fuota.network.reach import EVERY, PRESUMED, PROVEN, Reach, Stuck
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.device import Device
from tests.campaign import Result, Server, order, server, simulated

A_WHILE = timedelta(seconds=EVERY * PROVEN)
A_DAY = timedelta(seconds=EVERY * PRESUMED)
FEW = timedelta(minutes=20)
"""In which a deployment is carried out that nothing disturbs, and some more."""

STATUSES = ["UNAVAILABLE", "DEADLINE_EXCEEDED"]


@attrs.define
class Groups:
    """The network, as it answers about groups."""

    works: bool = True
    looks: int = 0

    async def look(self) -> bool:
        await trio.lowlevel.checkpoint()
        self.looks += 1
        return self.works


async def given_up(
    stuck: Stuck, *, of_group: bool = False, meanwhile: Callable[[], object] = lambda: None
) -> timedelta:
    """After how long it is, if a call fails every few seconds."""
    began = trio.current_time()
    while not await stuck.hopeless(of_group=of_group):
        meanwhile()
        await trio.sleep(5)
    return timedelta(seconds=trio.current_time() - began)


async def test_it_is_given_up_in_a_quarter_of_an_hour_if_others_can_be_asked(
    autojump_clock: MockClock,
) -> None:
    reach = Reach(Groups().look)

    def other() -> None:
        reach.taken = trio.current_time()

    assert A_WHILE <= await given_up(Stuck(reach), meanwhile=other) < A_WHILE + timedelta(minutes=2)


async def test_it_is_given_up_as_soon_if_it_needs_no_more_than_what_answers(
    autojump_clock: MockClock,
) -> None:
    assert A_WHILE <= await given_up(Stuck(Reach(Groups().look)), of_group=True) < A_WHILE + FEW


async def test_it_is_given_up_after_a_day_if_nobody_else_is_asked(autojump_clock: MockClock) -> None:
    """The network answers about groups, which it can without what it needs for devices."""
    assert A_DAY <= await given_up(Stuck(Reach(Groups().look))) < A_DAY + timedelta(hours=2)


async def test_an_outage_is_waited_out_and_counts_for_nothing(autojump_clock: MockClock) -> None:
    groups = Groups()
    stuck = Stuck(Reach(groups.look))
    with trio.move_on_after(0.95 * A_DAY.total_seconds()):
        await given_up(stuck)
    groups.works = False
    with trio.move_on_after(3 * A_DAY.total_seconds()) as outage:
        await given_up(stuck, of_group=True)
    assert outage.cancelled_caught
    groups.works = True
    assert await given_up(stuck) > 0.99 * A_DAY


async def test_one_looks_for_all(autojump_clock: MockClock) -> None:
    groups = Groups()
    reach = Reach(groups.look)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(given_up, Stuck(reach))
    assert groups.looks < 1.1 * PRESUMED


class StuckIn(MemoryJournal):
    """The network stumbles over a device from when it is in a state."""

    def __init__(self, dev_eui: EUI64, kind: type[State], begin: Callable[[], object]) -> None:
        super().__init__()
        self.awaited = dev_eui, kind
        self.begin = begin

    async def commit(self, transition: Transition) -> None:
        await super().commit(transition)
        if (transition.actor.dev_eui, type(transition.state)) == self.awaited:
            self.begin()


@asynccontextmanager
async def stuck_in(kind: type[State], status: str, devices: Sequence[Device]) -> AsyncIterator[Server]:
    """A server, and a network that stumbles over the first device from when it is in such a state."""
    dev_eui = devices[0].dev_eui
    journal = StuckIn(dev_eui, kind, lambda: running.network.stumbles.update({dev_eui: status}))
    async with server(devices, journal=journal) as running:
        yield running


def check(result: Result, stuck: Device) -> None:
    """The others have completed, and the one has failed for what the network said of it."""
    for each in result.status.devices:
        if each.dev_eui != stuck.dev_eui:
            assert isinstance(each.state, Complete)
        else:
            assert isinstance(each.state, Failed)
            assert each.state.reason is Reason.NETWORK_REFUSED
            assert "given up" in each.state.detail


@pytest.mark.parametrize("status", STATUSES)
async def test_a_device_that_can_not_be_made_a_member(status: str, autojump_clock: MockClock) -> None:
    devices = simulated(3)
    async with server(devices) as running:
        running.network.stumbles[devices[0].dev_eui] = status
        check(await running.carry_out(order(devices), within=A_WHILE + FEW), devices[0])


@pytest.mark.parametrize("status", STATUSES)
async def test_a_device_that_can_not_be_asked_while_others_are(
    status: str, autojump_clock: MockClock
) -> None:
    """They are asked over and over, for one of them does not answer."""
    devices = simulated(3, lambda number: Behaviour(silent=number == 1))
    async with stuck_in(SettingUpGroup, status, devices) as running:
        asked = order(devices, unicast_timeout=timedelta(minutes=1), unicast_attempt_count=20)
        result = await running.carry_out(asked, within=timedelta(hours=2))
    assert isinstance(result.state(devices[0].dev_eui), Failed)
    assert result.state(devices[0].dev_eui).reason is Reason.NETWORK_REFUSED
    assert isinstance(result.state(devices[2].dev_eui), Complete)


@pytest.mark.parametrize(("kind", "others"), [(SettingUpGroup, 2), (SettingUpSession, 0), (Listening, 2)])
async def test_a_device_that_can_not_be_asked_and_nobody_else_is(
    kind: type[State], others: int, autojump_clock: MockClock
) -> None:
    devices = simulated(1 + others)
    async with stuck_in(kind, "DEADLINE_EXCEEDED", devices) as running:
        deployment_id = await running.orders.take(order(devices))
        await trio.sleep(0.9 * A_DAY.total_seconds())
        status = await running.journal.status(deployment_id)
        assert status is not None
        assert not isinstance(status.state, Ended)
        check(await running.end_of(deployment_id, within=0.2 * A_DAY), devices[0])
