"""What still waits for devices when their deployment is given up is taken back, and nothing else."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import attrs
import pytest
import trio
from trio.testing import MockClock

from fuota.deployment.messages import Cancellation
from fuota.deployment.states import State as DeploymentState
from fuota.deployment.states import Why
from fuota.device.messages import Abandon, ClockAnswered
from fuota.device.outside import WITHDRAWAL
from fuota.device.states import (
    Complete,
    CorrectingClock,
    Failed,
    Listening,
    Reason,
    SettingUpFragments,
    SettingUpGroup,
    State,
    Withdrawing,
)
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import Transition
from fuota.lorawan import multicast
from fuota.lorawan.fragmentation import FragSessionSetupReq
from fuota.lorawan.multicast import McGroupSetupReq
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.radio import Radio
from tests.campaign import Server, order, server, serving, simulated, surroundings

SELDOM = Radio(uplink_interval=timedelta(hours=6))
"""What waits for a device waits for hours."""
ABANDONED = Failed(Reason.ABANDONED, "cancelled")


async def cancel(running: Server, deployment_id: UUID) -> None:
    actor = running.tree.find(f"/deployments/{deployment_id}")
    assert actor is not None
    answered = trio.Event()

    def answer(state: DeploymentState) -> None:
        answered.set()

    await actor.tell(Cancellation(answer))
    await answered.wait()


async def until_they_are(running: Server, deployment_id: UUID, *states: type[State]) -> None:
    with trio.fail_after(60):
        while True:
            status = await running.journal.status(deployment_id)
            assert status is not None
            if all(isinstance(device.state, states) for device in status.devices):
                await trio.sleep(0.5)  # what that asks for is done
                return
            await trio.sleep(0.1)


async def test_a_network_that_is_slow_is_waited_for(autojump_clock: MockClock) -> None:
    """32 devices at a time have their turns, of 8 s each."""
    devices = simulated(300)
    async with server(devices, radio=attrs.evolve(SELDOM, loss=1.0)) as running:
        deployment_id = await running.orders.take(order(devices, unicast_timeout=timedelta(hours=3)))
        queues = [running.world.chirpstack.queue(device.dev_eui) for device in devices]
        while not all(queue.items for queue in queues):  # noqa: ASYNC110
            await trio.sleep(0.1)
        running.network.conditions.latency = 8
        began = running.clock.now()
        await cancel(running, deployment_id)
        result = await running.end_of(deployment_id)
    assert result.at - began > timedelta(seconds=WITHDRAWAL)
    assert not any(queue.items for queue in queues)


async def test_what_waits_is_taken_back(autojump_clock: MockClock) -> None:
    devices = simulated(3)
    async with server(devices, radio=SELDOM) as running:
        deployment_id = await running.orders.take(order(devices))
        await until_they_are(running, deployment_id, SettingUpGroup)
        await cancel(running, deployment_id)
        result = await running.end_of(deployment_id, within=timedelta(seconds=5))
        for device in devices:
            assert result.state(device.dev_eui) == ABANDONED
            assert not running.world.chirpstack.queue(device.dev_eui).items
    assert result.why is Why.CANCELLED


async def test_what_others_have_sent_to_a_device_stays_and_ours_with_it(autojump_clock: MockClock) -> None:
    devices = simulated(2)
    async with server(devices, radio=SELDOM) as running:
        deployment_id = await running.orders.take(order(devices))
        await until_they_are(running, deployment_id, SettingUpGroup)
        queue = running.world.chirpstack.queue(devices[0].dev_eui)
        queue.push(10, b"somebody else's")
        await cancel(running, deployment_id)
        result = await running.end_of(deployment_id, within=timedelta(seconds=5))
        assert [item.f_port for item in queue.items] == [200, 10]
        assert not running.world.chirpstack.queue(devices[1].dev_eui).items
    assert result.states() == {Failed}


@pytest.mark.parametrize("data", [b"", b"\x02", b"\xff\x00"])
async def test_what_we_can_not_have_sent_stays_on_our_ports_too(
    data: bytes, autojump_clock: MockClock
) -> None:
    devices = simulated(1)
    async with server(devices, radio=SELDOM) as running:
        deployment_id = await running.orders.take(order(devices))
        await until_they_are(running, deployment_id, SettingUpGroup)
        queue = running.world.chirpstack.queue(devices[0].dev_eui)
        queue.push(200, data)
        await cancel(running, deployment_id)
        await running.end_of(deployment_id, within=timedelta(seconds=5))
        assert len(queue.items) == 2


async def test_what_another_deployment_asks_the_device_stays(autojump_clock: MockClock) -> None:
    """It is in both, with another McGroupID and another FragIndex."""
    devices = simulated(1)
    async with server(devices, radio=SELDOM) as running:
        first = await running.orders.take(order(devices))
        await until_they_are(running, first, SettingUpGroup)
        second = await running.orders.take(
            order(devices, multicast_group_id=1, fragmentation_session_index=1)
        )
        await until_they_are(running, second, SettingUpGroup)
        await cancel(running, first)
        assert (await running.end_of(first, within=timedelta(seconds=5))).why is Why.CANCELLED
        items = running.world.chirpstack.queue(devices[0].dev_eui).items
        requests = [multicast.package.read("down", item.data, 1).commands[0] for item in items]
    assert [request.mc_group_id for request in requests if isinstance(request, McGroupSetupReq)] == [0, 1]


async def test_what_puts_its_clock_right_stays_for_another_deployment(autojump_clock: MockClock) -> None:
    """The same octets are anybody's, and the other has but one attempt."""
    devices = simulated(2, lambda number: Behaviour(clock_offset=timedelta(hours=1 - number)))
    async with server(devices, radio=Radio(rx_delay=timedelta(seconds=5))) as running:
        first = await running.orders.take(
            order(devices, unicast_attempt_count=1, unicast_timeout=timedelta(minutes=1))
        )
        await until_they_are(running, first, CorrectingClock, Listening)
        queue = running.world.chirpstack.queue(devices[0].dev_eui)
        assert [item.f_port for item in queue.items] == [202]
        second = await running.orders.take(
            order(devices[:1], multicast_group_id=1, fragmentation_session_index=1)
        )
        await until_they_are(running, second, SettingUpGroup)
        await cancel(running, second)
        assert (await running.end_of(second, within=timedelta(seconds=5))).why is Why.CANCELLED
        assert (await running.end_of(first)).states() == {Complete}


async def test_what_puts_its_clock_right_is_taken_back_if_nobody_else_needs_it(
    autojump_clock: MockClock,
) -> None:
    devices = simulated(1, lambda _: Behaviour(clock_offset=timedelta(hours=1)))
    async with server(devices, radio=Radio(rx_delay=timedelta(seconds=5))) as running:
        deployment_id = await running.orders.take(order(devices))
        await until_they_are(running, deployment_id, CorrectingClock)
        queue = running.world.chirpstack.queue(devices[0].dev_eui)
        assert [item.f_port for item in queue.items] == [202]
        await cancel(running, deployment_id)
        await running.end_of(deployment_id, within=timedelta(seconds=5))
        assert not queue.items


async def test_while_chirpstack_is_away_it_is_tried_for_a_while_and_the_devices_are_free_then(
    autojump_clock: MockClock,
) -> None:
    devices = simulated(3)
    async with server(devices, radio=SELDOM) as running:
        deployment_id = await running.orders.take(order(devices))
        await until_they_are(running, deployment_id, SettingUpGroup)
        running.network.conditions.outage(timedelta(hours=1))
        await cancel(running, deployment_id)
        await until_they_are(running, deployment_id, Withdrawing)
        await trio.sleep(WITHDRAWAL + 1)
        status = await running.journal.status(deployment_id)
        assert status is not None
        assert {device.state for device in status.devices} == {ABANDONED}
        result = await running.end_of(deployment_id, within=timedelta(hours=2))
        assert not running.world.chirpstack.groups
    assert result.why is Why.CANCELLED


async def test_the_process_dies_in_the_middle(autojump_clock: MockClock) -> None:
    devices = simulated(3)
    around = surroundings(devices, radio=SELDOM)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around) as running:
            deployment_id = await running.orders.take(order(devices))
            await until_they_are(running, deployment_id, SettingUpGroup)
            around.network.conditions.outage(timedelta(hours=1))
            await cancel(running, deployment_id)
            await until_they_are(running, deployment_id, Withdrawing)
        around.network.conditions.outages.clear()
        assert all(around.world.chirpstack.queue(device.dev_eui).items for device in devices)
        async with serving(around) as running:
            result = await running.end_of(deployment_id, within=timedelta(seconds=10))
        assert not any(around.world.chirpstack.queue(device.dev_eui).items for device in devices)
        nursery.cancel_scope.cancel()
    assert result.states() == {Failed}


class Stumbling(MemoryJournal):
    """Its first write of what `Abandon` leads to is a crash of the actor."""

    stumbled = False
    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    async def commit(self, transition: Transition) -> None:
        if transition.cause == Abandon.__name__ and not self.stumbled:
            self.stumbled = True
            self.meanwhile()
            raise RuntimeError("a bug")
        await super().commit(transition)


async def test_a_device_whose_actor_crashes_over_it_is_told_again(autojump_clock: MockClock) -> None:
    """Whatever it is being asked: nobody waits until its attempts are used up."""
    devices = simulated(1, lambda _: Behaviour(ignores=frozenset({FragSessionSetupReq})))
    journal = Stumbling()
    async with server(devices, journal=journal) as running:
        deployment_id = await running.orders.take(order(devices, unicast_timeout=timedelta(hours=1)))
        await until_they_are(running, deployment_id, SettingUpFragments)
        await cancel(running, deployment_id)
        result = await running.end_of(deployment_id, within=timedelta(seconds=20))
    assert journal.stumbled
    assert result.states() == {Failed}


async def test_what_it_is_told_when_it_begins_anew_waits_for_room(autojump_clock: MockClock) -> None:
    devices = simulated(1, lambda _: Behaviour(ignores=frozenset({FragSessionSetupReq})))
    journal = Stumbling()
    async with server(devices, journal=journal) as running, trio.open_nursery() as nursery:
        deployment_id = await running.orders.take(order(devices, unicast_timeout=timedelta(hours=1)))
        await until_they_are(running, deployment_id, SettingUpFragments)
        (ref,) = running.services.devices[devices[0].dev_eui]

        def flood() -> None:
            for _ in range(5 * ref.room):
                nursery.start_soon(ref.tell, ClockAnswered(0))

        journal.meanwhile = flood
        await cancel(running, deployment_id)
        result = await running.end_of(deployment_id, within=timedelta(seconds=20))
        assert ref.dropped, "what it was told when it began anew"
    assert result.states() == {Failed}
