"""A device's last attempts, when it is the server or the network that is late or away."""

import math
from datetime import timedelta
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from fuota.deployment.states import ArrangingSession
from fuota.device import states as device
from fuota.device.states import Complete, CorrectingClock, SettingUpSession
from fuota.fate import OnAir
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import Transition
from fuota.lorawan import multicast
from fuota.lorawan.eui import EUI64
from fuota.lorawan.gpstime import gps_seconds
from fuota.lorawan.multicast import McClassCSessionReq
from fuota.network.port import Queued, Unreachable
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.radio import Radio
from tests.campaign import IMAGE, Result, Surroundings, order, server, serving, simulated, surroundings

SESSION_REQUEST = multicast.McClassCSessionReq.cid
LAST = 2
"""Attempts, where there is one before the last."""


def check(result: Result, images: set[bytes | None]) -> None:
    assert result.states() == {Complete}, result.status.devices
    assert images == {IMAGE}


class MortalOnce(MemoryJournal):
    """The process dies when it is written that one device is asked for the last time."""

    def __init__(self, dev_eui: EUI64) -> None:
        super().__init__()
        self.dev_eui, self.died = dev_eui, trio.Event()

    async def commit(self, transition: Transition) -> None:
        await super().commit(transition)
        state, unlucky = transition.state, transition.actor.dev_eui == self.dev_eui
        last = isinstance(state, SettingUpSession) and state.attempt == LAST
        if unlucky and last and not self.died.is_set():
            self.died.set()
            await trio.sleep_forever()


def starts_asked_for_too_late(around: Surroundings) -> list[McClassCSessionReq]:
    """The requests, while they are made, for sessions that have begun already."""
    downlink, late = around.network.downlink, list[McClassCSessionReq]()

    async def watched(dev_eui: EUI64, f_port: int, data: bytes, **how: Any) -> Queued:
        if f_port == multicast.package.port:
            for command in multicast.package.read("down", data, 1).commands:
                if isinstance(command, McClassCSessionReq):
                    begun = command.session_time <= gps_seconds(around.clock.now())
                    late.extend([command] * begun)
        return await downlink(dev_eui, f_port, data, **how)

    around.network.downlink = watched  # type: ignore[method-assign]
    return late


def lose_the_first_session_request(network: Any, unlucky: EUI64) -> trio.Event:
    """Have it lost on the air. The event is set then."""
    downlink, lost = network.downlink, trio.Event()

    async def losing(dev_eui: EUI64, f_port: int, data: bytes, **how: Any) -> Queued:
        asked = f_port == multicast.package.port and data[0] == SESSION_REQUEST
        if dev_eui == unlucky and asked and not lost.is_set():
            lost.set()
            return Queued("lost on the air")
        said: Queued = await downlink(dev_eui, f_port, data, **how)
        return said

    network.downlink = losing
    return lost


async def test_the_start_waits_for_the_last_attempt_that_the_process_did_not_make(
    autojump_clock: MockClock,
) -> None:
    devices = simulated(2)
    journal = MortalOnce(devices[1].dev_eui)
    around = surroundings(devices, journal=journal)
    lose_the_first_session_request(around.network, devices[1].dev_eui)
    too_late = starts_asked_for_too_late(around)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around) as running:
            deployment_id = await running.orders.take(order(devices, unicast_attempt_count=LAST))
            await journal.died.wait()
        (start,) = (
            each.state.session.start for each in journal.history if isinstance(each.state, ArrangingSession)
        )
        await around.clock.sleep_until(start)
        async with serving(around) as running:
            check(await running.end_of(deployment_id), {device.image for device in devices})
        nursery.cancel_scope.cancel()
    assert too_late == []


async def test_the_start_waits_for_the_last_attempt_that_the_network_did_not_take(
    autojump_clock: MockClock,
) -> None:
    """It comes back half a second before the start."""
    devices = simulated(2)
    async with server(devices) as running:
        lost = lose_the_first_session_request(running.network, devices[1].dev_eui)
        deployment_id = await running.orders.take(order(devices, unicast_attempt_count=LAST))
        await lost.wait()
        await trio.sleep(13)  # the other has answered, and the second attempt is near
        summary = await running.journal.summary(deployment_id)
        assert summary is not None
        assert isinstance(summary.state, ArrangingSession)
        left = summary.state.session.start - running.clock.now()
        running.network.conditions.outage(left - timedelta(seconds=0.5))
        check(await running.end_of(deployment_id), {device.image for device in devices})


async def _until(running: Any, deployment_id: Any, state: type[device.State]) -> None:
    while True:
        status = await running.journal.status(deployment_id)
        if any(isinstance(each.state, state) for each in status.devices):
            return
        await trio.sleep(0.05)


@pytest.mark.parametrize(
    "state",
    [device.SettingUpGroup, device.SettingUpFragments, device.SettingUpSession, device.AskingStatus],
    ids=lambda state: state.__name__,
)
async def test_an_outage_of_the_network_costs_no_attempt(
    state: type[device.State], autojump_clock: MockClock
) -> None:
    """It begins when the requests are handed over, and lasts longer than an answer is awaited."""
    devices = simulated(2)
    async with server(devices) as running:
        deployment_id = await running.orders.take(order(devices, unicast_attempt_count=1))
        await _until(running, deployment_id, state)
        await trio.sleep(0.3)
        well, running.world.radio = running.world.radio, attrs.evolve(running.world.radio, loss=1.0)
        running.network.conditions.outage(timedelta(seconds=60))
        await trio.sleep(60)
        running.world.radio = well
        check(await running.end_of(deployment_id), {device.image for device in devices})


@pytest.mark.parametrize("seconds", [15.1, 15.2])
async def test_nor_does_one_that_is_over_before_many_calls_have_failed(
    seconds: float, autojump_clock: MockClock
) -> None:
    """The look at the network, 15 s after the hand-over, fails once or twice: that is no illness."""
    devices = simulated(1)
    async with server(devices, told=False) as running:
        deployment_id = await running.orders.take(order(devices, unicast_attempt_count=1))
        await _until(running, deployment_id, device.SettingUpGroup)
        await trio.sleep(0.05)
        well, running.world.radio = running.world.radio, attrs.evolve(running.world.radio, loss=1.0)
        running.network.conditions.outage(timedelta(seconds=seconds))
        await trio.sleep(seconds)
        running.world.radio = well
        check(await running.end_of(deployment_id), {device.image for device in devices})
        assert not running.network.health.ailed(0)


async def test_a_look_that_fails_every_time_spares_a_silent_device_once(autojump_clock: MockClock) -> None:
    """As where connections are cut while they are idle: the first call fails, and the next does not."""
    devices = simulated(1, lambda _: Behaviour(silent=True))
    async with server(devices) as running:
        withdraw, looks = running.network.withdraw, 0

        async def at_the_second_call(*args: Any, **how: Any) -> bool:
            nonlocal looks
            looks += 1
            if looks % 2:
                raise Unreachable("DEADLINE_EXCEEDED", "no answer within 5 s")
            return await withdraw(*args, **how)

        running.network.withdraw = at_the_second_call  # type: ignore[method-assign]
        result = await running.carry_out(order(devices, unicast_attempt_count=1))
    [state] = [each.state for each in result.status.devices]
    assert isinstance(state, device.Failed)
    assert state.reason is device.Reason.NO_ANSWER
    assert looks == 4


async def test_a_request_that_goes_on_air_while_the_network_is_looked_at_has_its_time(
    autojump_clock: MockClock,
) -> None:
    """The device is heard first when patience is over, and answers within its patience of then."""
    devices = simulated(1, lambda _: Behaviour(answer_delay=timedelta(seconds=5)))
    around = surroundings(devices, radio=Radio(loss=1.0))
    withdraw, downlink, items = around.network.withdraw, around.network.downlink, list[str]()

    async def on_air_meanwhile(dev_eui: EUI64, *args: Any, **how: Any) -> bool:
        around.world.radio = Radio(uplink_interval=timedelta(seconds=3))
        await around.tell_of(OnAir(dev_eui=dev_eui, item=items[-1]))
        await trio.sleep(0.1)
        return await withdraw(dev_eui, *args, **how)

    async def noted(*args: Any, **how: Any) -> Queued:
        queued = await downlink(*args, **how)
        items.append(queued.item)
        return queued

    around.network.withdraw = on_air_meanwhile  # type: ignore[method-assign]
    around.network.downlink = noted  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around) as running:
            result = await running.carry_out(order(devices, unicast_attempt_count=1))
        nursery.cancel_scope.cancel()
    assert len(items) == 4, "nothing was asked again"
    check(result, {device.image for device in devices})


class StallingJournal(MemoryJournal):
    """Stalls once, for everybody, and does not say so: when a clock was found to be off."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.until = seconds, math.nan

    async def commit(self, transition: Transition) -> None:
        if isinstance(transition.state, CorrectingClock) and math.isnan(self.until):
            self.until = trio.current_time() + self.seconds
        if trio.current_time() < self.until:
            await trio.sleep_until(self.until)
        await super().commit(transition)


@pytest.mark.parametrize("seconds", [20, 40, 60])
async def test_a_slow_database_does_not_cost_a_clock_the_time_to_be_put_right(
    seconds: float, autojump_clock: MockClock
) -> None:
    devices = simulated(2, lambda number: Behaviour(clock_offset=timedelta(hours=1 - number)))
    journal = StallingJournal(seconds)
    async with server(
        devices,
        journal=journal,
        radio=Radio(uplink_interval=timedelta(seconds=3)),
        told=False,
    ) as running:
        asked = order(devices, unicast_timeout=timedelta(seconds=45), unicast_attempt_count=1)
        check(await running.carry_out(asked), {device.image for device in devices})
    assert journal.until < trio.current_time(), "it has not stalled"
