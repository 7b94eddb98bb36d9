"""What a deployment knows of its group's queue when a window closes."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import trio
from trio.testing import MockClock

from fuota.deployment import states
from fuota.deployment.plan import RESTORATIONS, StatusRequest
from fuota.device.states import Complete
from fuota.journal.memory import MemoryJournal
from fuota.network.port import KnownGroup
from fuota.simulation.behaviour import Behaviour, Stack
from fuota.simulation.radio import Radio
from tests.campaign import IMAGE, Server, order, server, serving, simulated, surroundings
from tests.virtual.test_resume import MortalJournal, live

SLOW = Radio(fragment_interval=timedelta(seconds=2.9))
"""21 fragments in a window."""

ASKING = [StatusRequest.AFTER_SESSION_TIMEOUT, StatusRequest.AFTER_FRAGMENT_ENQUEUE]


async def until_all_is_enqueued(running: Server, deployment_id: UUID) -> Any:
    """The session in which it is."""
    while True:
        summary = await running.journal.summary(deployment_id)
        assert summary is not None
        if isinstance(summary.state, states.AwaitingEnd | states.Settling):
            return summary.state.session
        await trio.sleep(0.1)


@pytest.mark.parametrize("asked", ASKING)
@pytest.mark.parametrize("away", ["process", "ChirpStack", "database"])
async def test_what_leaves_the_queue_after_the_window_is_not_taken_for_heard(
    away: str, asked: StatusRequest, autojump_clock: MockClock
) -> None:
    """Nobody looks when the window closes, and ChirpStack goes on to send, to nobody."""
    devices = simulated(2)
    around = surroundings(devices, radio=SLOW)
    asked_for = order(devices, fragmentation_redundancy=0, request_fragmentation_session_status=asked)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around) as running:
            deployment_id = await running.orders.take(asked_for)
            session = await until_all_is_enqueued(running, deployment_id)
            await around.clock.sleep_until(session.end - timedelta(seconds=5))
            if away == "ChirpStack":  # its API; what it has in its queues it goes on to send
                around.network.conditions.outage(timedelta(seconds=90))
            elif away == "database":
                around.journal.ownership.doubt("the database is away")
                await trio.sleep(90)
                around.journal.ownership.gain(1, float("inf"))
            if away != "process":
                result = await running.end_of(deployment_id)
        if away == "process":
            await trio.sleep(90)
            async with serving(around) as running:
                result = await running.end_of(deployment_id)
        nursery.cancel_scope.cancel()
    assert result.states() == {Complete}, result.status.devices
    assert {device.image for device in devices} == {IMAGE}


async def all_is_heard(interval: float, latency: float, off: int) -> None:
    """Without redundancy, by a device whose clock is right and one whose clock is `off`, both in seconds."""
    devices = simulated(2, lambda number: Behaviour(clock_offset=timedelta(seconds=off * number)))
    async with server(devices, radio=Radio(fragment_interval=timedelta(seconds=interval))) as running:
        deployment_id = await running.orders.take(order(devices, fragmentation_redundancy=0))
        await until_all_is_enqueued(running, deployment_id)
        running.network.conditions.latency = latency
        result = await running.end_of(deployment_id)
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


async def test_a_window_is_followed_by_as_many_as_the_pace_of_the_network_needs(
    autojump_clock: MockClock,
) -> None:
    """ChirpStack 4 leaves 5 s from one class C fragment to the next, unless it is told otherwise."""
    devices, journal = simulated(3), MemoryJournal()
    radio = Radio(fragment_interval=timedelta(seconds=5))
    async with server(devices, radio=radio, journal=journal) as running:
        asked = order(devices, fragmentation_fragment_size=10, multicast_timeout=7)
        result = await running.carry_out(asked)
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}
    windows = {each.state.session for each in journal.history if isinstance(each.state, states.Transmitting)}
    assert len(windows) == 10, "221 fragments, 25 in each of five, 23 when coded ones make up for no more"


@pytest.mark.parametrize("off", [0, 2])
@pytest.mark.parametrize(("interval", "latency"), [(1.6, 0.6), (2.0, 0.3), (2.5, 0.95), (3.0, 1.5)])
async def test_nor_is_what_leaves_it_while_it_is_looked_at(
    interval: float, latency: float, off: int, autojump_clock: MockClock
) -> None:
    """A look is two calls of `latency` seconds each; ChirpStack sends once in `interval`. A clock is ahead by
    `off` seconds, which is little."""
    await all_is_heard(interval, latency, off)


@pytest.mark.parametrize("latency", [1.8, 2.6, 3.4, 4.2])
async def test_nor_is_what_left_it_when_the_first_windows_had_closed(
    latency: float, autojump_clock: MockClock
) -> None:
    """A clock is ahead by 4 s, and the last fragment is on the air 3 s before the window closes, as a
    look that began in time is answered."""
    await all_is_heard(interval=1.4, latency=latency, off=4)


async def test_a_queue_that_was_seen_empty_is_not_looked_at_again(autojump_clock: MockClock) -> None:
    """The process is away when the window closes: there is no second one."""
    devices = simulated(2)
    around = surroundings(devices)
    status_request = StatusRequest.AFTER_SESSION_TIMEOUT
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around) as running:
            deployment_id = await running.orders.take(
                order(devices, request_fragmentation_session_status=status_request)
            )
            session = await until_all_is_enqueued(running, deployment_id)
            await around.clock.sleep_until(session.end - timedelta(seconds=5))
        await trio.sleep(90)
        async with serving(around) as running:
            result = await running.end_of(deployment_id)
        nursery.cancel_scope.cancel()
    assert result.states() == {Complete}
    arranged = [
        each.state for each in around.journal.history if isinstance(each.state, states.ArrangingSession)
    ]
    assert len(arranged) == 1


async def test_fragments_that_wait_twice_are_no_queue_that_stands_still(autojump_clock: MockClock) -> None:
    """Half of the calls that put them there are carried out and not answered, so that they are made again."""
    devices = simulated(2)
    async with server(devices, radio=SLOW) as running:
        multicast = running.network.multicast

        async def unanswered(group: KnownGroup, f_port: int, data: bytes) -> None:
            running.network.conditions.unsaid = 0.5
            try:
                await multicast(group, f_port, data)
            finally:
                running.network.conditions.unsaid = 0

        running.network.multicast = unanswered  # type: ignore[method-assign]
        result = await running.carry_out(order(devices))
    assert result.states() == {Complete}, result.status.devices
    assert {device.image for device in devices} == {IMAGE}


async def test_a_batch_that_the_death_of_the_process_has_doubled(autojump_clock: MockClock) -> None:
    """26 fragments in all; the first 20 are sent twice, and 15 are on the air in a window."""
    devices = simulated(2)
    journal = MortalJournal(18, after=False)  # before it is written that the first batch is in the queue
    around = surroundings(devices, journal=journal, radio=Radio(fragment_interval=timedelta(seconds=4)))
    asked = order(devices, payload=IMAGE[:1300], fragmentation_redundancy=0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        deployment_id = await live(around, journal, None, asked)
        assert journal.died.is_set()
        journal.died = trio.Event()
        await trio.sleep(5)
        await live(around, journal, deployment_id, asked)
        nursery.cancel_scope.cancel()
    status = await journal.status(deployment_id)
    assert status is not None
    assert {type(each.state) for each in status.devices} == {Complete}, status.devices


@pytest.mark.parametrize("asked", StatusRequest)
async def test_a_group_that_is_deleted_once_too_often_when_all_is_enqueued(
    asked: StatusRequest, autojump_clock: MockClock
) -> None:
    devices = simulated(2)
    async with server(devices, radio=Radio(fragment_interval=timedelta(seconds=2))) as running:
        deployment_id = await running.orders.take(
            order(devices, multicast_timeout=8, request_fragmentation_session_status=asked)
        )
        groups, deleted = running.world.chirpstack.groups, set[str]()
        with trio.fail_after(6 * 3600):
            while len(deleted) <= RESTORATIONS:
                await until_all_is_enqueued(running, deployment_id)
                for group_id in set(groups) - deleted:
                    deleted.add(group_id)
                    running.world.chirpstack.delete_group(group_id)
                await trio.sleep(1)
        await running.end_of(deployment_id, within=timedelta(hours=12))
        assert not groups


async def test_a_device_that_answers_before_the_deployment_has_looked_is_not_given_up(
    autojump_clock: MockClock,
) -> None:
    """It was asked when it listened; then ChirpStack's API is away for half a minute; 20 fragments wait."""
    devices = simulated(2, lambda number: Behaviour(answer_delay=timedelta(seconds=20)))
    radio = Radio(fragment_interval=timedelta(seconds=3), uplink_interval=timedelta(seconds=5))
    async with server(devices, radio=radio) as running:
        deployment_id = await running.orders.take(
            order(
                devices,
                fragmentation_redundancy=0,
                unicast_timeout=timedelta(seconds=30),
                request_fragmentation_session_status=StatusRequest.AFTER_FRAGMENT_ENQUEUE,
            )
        )
        session = await until_all_is_enqueued(running, deployment_id)
        await running.clock.sleep_until(session.end - timedelta(seconds=1))
        running.network.conditions.outage(timedelta(seconds=31))
        result = await running.end_of(deployment_id)
    assert result.states() == {Complete}, result.status.devices
    assert {device.image for device in devices} == {IMAGE}


@pytest.mark.parametrize("asked", StatusRequest)
@pytest.mark.parametrize("latency", [0, 0.1])
@pytest.mark.parametrize(
    ("time_out", "fragments"), [(2, 4), (3, 5), (3, 15), (4, 20), (5, 41), (7, 41), (9, 41)]
)
async def test_a_short_window_in_which_all_is_heard_is_opened_once(
    time_out: int, fragments: int, latency: float, asked: StatusRequest, autojump_clock: MockClock
) -> None:
    """Its queue is seen empty before it closes."""
    devices, journal = simulated(2), MemoryJournal()
    radio = Radio(fragment_interval=timedelta(seconds=0.3))
    async with server(devices, radio=radio, journal=journal) as running:
        running.network.conditions.latency = latency
        image = IMAGE[: fragments * 50]
        await running.carry_out(
            order(
                devices,
                payload=image,
                multicast_timeout=time_out,
                fragmentation_redundancy=0,
                request_fragmentation_session_status=asked,
            )
        )
    assert {device.image for device in devices} == {image}
    assert [each.state for each in journal.history if isinstance(each.state, states.ArrangingSession)][
        1:
    ] == []


@pytest.mark.parametrize("stack", [Stack.TEXT, Stack.LORAMAC_NODE])
async def test_no_uncoded_fragment_is_left_to_the_coded_ones_at_the_end_of_a_window(
    stack: Stack, autojump_clock: MockClock
) -> None:
    """They may not make up for just that one; and LoRaMac-node would say for good that it lacks it."""
    devices = simulated(2, lambda _: Behaviour(clock_offset=timedelta(seconds=2), stack=stack))
    async with server(devices, radio=Radio(fragment_interval=timedelta(seconds=2.9))) as running:
        result = await running.carry_out(order(devices, fragmentation_redundancy=12))
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


async def test_a_coded_fragment_is_not_taken_to_make_up_for_the_ends_of_two_windows(
    autojump_clock: MockClock,
) -> None:
    """A device whose clock is ahead closes each of them too early for the last one."""
    devices = simulated(4, lambda number: Behaviour(clock_offset=timedelta(seconds=2 * (number % 2))))
    async with server(devices, radio=Radio(fragment_interval=timedelta(seconds=2.9))) as running:
        result = await running.carry_out(order(devices, fragmentation_redundancy=1))
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}
