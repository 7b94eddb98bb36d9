"""Every uplink finds the devices it concerns, and is taken when they are done with it."""

import gc
import math
import weakref

import attrs
import pytest
import trio

from fuota.actor import TooLate
from fuota.device.messages import Heard
from fuota.dispatcher import KEPT, SWEEP, Outcome
from tests.virtual.dispatching import ONE, TWO, clock_request, field, uplink


@pytest.mark.parametrize("f_port", [200, 201])
async def test_an_uplink_goes_to_the_device_it_concerns(autojump_clock: object, f_port: int) -> None:
    async with field() as f:
        one, two = f.device(ONE, "one"), f.device(TWO, "two")
        assert await f.route(uplink(f_port=f_port)) is Outcome.TAKEN
        assert one.heard() == [uplink(f_port=f_port)]
        assert two.told == []


async def test_a_device_in_two_deployments_hears_it_in_both(autojump_clock: object) -> None:
    async with field() as f:
        first, second = f.device(ONE, "first"), f.device(ONE, "second")
        assert await f.route(uplink()) is Outcome.TAKEN
        assert first.heard() == second.heard() == [uplink()]


async def test_an_uplink_of_no_concern_is_taken_at_once(autojump_clock: object) -> None:
    async with field() as f:
        assert await f.route(uplink()) is Outcome.TAKEN
        assert await f.route(uplink(f_port=203)) is Outcome.TAKEN
        assert f.network.attempts == 0


async def test_taken_means_that_all_are_done_with_it(autojump_clock: object) -> None:
    async with field() as f, trio.open_nursery() as nursery:
        quick, slow = f.device(ONE, "quick"), f.device(ONE, "slow", busy=True)
        outcomes: list[Outcome] = []

        async def route() -> None:
            outcomes.append(await f.route(uplink()))

        nursery.start_soon(route)
        await trio.sleep(5)
        assert quick.heard()
        assert outcomes == []
        slow.proceeds.set()
        await trio.testing.wait_all_tasks_blocked()
        assert outcomes == [Outcome.TAKEN]


async def test_done_twice_by_one_is_not_done_by_two(autojump_clock: object) -> None:
    async with field() as f:
        f.device(ONE, "slow", busy=True)
        quick = f.device(ONE, "quick")
        with trio.move_on_after(5) as waiting:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(f.route, uplink())
                await trio.sleep(1)
                (heard,) = quick.told
                assert isinstance(heard, Heard)
                heard.done()
        assert waiting.cancelled_caught


async def test_busy_when_one_of_them_is_full_but_the_others_hear_it(autojump_clock: object) -> None:
    async with field() as f, trio.open_nursery() as nursery:
        f.device(ONE, "stuck", room=1, busy=True)
        well = f.device(ONE, "well")
        for f_cnt in (1, 2):
            nursery.start_soon(f.route, uplink(f_cnt=f_cnt))
            await trio.testing.wait_all_tasks_blocked()
        assert await f.route(uplink(f_cnt=3)) is Outcome.BUSY
        await trio.testing.wait_all_tasks_blocked()
        assert well.heard() == [uplink(f_cnt=1), uplink(f_cnt=2), uplink(f_cnt=3)]
        nursery.cancel_scope.cancel()


async def test_it_says_what_it_has_done(autojump_clock: object) -> None:
    async with field() as f:
        f.device(ONE, "one")
        await f.route(uplink())
        await f.route(uplink(TWO))
        await f.route(clock_request(off=1))
        await trio.testing.wait_all_tasks_blocked()
        assert attrs.asdict(f.describe()) == {  # type: ignore[arg-type]
            "routed": 1,
            "unconcerned": 1,
            "busy": 0,
            "elsewhere": 0,
            "clock_answers": 1,
            "clock_failures": 0,
        }


async def test_what_is_kept_is_bounded(autojump_clock: object) -> None:
    """No device's actor gets on, as when the database is away: memory is not for ever."""
    async with field() as f:
        stuck = [f.device(ONE, f"stuck {number}", room=KEPT, busy=True) for number in range(2)]
        async with trio.open_nursery() as nursery:
            for f_cnt in range(KEPT):
                nursery.start_soon(f.route, uplink(f_cnt=f_cnt))
            await trio.testing.wait_all_tasks_blocked()
            assert await f.route(uplink(f_cnt=KEPT)) is Outcome.BUSY
            assert await f.route(uplink(TWO)) is Outcome.TAKEN
            for device in stuck:
                device.proceeds.set()
        assert await f.route(uplink(f_cnt=KEPT)) is Outcome.TAKEN


async def test_what_was_refused_is_not_kept(autojump_clock: object) -> None:
    """A flood in the name of one device is over: the others have all the room that they had."""
    async with field() as f:
        stuck = f.device(ONE, "stuck", room=1, busy=True)
        outcomes = []

        async def flood(f_cnt: int) -> None:
            outcomes.append(await f.route(uplink(f_cnt=f_cnt)))

        async with trio.open_nursery() as nursery:
            for f_cnt in range(KEPT + 2):
                nursery.start_soon(flood, f_cnt)
            await trio.testing.wait_all_tasks_blocked()
            assert outcomes == [Outcome.BUSY] * KEPT
            assert await f.route(uplink(TWO)) is Outcome.TAKEN
            f.device(TWO, "another")
            assert await f.route(uplink(TWO)) is Outcome.TAKEN
            stuck.proceeds.set()


async def test_what_an_actor_has_left_behind_is_not_kept(autojump_clock: object) -> None:
    async with field() as f:
        stuck = f.device(ONE, "stuck", busy=True)
        f.device(TWO, "well")
        with pytest.raises(TooLate):
            await f.route(uplink())
        left = weakref.ref(stuck.me.ref)
        stuck.me.nursery.cancel_scope.cancel()
        await trio.sleep(SWEEP)
        del stuck
        gc.collect()
        assert left() is not None
        assert await f.route(uplink(TWO)) is Outcome.TAKEN
        gc.collect()
        assert left() is None


async def test_nothing_is_taken_for_deployments_that_another_server_runs(autojump_clock: object) -> None:
    async with field() as f:
        device = f.device(ONE, "left behind")
        f.ownership.lose("another server")
        assert await f.route(uplink()) is Outcome.ELSEWHERE
        assert await f.route(uplink(TWO)) is Outcome.ELSEWHERE
        assert await f.route(clock_request(off=1)) is Outcome.ELSEWHERE
        f.ownership.gain(2, math.inf)
        assert await f.route(uplink()) is Outcome.ELSEWHERE, "its actors are not there yet"
        assert await f.route(clock_request(off=1)) is Outcome.TAKEN
        await trio.testing.wait_all_tasks_blocked()
        assert not device.told[:-1]
        assert len(f.network.downlinks) == 1


async def test_in_doubt_an_uplink_without_an_actor_is_not_said_to_be_nobodys(autojump_clock: object) -> None:
    async with field() as f:
        device = f.device(ONE, "at work")
        assert await f.route(uplink(TWO)) is Outcome.TAKEN
        f.ownership.doubt("the database is away")
        assert await f.route(uplink(TWO)) is Outcome.ELSEWHERE
        assert await f.route(uplink(ONE)) is Outcome.TAKEN, "its actor knows when that is safe"
        assert len(device.heard()) == 1
