"""The process is suspended while a session is arranged: what comes to light afterwards was said before."""

from datetime import datetime, timedelta

import pytest
import trio

from fuota.deployment.states import ArrangingSession, Ended, Why
from fuota.device.states import Complete, CorrectingClock, Reason
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import Transition
from fuota.lorawan.clocksync import ForceDeviceResyncReq
from fuota.simulation.behaviour import Behaviour
from fuota.uplink import Uplink
from tests.campaign import IMAGE, START, order, serving, simulated, surroundings
from tests.soak.clock import LeapingClock

TIMEOUT = 15
"""Seconds that an answer is awaited."""

LATENCY = 1.0
"""Seconds that a call to ChirpStack takes."""

HELD = 0.1
"""Seconds until what was said meanwhile is read."""

RIGHT = Behaviour(ignores=frozenset({ForceDeviceResyncReq}))
"""Has its time by DeviceTimeReq, and does not know of TS003."""


@pytest.fixture
def leaping_clock() -> LeapingClock:
    return LeapingClock(START)


class TellingJournal(MemoryJournal):
    """Says when the first session is arranged."""

    def __init__(self) -> None:
        super().__init__()
        self.arranging = trio.Event()

    async def commit(self, transition: Transition) -> None:
        await super().commit(transition)
        if isinstance(transition.state, ArrangingSession):
            self.arranging.set()


@pytest.mark.parametrize("seconds", [9, 90])
@pytest.mark.parametrize(
    ("attempts", "moment"),
    [(attempts, moment) for attempts in (1, 2, 3) for moment in range(attempts * TIMEOUT + 5)],
)
async def test_an_answer_from_before_the_session_says_nothing_about_it(
    attempts: int, moment: int, seconds: int, leaping_clock: LeapingClock
) -> None:
    """It is read when the next one is arranged, and not yet asked for."""
    devices = simulated(4, lambda _: RIGHT)
    around = surroundings(devices, journal=(journal := TellingJournal()), timeline=leaping_clock)
    asked = order(devices, unicast_attempt_count=attempts, unicast_timeout=timedelta(seconds=TIMEOUT))
    held = {device.dev_eui for device in devices[:2]}
    began = ended = datetime.max.replace(tzinfo=START.tzinfo)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around) as running:
            deliver = around.deliver
            assert deliver is not None

            async def late(uplink: Uplink) -> None:
                if began <= uplink.received_at <= ended and uplink.dev_eui in held:
                    await trio.sleep(HELD)
                await deliver(uplink)

            around.deliver = late
            deployment_id = await running.orders.take(asked)
            await journal.arranging.wait()
            around.network.conditions.latency = LATENCY
            await trio.sleep(moment + 0.5)
            began, ended = around.clock.now(), around.clock.now() + timedelta(seconds=seconds)
            leaping_clock.suspend(seconds)
            result = await running.end_of(deployment_id)
        nursery.cancel_scope.cancel()
    assert result.status.state == Ended(Why.DONE, "")
    assert result.states() == {Complete}, result.status.devices
    assert {device.image for device in devices} == {IMAGE}
    states = [each.state for each in journal.history]
    assert all(
        each.otherwise.reason is not Reason.CLOCK_OFF for each in states if isinstance(each, CorrectingClock)
    )
