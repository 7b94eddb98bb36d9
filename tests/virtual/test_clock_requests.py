"""Every clock request is answered, once, as long as the network takes the answer in time."""

from datetime import timedelta

import attrs
import trio

from fuota.device.messages import ClockAnswered
from fuota.dispatcher import CLOCK_ANSWERS, FRESH, Outcome
from fuota.network.port import NotFound, Unreachable
from tests.virtual.dispatching import NOW, ONE, TWO, clock_answer, clock_request, field, uplink


async def test_a_wrong_clock_is_corrected_with_the_token_of_the_request(autojump_clock: object) -> None:
    async with field() as f:
        assert await f.route(clock_request(off=-10)) is Outcome.TAKEN
        await trio.testing.wait_all_tasks_blocked()
        assert f.network.downlinks == [clock_answer(correction=10)]


async def test_a_right_clock_is_answered_only_when_it_wants_to_be(autojump_clock: object) -> None:
    async with field() as f:
        await f.route(clock_request(1))
        await f.route(clock_request(2, required=True))
        await trio.testing.wait_all_tasks_blocked()
        assert f.network.downlinks == [clock_answer(correction=0)]


async def test_the_same_clock_request_again_is_answered_once_in_a_minute(autojump_clock: object) -> None:
    async with field() as f:
        for _ in range(3):
            await f.route(clock_request(off=1))
            await trio.sleep(10)
        assert len(f.network.downlinks) == 1
        await trio.sleep(60)
        await f.route(clock_request(off=1))
        await trio.testing.wait_all_tasks_blocked()
        assert len(f.network.downlinks) == 2


async def test_the_devices_actors_are_told_when_the_network_has_the_answer(autojump_clock: object) -> None:
    async with field() as f:
        device, other = f.device(ONE, "one"), f.device(TWO, "two")
        f.network.works = trio.Event()
        await f.route(clock_request(off=1))
        await trio.sleep(5)
        assert device.told == []
        f.network.works.set()
        await trio.testing.wait_all_tasks_blocked()
        assert device.told == [ClockAnswered(-1)]
        assert other.told == []
        await f.route(clock_request(2))
        await trio.testing.wait_all_tasks_blocked()
        assert device.told == [ClockAnswered(-1), ClockAnswered(0)], "though no answer is due"


async def test_a_network_that_hangs_holds_up_no_uplink(autojump_clock: object) -> None:
    async with field() as f:
        device = f.device(ONE, "one")
        f.network.works = trio.Event()
        for f_cnt in range(10):
            assert await f.route(clock_request(f_cnt, off=1)) is Outcome.TAKEN
        assert await f.route(uplink()) is Outcome.TAKEN
        assert device.heard() == [uplink()]


async def test_a_network_out_of_reach_is_tried_again(autojump_clock: object) -> None:
    async with field() as f:
        f.network.errors = [Unreachable("UNAVAILABLE", "gone"), Unreachable("UNAVAILABLE", "gone")]
        await f.route(clock_request(off=1))
        await trio.sleep(60)
        assert f.network.downlinks == [clock_answer(correction=-1)]


async def test_but_not_longer_than_the_request_is_fresh(autojump_clock: object) -> None:
    async with field() as f:
        device = f.device(ONE, "one")
        f.network.errors = [Unreachable("UNAVAILABLE", "gone")] * 100
        await f.route(clock_request(off=1))
        await trio.sleep(FRESH)
        attempts = f.network.attempts
        assert attempts > 3
        await trio.sleep(FRESH)
        assert f.network.attempts == attempts
        assert device.told == []
        f.network.errors.clear()
        await f.route(clock_request(off=1))
        await trio.testing.wait_all_tasks_blocked()
        assert f.network.downlinks == [clock_answer(correction=-1)]


async def test_what_the_network_refuses_is_not_tried_again_and_not_fatal(autojump_clock: object) -> None:
    async with field() as f:
        f.network.errors = [NotFound("NOT_FOUND", "no such device")]
        await f.route(clock_request(1, off=1))
        await trio.sleep(60)
        assert f.network.attempts == 1
        await f.route(clock_request(2, off=1))
        await trio.testing.wait_all_tasks_blocked()
        assert f.network.downlinks == [clock_answer(correction=-1)]


async def test_clock_answers_under_way_are_bounded(autojump_clock: object) -> None:
    async with field() as f:
        f.network.works = trio.Event()
        for f_cnt in range(CLOCK_ANSWERS):
            await f.route(clock_request(f_cnt, off=1))
        assert await f.route(clock_request(CLOCK_ANSWERS, off=1)) is Outcome.BUSY
        f.network.works.set()
        await trio.testing.wait_all_tasks_blocked()
        assert await f.route(clock_request(CLOCK_ANSWERS, off=1)) is Outcome.TAKEN
        await trio.testing.wait_all_tasks_blocked()
        assert len(f.network.downlinks) == CLOCK_ANSWERS + 1


async def test_the_correction_counts_from_the_reception_however_late_it_is_sent(
    autojump_clock: object,
) -> None:
    async with field() as f:
        late = attrs.evolve(clock_request(off=0), received_at=NOW + timedelta(seconds=3))
        await f.route(late)
        await trio.testing.wait_all_tasks_blocked()
        assert f.network.downlinks == [clock_answer(correction=3)]


async def test_clock_requests_are_answered_while_ownership_is_in_doubt(autojump_clock: object) -> None:
    async with field() as f:
        f.ownership.doubt("the database is away")
        assert await f.route(clock_request(off=1)) is Outcome.TAKEN
        await trio.testing.wait_all_tasks_blocked()
        assert len(f.network.downlinks) == 1


async def test_clock_requests_are_left_to_the_network_if_so_configured(autojump_clock: object) -> None:
    """Which puts the clock right: the devices' actors need not wait for that any longer."""
    async with field(clock_sync=False) as f:
        device, other = f.device(ONE, "one"), f.device(TWO, "two")
        assert await f.route(clock_request(off=1)) is Outcome.TAKEN
        await trio.testing.wait_all_tasks_blocked()
        assert not f.network.downlinks
        assert device.told == [ClockAnswered(-1)]
        assert other.told == []
