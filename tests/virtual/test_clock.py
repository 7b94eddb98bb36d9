"""UTC on Trio's clock, and deadlines when the wall clock is set."""

from datetime import UTC, datetime, timedelta

import attrs
import trio
from trio.testing import MockClock

from fuota.clock import Clock, SystemClock, TrioClock

START = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


@attrs.frozen
class WallClock(SystemClock):
    """A machine's clock, and by how much somebody has moved it."""

    moved: list[timedelta] = attrs.field(factory=list)

    def now(self) -> datetime:
        return START + timedelta(seconds=trio.current_time()) + sum(self.moved, timedelta())


async def test_virtual_time_begins_with_the_first_look(autojump_clock: MockClock) -> None:
    await trio.sleep(100)
    clock = TrioClock(START)
    assert clock.now() == START
    await trio.sleep(0.25)
    assert clock.now() == START + timedelta(seconds=0.25)


async def test_an_instant_in_virtual_time_is_reached_exactly(autojump_clock: MockClock) -> None:
    clock: Clock = TrioClock(START)
    for microseconds in (1, 333_333, 86_400_000_001, 31_557_600_000_007):
        instant = START + timedelta(microseconds=microseconds)
        await clock.sleep_until(instant)
        assert clock.now() == instant
    await clock.sleep_until(START)
    assert clock.now() == instant


async def test_the_wall_clock_is_utc() -> None:
    assert SystemClock().now().tzinfo is UTC
    assert abs(SystemClock().now() - datetime.now(UTC)) < timedelta(seconds=5)


async def test_a_wall_clock_that_is_put_forward_is_noticed_within_a_second(autojump_clock: MockClock) -> None:
    clock = WallClock()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clock.sleep_until, START + timedelta(hours=10))
        await trio.sleep(60.5)
        clock.moved.append(timedelta(hours=10))
    assert 60.5 <= trio.current_time() <= 61.5


async def test_a_wall_clock_that_is_put_back_is_waited_for(autojump_clock: MockClock) -> None:
    clock = WallClock()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clock.sleep_until, START + timedelta(seconds=100))
        await trio.sleep(60.5)
        clock.moved.append(timedelta(seconds=-50))
    assert trio.current_time() == 150


async def test_an_instant_that_is_past_is_a_checkpoint(autojump_clock: MockClock) -> None:
    clocks: list[Clock] = [WallClock(), TrioClock(START)]
    for clock in clocks:
        with trio.move_on_after(0) as scope:
            await clock.sleep_until(START - timedelta(days=1))
        assert scope.cancelled_caught
