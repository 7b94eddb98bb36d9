"""A device about which the network never answers, while it works: it fails alone, and not soon."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from typing import Any

import attrs
import pytest
import structlog
import trio
from trio.testing import MockClock

from fuota.deployment.states import Ended
from fuota.device.states import Complete, Failed, Listening, Reason, SettingUpGroup, SettingUpSession, State
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import Transition
from fuota.lorawan.eui import EUI64
from fuota.network import reach
from fuota.network.port import Queued, Unreachable
from fuota.network.reach import DAY, EVERY, Reach, Stuck
from fuota.simulation.device import Device
from tests.campaign import Result, Server, order, server, simulated

DEV_EUI = EUI64.parse("70b3d57ed0000001")
A_DAY = timedelta(seconds=DAY)


@attrs.define
class Groups:
    """The network, as it answers about groups."""

    works: bool = True
    looks: int = 0

    async def look(self) -> bool:
        await trio.lowlevel.checkpoint()
        self.looks += 1
        return self.works


async def given_up(stuck: Stuck) -> timedelta:
    """After how long it is, if a call fails every few seconds."""
    began = trio.current_time()
    while not await stuck.hopeless():  # noqa: ASYNC110  # as who calls in vain does
        await trio.sleep(5)
    return timedelta(seconds=trio.current_time() - began)


async def test_it_is_given_up_after_a_day(autojump_clock: MockClock) -> None:
    """The network answers about groups, which it can without what it needs for devices."""
    assert A_DAY <= await given_up(Stuck(DEV_EUI, Reach("", Groups().look))) < 1.1 * A_DAY


async def test_an_outage_is_waited_out_and_counts_for_nothing(autojump_clock: MockClock) -> None:
    groups = Groups()
    stuck = Stuck(DEV_EUI, Reach("", groups.look))
    with trio.move_on_after(0.95 * A_DAY.total_seconds()):
        await given_up(stuck)
    groups.works = False
    with trio.move_on_after(3 * A_DAY.total_seconds()) as outage:
        await given_up(stuck)
    assert outage.cancelled_caught
    groups.works = True
    assert await given_up(stuck) > 0.99 * A_DAY


async def test_one_looks_for_all(autojump_clock: MockClock) -> None:
    groups = Groups()
    shared = Reach("", groups.look)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(given_up, Stuck(DEV_EUI, shared))
    assert groups.looks < 1.1 * DAY / EVERY


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


async def stays_for_a_day(running: Server, devices: Sequence[Device]) -> None:
    """And is given up then."""
    deployment_id = await running.orders.take(order(devices))
    await trio.sleep(0.9 * A_DAY.total_seconds())
    status = await running.journal.status(deployment_id)
    assert status is not None
    assert not isinstance(status.state, Ended)
    check(await running.end_of(deployment_id, within=0.2 * A_DAY), devices[0])


@pytest.mark.parametrize("status", ["UNAVAILABLE", "DEADLINE_EXCEEDED"])
async def test_a_device_that_can_not_be_made_a_member(status: str, autojump_clock: MockClock) -> None:
    devices = simulated(3)
    async with server(devices) as running:
        running.network.stumbles[devices[0].dev_eui] = status
        await stays_for_a_day(running, devices)


@pytest.mark.parametrize(("kind", "others"), [(SettingUpGroup, 2), (SettingUpSession, 0), (Listening, 2)])
async def test_a_device_that_can_not_be_asked(
    kind: type[State], others: int, autojump_clock: MockClock
) -> None:
    devices = simulated(1 + others)
    async with stuck_in(kind, "DEADLINE_EXCEEDED", devices) as running:
        await stays_for_a_day(running, devices)


async def test_a_device_about_which_nothing_is_answered_is_named(autojump_clock: MockClock) -> None:
    """Once in the log, and for as long as it is so in what is said of its deployment."""
    devices = simulated(3)
    async with stuck_in(SettingUpGroup, "UNAVAILABLE", devices) as running:

        def trouble() -> object:
            deployment = running.tree.snapshot(f"/deployments/{deployment_id}")
            assert deployment is not None
            assert isinstance(deployment.description, dict)
            return deployment.description["trouble"]

        with structlog.testing.capture_logs() as said:
            deployment_id = await running.orders.take(order(devices))
            await trio.sleep(20 * EVERY)
        news = "ChirpStack does not answer about a device, though it does about its group"
        [named] = [line for line in said if line["event"] == news]
        assert (named["dev_eui"], named["deployment"]) == (str(devices[0].dev_eui), str(deployment_id))
        assert trouble() == f"no answer about {devices[0].dev_eui}"
        running.network.stumbles.clear()
        await trio.sleep(10)
        assert trouble() == ""
        assert (await running.end_of(deployment_id)).states() == {Complete}


async def test_a_device_that_answers_all_the_same_is_not_named_any_more(autojump_clock: MockClock) -> None:
    """It was sent the request, though its network never said so."""
    devices = simulated(2)
    async with server(devices) as running:
        downlink, stuck = running.network.downlink, True

        async def unsaid(dev_eui: EUI64, *request: Any, **how: Any) -> Queued:
            if dev_eui == devices[0].dev_eui and stuck:
                if trio.current_time() > began + 3 * EVERY:
                    await downlink(dev_eui, *request, **how)
                raise Unreachable("DEADLINE_EXCEEDED", "no answer within 5 s")
            return await downlink(dev_eui, *request, **how)

        running.network.downlink = unsaid  # type: ignore[method-assign]
        began = trio.current_time()
        deployment_id = await running.orders.take(order(devices, multicast_timeout=10))
        reached = set()
        for _ in range(600):
            await trio.sleep(1)
            status = await running.journal.status(deployment_id)
            assert status is not None
            state = next(each.state for each in status.devices if each.dev_eui == devices[0].dev_eui)
            snapshot = running.tree.snapshot(f"/deployments/{deployment_id}")
            if isinstance(state, Listening) and snapshot is not None:
                stuck = False
                assert isinstance(snapshot.description, dict)
                assert snapshot.description["trouble"] == ""
                reached.add(type(state))
    assert reached == {Listening}


async def test_many_of_a_deployment_end_it_all_the_same(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their session is arranged anew again and again, and so are the calls that wait for their turns."""
    monkeypatch.setattr(reach, "DAY", 1800)
    devices, stumbles = simulated(12), dict[EUI64, str]()
    journal = StuckIn(
        devices[0].dev_eui,
        SettingUpSession,
        lambda: stumbles.update({each.dev_eui: "DEADLINE_EXCEEDED" for each in devices}),
    )
    async with server(devices, journal=journal) as running:
        running.network.stumbles = stumbles
        result = await running.carry_out(order(devices), within=timedelta(hours=3))
    assert result.states() == {Failed}


async def test_a_network_that_fails_most_calls_is_not_taken_for_one_that_works(
    autojump_clock: MockClock,
) -> None:
    """Each device waits long for its turn, and then its call fails, as most do; some others are answered."""
    devices = simulated(100)
    async with server(devices) as running:
        running.network.conditions.random = Random(1)
        running.network.conditions.failing = 0.95
        deployment_id = await running.orders.take(order(devices))
        await trio.sleep(timedelta(hours=3).total_seconds())
        status = await running.journal.status(deployment_id)
        assert status is not None
        assert not any(isinstance(device.state, Failed) for device in status.devices)
