"""The process is suspended, alone or with its machine, and the network goes on without it."""

from datetime import timedelta

import pytest
import trio

from fuota.deployment.plan import MulticastClass
from fuota.deployment.states import Ended, Why
from fuota.device.states import Complete
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import Transition
from fuota.uplink import Uplink
from tests.campaign import IMAGE, START, order, serving, simulated, surroundings
from tests.soak.clock import LeapingClock
from tests.virtual.test_resume import COMMITS

PATIENCE = timedelta(seconds=10)
"""How long ChirpStack waits until its event is taken."""

LONG = 90.0
"""Seconds: longer than an answer is awaited."""


@pytest.fixture
def leaping_clock() -> LeapingClock:
    return LeapingClock(START)


class SuspendingJournal(MemoryJournal):
    """At one commit, made or not, everything stands still for a while."""

    def __init__(self, clock: LeapingClock, at: int, *, after: bool) -> None:
        super().__init__()
        self.clock, self.at, self.after = clock, at, after
        self.commits = 0

    async def commit(self, transition: Transition) -> None:
        self.commits += 1
        if self.commits == self.at and not self.after:
            self.clock.suspend(LONG)
        await super().commit(transition)
        if self.commits == self.at and self.after:
            await trio.sleep(0.5)  # the request is on its way
            self.clock.suspend(LONG)


@pytest.mark.parametrize("mc_class", MulticastClass)
@pytest.mark.parametrize("lost", [False, True], ids=["kept", "lost"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, COMMITS + 1))
async def test_being_suspended_costs_no_attempt(
    at: int, after: bool, lost: bool, mc_class: MulticastClass, leaping_clock: LeapingClock
) -> None:
    """Though there is but one. `lost`: ChirpStack has given up most of what came meanwhile."""
    devices = simulated(2)
    journal = SuspendingJournal(leaping_clock, at, after=after)
    around = surroundings(devices, journal=journal, timeline=leaping_clock)
    asked = order(
        devices,
        multicast_group_type=mc_class,
        multicast_timeout=2 if mc_class is MulticastClass.B else 6,
        unicast_attempt_count=1,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around) as running:
            deliver = around.deliver
            assert deliver is not None

            async def in_time(uplink: Uplink) -> None:
                if not lost or around.clock.now() - uplink.received_at < PATIENCE:
                    await deliver(uplink)

            around.deliver = in_time
            result = await running.carry_out(asked)
        nursery.cancel_scope.cancel()
    assert result.status.state == Ended(Why.DONE, "")
    assert result.states() == {Complete}, result.status.devices
    assert {device.image for device in devices} == {IMAGE}
    assert journal.commits >= COMMITS
