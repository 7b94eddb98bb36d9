"""Somebody deletes a group by hand, before, while or after it is used."""

from datetime import timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from fuota.deployment.plan import MulticastClass, StatusRequest
from fuota.deployment.states import SettingUpGroups, Why
from fuota.device.states import Complete, Failed, Reason
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import Transition
from fuota.lorawan.eui import EUI64
from fuota.network.port import Group as OrderedGroup
from fuota.network.port import KnownGroup
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.radio import Radio
from tests.campaign import IMAGE, order, server, serving, simulated, surroundings
from tests.virtual.test_chirpstack_faults import FRAGMENTS, until_enqueued


@pytest.mark.parametrize("mc_class", MulticastClass)
async def test_a_group_that_somebody_deletes_is_made_again(
    mc_class: MulticastClass, autojump_clock: MockClock
) -> None:
    """In the middle of the transmission: with its members, and frame counters that the devices still take."""
    devices = simulated(5, lambda number: Behaviour(silent=number == 4))
    in_b = mc_class is MulticastClass.B
    async with server(devices) as running:
        running.network.conditions.latency = 0.2
        asked = order(devices, multicast_group_type=mc_class, multicast_timeout=2 if in_b else 6)
        deployment_id = await running.orders.take(asked)
        first = await until_enqueued(running, 30)
        running.world.chirpstack.delete_group(first.id)
        second = await until_enqueued(running, 1)
        assert second.id != first.id
        assert set(second.members) == {device.dev_eui for device in devices[:4]}
        result = await running.end_of(deployment_id)
        assert not running.world.chirpstack.groups
    assert result.why is Why.DONE
    assert {device.image for device in devices[:4]} == {IMAGE}
    assert [type(result.state(device.dev_eui)) for device in devices] == [*[Complete] * 4, Failed]


async def test_what_was_heard_before_a_group_was_deleted_is_not_sent_again(autojump_clock: MockClock) -> None:
    """Where ChirpStack is slow and the windows are short there would be none left for all the rest."""
    devices, journal = simulated(3), MemoryJournal()
    async with server(devices, journal=journal) as running:
        running.network.conditions.latency = 4.9
        deployment_id = await running.orders.take(order(devices, fragmentation_redundancy=40))
        group = await until_enqueued(running, 45)
        running.world.chirpstack.delete_group(group.id)
        result = await running.end_of(deployment_id)
    restored: list[Any] = [each.state for each in journal.history if getattr(each.state, "lost", 0)]
    assert min(state.before for state in restored) > 0
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


async def test_a_group_that_is_deleted_while_devices_join_is_made_again(autojump_clock: MockClock) -> None:
    devices = simulated(5)
    async with server(devices) as running:
        running.network.conditions.latency = 1.0
        deployment_id = await running.orders.take(order(devices))
        await trio.sleep(1.5)
        [group_id] = running.world.chirpstack.groups
        running.world.chirpstack.delete_group(group_id)
        result = await running.end_of(deployment_id)
        assert not running.world.chirpstack.groups
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


async def test_a_group_that_is_gone_for_a_moment_is_joined_when_it_is_back(autojump_clock: MockClock) -> None:
    """As with a backup of ChirpStack's database: it is the same one, so nobody is told of another."""
    devices = simulated(3)
    async with server(devices) as running:
        running.network.conditions.latency = 1.0
        ensure_group, back = running.network.ensure_group, trio.Event()
        deployment_id = await running.orders.take(order(devices))
        await trio.sleep(1.5)
        groups = running.world.chirpstack.groups
        [group_id] = groups
        gone = groups.pop(group_id)

        async def ensured(group: OrderedGroup) -> str:
            await back.wait()
            return await ensure_group(group)

        running.network.ensure_group = ensured  # type: ignore[method-assign]
        await trio.sleep(30)
        groups[group_id] = gone
        back.set()
        result = await running.end_of(deployment_id)
    assert result.states() == {Complete}


@pytest.mark.parametrize("making", [0, 40], ids="made in {} s".format)
async def test_a_device_that_has_yet_to_answer_is_a_member_of_the_next_group_too(
    making: float, autojump_clock: MockClock
) -> None:
    """One has joined and is slow to answer, another has not joined, when the group is deleted; the first may
    answer while the next is made."""
    slow = Behaviour(answer_delay=timedelta(seconds=40))
    devices = simulated(3, lambda number: slow if number == 0 else Behaviour())
    async with server(devices) as running:
        add_device, late = running.network.add_device, trio.Event()

        async def delayed(group: KnownGroup, dev_eui: EUI64) -> None:
            if dev_eui == devices[1].dev_eui:
                await late.wait()
            await add_device(group, dev_eui)

        running.network.add_device = delayed  # type: ignore[method-assign]
        deployment_id = await running.orders.take(order(devices, unicast_timeout=timedelta(seconds=60)))
        await trio.sleep(20)
        [group_id] = running.world.chirpstack.groups
        running.world.chirpstack.delete_group(group_id)
        ensure_group = running.network.ensure_group

        async def slowly(group: OrderedGroup) -> str:
            await trio.sleep(making)
            return await ensure_group(group)

        running.network.ensure_group = slowly  # type: ignore[method-assign]
        late.set()
        result = await running.end_of(deployment_id)
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


class SlowJournal(MemoryJournal):
    """Takes long to write that there is a second group."""

    def __init__(self) -> None:
        super().__init__()
        self.groups, self.second = 0, trio.Event()

    async def commit(self, transition: Transition) -> None:
        if isinstance(transition.state, SettingUpGroups):
            self.groups += 1
            if self.groups == 2:
                await trio.sleep(25)
                await super().commit(transition)
                self.second.set()
                return
        await super().commit(transition)


@pytest.mark.parametrize("dies", [False, True], ids=["lives", "dies"])
async def test_a_device_that_answers_while_the_next_group_is_written_down_is_a_member_of_it(
    dies: bool, autojump_clock: MockClock
) -> None:
    """`dies`: so does the process, as soon as it is written."""
    slow = Behaviour(answer_delay=timedelta(seconds=15))
    devices = simulated(3, lambda number: slow if number == 0 else Behaviour())
    journal = SlowJournal()
    around = surroundings(devices, journal=journal)
    add_device, late = around.network.add_device, trio.Event()

    async def delayed(group: KnownGroup, dev_eui: EUI64) -> None:
        if dev_eui == devices[1].dev_eui:
            await late.wait()
        await add_device(group, dev_eui)

    around.network.add_device = delayed  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around) as running:
            asked = order(devices, unicast_timeout=timedelta(seconds=60))
            deployment_id = await running.orders.take(asked)
            await trio.sleep(10)
            [group_id] = around.world.chirpstack.groups
            around.world.chirpstack.delete_group(group_id)
            late.set()
            await journal.second.wait()
            if not dies:
                result = await running.end_of(deployment_id)
        if dies:
            async with serving(around) as running:
                result = await running.end_of(deployment_id)
        nursery.cancel_scope.cancel()
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


async def test_a_device_is_made_a_member_once_where_no_group_is_lost(autojump_clock: MockClock) -> None:
    devices = simulated(3)
    async with server(devices) as running:
        add_device, added = running.network.add_device, list[EUI64]()

        async def counted(group: KnownGroup, dev_eui: EUI64) -> None:
            added.append(dev_eui)
            await add_device(group, dev_eui)

        running.network.add_device = counted  # type: ignore[method-assign]
        assert (await running.carry_out(order(devices))).states() == {Complete}
    assert sorted(map(str, added)) == sorted(str(device.dev_eui) for device in devices)


@pytest.mark.parametrize("asked", [StatusRequest.AFTER_FRAGMENT_ENQUEUE, StatusRequest.AFTER_SESSION_TIMEOUT])
async def test_a_group_that_is_deleted_with_all_that_waits_in_its_queue_is_made_again(
    asked: StatusRequest, autojump_clock: MockClock
) -> None:
    """ChirpStack takes fragments quicker than it sends them: most of a transmission goes on in its queue."""
    devices = simulated(4)
    async with server(devices, radio=Radio(fragment_interval=timedelta(seconds=3))) as running:
        deployment_id = await running.orders.take(
            order(devices, multicast_timeout=8, request_fragmentation_session_status=asked)
        )
        first = await until_enqueued(running, FRAGMENTS)
        await trio.sleep(30)
        assert len(first.queue.items) > FRAGMENTS / 2
        running.world.chirpstack.delete_group(first.id)
        result = await running.end_of(deployment_id)
        assert not running.world.chirpstack.groups
    assert result.why is Why.DONE
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


async def test_a_group_that_is_deleted_again_and_again_is_given_up(autojump_clock: MockClock) -> None:
    devices = simulated(2)
    async with server(devices) as running:
        running.network.conditions.latency = 0.2
        deployment_id = await running.orders.take(order(devices))
        for _ in range(3):
            group = await until_enqueued(running, 1)
            running.world.chirpstack.delete_group(group.id)
        result = await running.end_of(deployment_id)
    assert result.why is Why.GROUP_LOST
    assert {each.state.reason for each in result.status.devices if isinstance(each.state, Failed)} == {
        Reason.ABANDONED
    }


async def test_a_group_that_is_deleted_before_the_start_is_made_again(autojump_clock: MockClock) -> None:
    devices = simulated(3)
    async with server(devices) as running:
        deployment_id = await running.orders.take(order(devices))
        await trio.sleep(60)
        [group_id] = running.world.chirpstack.groups
        running.world.chirpstack.delete_group(group_id)
        result = await running.end_of(deployment_id)
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}
