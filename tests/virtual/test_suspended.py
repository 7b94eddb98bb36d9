"""The process is suspended, alone or with its machine, and the network goes on without it."""

from datetime import datetime, timedelta

import attrs
import pytest
import trio
from trio.testing import MockClock

from fuota.clock import TrioClock
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


@attrs.define
class WrongClock(TrioClock):
    """The server's clock, which is off until somebody sets it right."""

    right: TrioClock = attrs.field(kw_only=True)
    off: timedelta = attrs.field(kw_only=True)

    def now(self) -> datetime:
        return self.right.now() + self.off

    async def sleep_until(self, instant: datetime) -> None:
        while self.now() < instant:  # noqa: ASYNC110  # an hour may be gone at once
            await trio.sleep(1)

    def set_right(self) -> None:
        self.overslept(-self.off.total_seconds())
        self.off = timedelta()


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("after", [0, 5, 14])
@pytest.mark.parametrize("off", [timedelta(hours=1), timedelta(hours=-1)], ids=["ahead", "behind"])
async def test_a_clock_that_is_set_right_while_devices_are_asked_costs_none_of_them(
    off: timedelta, after: float, attempts: int, autojump_clock: MockClock
) -> None:
    """If it was ahead, their answers are older than the order; if it was behind, none is awaited any more."""
    devices = simulated(2)
    around = surroundings(devices)
    around.clock = wrong = WrongClock(START, right=around.clock, off=off)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around) as running:
            deployment_id = await running.orders.take(order(devices, unicast_attempt_count=attempts))
            await trio.sleep(after)
            wrong.set_right()
            result = await running.end_of(deployment_id)
        nursery.cancel_scope.cancel()
    assert result.states() == {Complete}, result.status.devices
    assert {device.image for device in devices} == {IMAGE}
