"""What a device has said, and what is read of it late."""

from datetime import timedelta

import pytest
import trio
from trio.testing import MockClock

from fuota.deployment.plan import StatusRequest
from fuota.device.states import AskingStatus, Released, SettingUpSession
from fuota.lorawan import multicast
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.radio import Radio
from fuota.uplink import Uplink
from tests.campaign import IMAGE, order, server, serving, simulated, surroundings
from tests.virtual.test_last_attempts import check


@pytest.mark.parametrize("attempts", [1, 3])
async def test_the_answer_to_an_earlier_session_agrees_to_nothing(
    attempts: int, autojump_clock: MockClock
) -> None:
    """It comes when the start was put off, and before the network has taken the next request."""
    devices = simulated(2)
    around = surroundings(devices)
    first, held = devices[0].dev_eui, list[Uplink]()

    def session() -> int:
        asked = [
            each.state.session.number
            for each in around.journal.history
            if isinstance(each.state, SettingUpSession) and each.actor.dev_eui == first
        ]
        return max(asked, default=0)

    def hold(uplink: Uplink) -> list[Uplink]:
        if uplink.dev_eui == first and uplink.f_port == multicast.package.port and session() == 1:
            held.append(uplink)
            return []
        return [uplink]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around, hold) as running:
            asked = order(devices, unicast_attempt_count=attempts, unicast_timeout=timedelta(seconds=90))
            deployment_id = await running.orders.take(asked)
            while not held:  # noqa: ASYNC110  # it is told by the journal alone
                await trio.sleep(0.05)
            around.network.conditions.outage(timedelta(hours=1))  # the start comes in it, and is put off
            while session() < 2:  # noqa: ASYNC110
                await trio.sleep(0.05)
            await trio.sleep(1)
            assert around.deliver is not None
            await around.deliver(held[0])
            around.network.conditions.outages.clear()
            check(await running.end_of(deployment_id), {device.image for device in devices})
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("attempts", [1, 2, 3])
async def test_a_status_that_was_long_on_its_way_is_not_the_last_word(
    attempts: int, autojump_clock: MockClock
) -> None:
    """It was told while the window was open, and comes when it has closed."""
    devices = simulated(2)
    around = surroundings(devices, radio=Radio(fragment_interval=timedelta(seconds=1)))
    asked = order(
        devices,
        unicast_attempt_count=attempts,
        unicast_timeout=timedelta(seconds=70),
        fragmentation_redundancy=0,
        request_fragmentation_session_status=StatusRequest.AFTER_FRAGMENT_ENQUEUE,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around) as running:
            deliver = around.deliver
            assert deliver is not None

            async def late(uplink: Uplink) -> None:
                states = [each.state for each in around.journal.history]
                asking = [state for state in states if isinstance(state, AskingStatus)]
                if asking and around.clock.now() < asking[0].session.end:
                    await around.clock.sleep_until(asking[0].session.end + timedelta(seconds=2))
                await deliver(uplink)

            around.deliver = late
            deployment_id = await running.orders.take(asked)
            check(await running.end_of(deployment_id), {device.image for device in devices})
        nursery.cancel_scope.cancel()


async def test_nobody_is_counted_on_whose_clock_was_put_right_after_it_had_agreed(
    autojump_clock: MockClock,
) -> None:
    """The request to put it right waits in its queue while the start is put off for it, and the next request
    for the session behind that. It takes both before it is told the time: its timer runs by the old clock."""
    behind = Behaviour(clock_offset=timedelta(seconds=-12), early_time_to_start=True)
    devices = simulated(60, lambda _: behind)
    async with server(devices, radio=Radio(uplink_interval=timedelta(seconds=60))) as running:
        running.network.conditions.latency, running.network.conditions.failing = 2, 0.3
        result = await running.carry_out(
            order(
                devices,
                multicast_timeout=8,
                unicast_attempt_count=1,
                unicast_timeout=timedelta(seconds=82),
                fragmentation_redundancy=0,
                request_fragmentation_session_status=StatusRequest.NO_REQUEST,
            )
        )
    assert result.states() == {Released}
    assert {device.image for device in devices} == {IMAGE}
