"""A network that does not show what waits in a group's queue, never or not just now."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import structlog
import trio
from trio.testing import MockClock

from fuota.deployment import states
from fuota.deployment.outside import UNSHOWN
from fuota.deployment.plan import StatusRequest
from fuota.device.states import Complete, Released
from fuota.journal.memory import MemoryJournal
from fuota.network.port import KnownGroup, Refused
from fuota.network.simulated import SimulatedNetwork
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.radio import Radio
from tests.campaign import IMAGE, order, server, simulated

SLOW = Radio(fragment_interval=timedelta(seconds=2.9))
"""All 61 fragments need most of a window of 256 s."""


@contextmanager
def hidden(network: SimulatedNetwork, after: float, until: float) -> Iterator[None]:
    """The queue is not shown in this time, in seconds from the first look at it."""
    waiting, first = network.waiting, math.inf

    async def declining(group: KnownGroup) -> frozenset[tuple[int, bytes]]:
        nonlocal first
        first = min(first, trio.current_time())
        if after <= trio.current_time() - first < until:
            raise Refused("INTERNAL", "something")
        return await waiting(group)

    network.waiting = declining  # type: ignore[method-assign]
    with structlog.testing.capture_logs() as said:
        yield
    assert [line["event"] for line in said].count("what waits in a queue is not known") == 1


def arranged(journal: MemoryJournal) -> int:
    """How many windows there were to be."""
    return len([each for each in journal.history if isinstance(each.state, states.ArrangingSession)])


@pytest.mark.parametrize("asked", StatusRequest)
@pytest.mark.parametrize("redundancy", [0, 20])
@pytest.mark.parametrize(("after", "until"), [(0, math.inf), (25, 60)])
async def test_a_queue_that_is_not_shown_does_not_end_the_window(
    after: float, until: float, redundancy: int, asked: StatusRequest, autojump_clock: MockClock
) -> None:
    devices, journal = simulated(2), MemoryJournal()
    async with server(devices, radio=SLOW, journal=journal) as running:
        with hidden(running.network, after, until):
            await running.carry_out(
                order(
                    devices,
                    multicast_timeout=8,
                    fragmentation_redundancy=redundancy,
                    request_fragmentation_session_status=asked,
                )
            )
    assert {device.image for device in devices} == {IMAGE}
    assert arranged(journal) == 1


@pytest.mark.parametrize("asked", StatusRequest)
async def test_what_was_last_seen_in_a_queue_counts_when_it_is_not_shown_any_more(
    asked: StatusRequest, autojump_clock: MockClock
) -> None:
    """21 of 41 fragments are on the air in a window of 64 s; it closes before the queue is shown again."""
    devices, journal = simulated(2), MemoryJournal()
    async with server(devices, radio=SLOW, journal=journal) as running:
        with hidden(running.network, after=40, until=90):
            await running.carry_out(
                order(devices, fragmentation_redundancy=0, request_fragmentation_session_status=asked)
            )
    assert {device.image for device in devices} == {IMAGE}
    assert arranged(journal) > 1


@pytest.mark.parametrize("until", [100, 600, 3000])
async def test_where_no_device_will_tell_the_queue_is_waited_for(
    until: float, autojump_clock: MockClock
) -> None:
    """It is shown again when the window of 64 s has closed, in which 21 of 41 fragments were on the air."""
    devices, journal = simulated(2), MemoryJournal()
    async with server(devices, radio=SLOW, journal=journal) as running:
        with hidden(running.network, after=0, until=until):
            result = await running.carry_out(
                order(
                    devices,
                    fragmentation_redundancy=0,
                    request_fragmentation_session_status=StatusRequest.NO_REQUEST,
                )
            )
    assert result.states() == {Released}
    assert {device.image for device in devices} == {IMAGE}
    assert arranged(journal) > 1


@pytest.mark.parametrize("until", [30, math.inf])
async def test_nor_is_it_taken_for_empty_while_devices_need_more_to_finish(
    until: float, autojump_clock: MockClock
) -> None:
    """They say that they have all when some fifty of 61 have been sent, and need 59."""
    devices, journal = simulated(3, lambda _: Behaviour(trailing=18)), MemoryJournal()
    radio = Radio(fragment_interval=timedelta(seconds=2.5))
    async with server(devices, radio=radio, journal=journal) as running:
        waiting, draining = running.network.waiting, math.inf

        async def declining(group: KnownGroup) -> frozenset[tuple[int, bytes]]:
            nonlocal draining
            if isinstance(journal.history[-1].state, states.Draining):
                draining = min(draining, trio.current_time())
                if trio.current_time() < draining + until:
                    raise Refused("UNIMPLEMENTED", "ListQueue")
            return await waiting(group)

        running.network.waiting = declining  # type: ignore[method-assign]
        result = await running.carry_out(
            order(
                devices,
                multicast_timeout=8,
                request_fragmentation_session_status=StatusRequest.AFTER_FRAGMENT_ENQUEUE,
            )
        )
    assert any(isinstance(transition.state, states.Draining) for transition in journal.history)
    assert draining < math.inf
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


async def test_a_queue_that_is_never_shown_is_not_waited_for(autojump_clock: MockClock) -> None:
    """ChirpStack says INTERNAL of it, each time, and nothing else is asked meanwhile that proves anything."""
    devices = simulated(2)
    async with server(devices, radio=SLOW) as running:
        running.network.shy.add("1")
        result = await running.carry_out(order(devices, multicast_timeout=8), within=timedelta(minutes=8))
    assert result.states() == {Complete}


async def test_nor_for_ever_where_no_device_will_tell(autojump_clock: MockClock) -> None:
    devices = simulated(2)
    async with server(devices, radio=SLOW) as running:
        running.network.shy.add("1")
        result = await running.carry_out(
            order(
                devices,
                multicast_timeout=8,
                request_fragmentation_session_status=StatusRequest.NO_REQUEST,
            ),
            within=timedelta(minutes=8) + UNSHOWN,
        )
    assert result.states() == {Released}
    assert {device.image for device in devices} == {IMAGE}
