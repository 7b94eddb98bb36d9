"""UTC on Trio's clock, and deadlines when the wall clock is set."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest
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


@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize("seconds", [30, -30])
async def test_a_clock_that_was_set_tells_that_it_has_overslept(
    seconds: float, interrupted: bool, autojump_clock: MockClock
) -> None:
    """As when the machine is suspended, and the time of its processes stands still."""
    told: list[float] = []
    clock = WallClock(told.append)
    with trio.move_on_after(60.7 if interrupted else 3600):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clock.sleep_until, START + timedelta(seconds=100))
            await trio.sleep(60.5)
            clock.moved.append(timedelta(seconds=seconds))
    assert told == [pytest.approx(seconds)]


async def test_who_was_suspended_tells_before_he_goes_on(autojump_clock: MockClock) -> None:
    """Alone, that is: the machine's time went on."""
    told: list[tuple[str, float]] = []
    for clock in (WallClock(), TrioClock(START)):
        clock = attrs.evolve(clock, overslept=lambda late: told.append(("overslept", late)))

        async def sleeper(clock: Clock = clock) -> None:
            await clock.sleep_until(clock.now() + timedelta(seconds=20))
            told.append(("awake", 0))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleeper)
            await trio.sleep(19.5)
            autojump_clock.jump(60.5)
    assert told == [("overslept", pytest.approx(60)), ("awake", 0)] * 2


async def test_who_sleeps_as_long_as_he_wants_to_tells_nothing(autojump_clock: MockClock) -> None:
    told: list[float] = []
    for clock in (WallClock(told.append), TrioClock(START, told.append)):
        await clock.sleep_until(clock.now() + timedelta(hours=1))
        await clock.sleep_until(clock.now() - timedelta(hours=1))
    assert told == []


async def test_an_instant_that_is_past_is_a_checkpoint(autojump_clock: MockClock) -> None:
    clocks: list[Clock] = [WallClock(), TrioClock(START)]
    for clock in clocks:
        with trio.move_on_after(0) as scope:
            await clock.sleep_until(START - timedelta(days=1))
        assert scope.cancelled_caught
