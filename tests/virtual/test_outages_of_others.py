"""The network fails some, and works for the others: these do not wait for it."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import trio
from trio.testing import MockClock

from fuota.deployment.states import ArrangingSession, CreatingGroup, Ended
from fuota.deployment.windows import PATIENT
from fuota.device.states import Complete
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import Transition
from tests.campaign import IMAGE, order, server, simulated

MATTERS_NOT = timedelta(minutes=10)
"""In which a deployment is carried out that nothing disturbs, and some more."""


class StuckFromTheFirstSessionOn(MemoryJournal):
    """No device can be asked any more when a session is arranged for the first time."""

    stuck: Callable[[], object] = staticmethod(lambda: None)

    async def commit(self, transition: Transition) -> None:
        await super().commit(transition)
        if isinstance(transition.state, ArrangingSession) and transition.state.session.number == 1:
            self.stuck()


@pytest.mark.parametrize("others", [1, 12])
async def test_a_network_server_of_others_that_is_away_does_not_put_off_the_start(
    others: int, autojump_clock: MockClock
) -> None:
    """A ChirpStack 3 may have several; the deployments to devices of the one that is away wait for it."""
    devices = simulated(4 + others)
    async with server(devices) as running:
        running.network.away.add("2")
        waiting = [await running.orders.take(order([device], application_id="2")) for device in devices[4:]]
        await trio.sleep(60)
        assert running.network.health.ailments()
        result = await running.carry_out(order(devices[:4]), within=MATTERS_NOT)
        assert result.states() == {Complete}
        assert {device.image for device in devices[:4]} == {IMAGE}
        for each in waiting:
            status = await running.journal.status(each)
            assert status is not None
            assert isinstance(status.state, CreatingGroup)


async def test_a_device_whose_calls_hang_does_not_put_off_the_start_of_other_deployments(
    autojump_clock: MockClock,
) -> None:
    devices = simulated(5)
    async with server(devices) as running:
        running.network.stumbles[devices[0].dev_eui] = "DEADLINE_EXCEEDED"
        waiting = await running.orders.take(order(devices[:1]))
        await trio.sleep(60)
        assert running.network.health.ailments()
        result = await running.carry_out(order(devices[1:]), within=MATTERS_NOT)
        assert result.states() == {Complete}
        status = await running.journal.status(waiting)
        assert status is not None
        assert not isinstance(status.state, Ended)


async def test_a_network_that_answers_of_groups_and_of_no_device_is_away(autojump_clock: MockClock) -> None:
    """As when the Redis of a Network Server is: what waits for a group is in its PostgreSQL."""
    devices, journal = simulated(2), StuckFromTheFirstSessionOn()
    async with server(devices, journal=journal) as running:
        network = running.network
        journal.stuck = lambda: network.stumbles.update(
            {device.dev_eui: "DEADLINE_EXCEEDED" for device in devices}
        )
        deployment_id = await running.orders.take(order(devices))
        await trio.sleep(timedelta(hours=2).total_seconds())
        status = await journal.status(deployment_id)
        assert status is not None
        assert isinstance(status.state, ArrangingSession)
        assert status.state.session.number > 2 * PATIENT
        assert status.state.session.put_off == 0
        network.stumbles.clear()
        result = await running.end_of(deployment_id)
    assert result.states() == {Complete}


async def test_a_network_server_that_can_send_nothing_costs_no_attempt(autojump_clock: MockClock) -> None:
    """Its Redis is away, and what waits in its queues can still be read."""
    devices, away = simulated(5), True
    async with server(devices, uplinks=lambda uplink: () if away else (uplink,)) as running:
        once = order(devices[:4], unicast_attempt_count=1, unicast_timeout=timedelta(minutes=10))
        waiting = await running.orders.take(once)
        await trio.sleep(60)
        running.network.forgetful.add("1")
        other = await running.orders.take(order(devices[4:]))
        await trio.sleep(3600)
        running.network.forgetful.clear()
        away = False
        for each in (waiting, other):
            assert (await running.end_of(each)).states() == {Complete}


async def test_a_start_waits_for_the_network_server_of_its_own_devices_however_long(
    autojump_clock: MockClock,
) -> None:
    """Though the network works for others all the while."""
    devices = simulated(4)
    async with server(devices) as running:
        running.world.chirpstack.applications |= {device.dev_eui: "2" for device in devices[2:]}
        deployment_id = await running.orders.take(order(devices[:2], application_id="1"))
        await trio.sleep(30)
        running.network.away.add("1")
        for _ in range(20):
            result = await running.carry_out(order(devices[2:], application_id="2"), within=MATTERS_NOT)
            assert result.states() == {Complete}
        running.network.away.clear()
        result = await running.end_of(deployment_id)
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}
