"""Who waits for a call: a few devices do not wait behind the crowd of another deployment."""

from collections.abc import Sequence
from random import Random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fuota.device.states import Complete
from fuota.network.turns import EVERY, FEW, Turns
from fuota.simulation.device import Device
from tests.campaign import order, server, simulated


async def served(crowd: int, *parties: int) -> list[str]:
    """Who is served after whom by one place, as "a0": all of the crowd came first, then party by party."""
    turns, done = Turns(1), list[str]()

    async def call(party: str, number: int) -> None:
        async with turns.place(party):
            done.append(f"{party}{number}")
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for party, many in zip("abcdef", (crowd, *parties), strict=False):
            for number in range(many):
                nursery.start_soon(call, party, number)
                await wait_all_tasks_blocked()
    assert trio.current_time() == len(done) == crowd + sum(parties)
    return done


async def test_one_place_in_so_many_goes_to_a_few_and_each_party_of_them_has_its_turn(
    autojump_clock: MockClock,
) -> None:
    done = await served(100, 3, 1, FEW)
    # the first has its place without waiting
    express = done[EVERY : 7 * EVERY : EVERY]
    assert express == ["b0", "c0", "d0", "b1", "d1", "b2"]
    assert [each for each in done[: 7 * EVERY] if each not in express] == [f"a{n}" for n in range(50)]


async def test_otherwise_the_first_is_first(autojump_clock: MockClock) -> None:
    done = await served(100, FEW + 1)
    for party in "ab":
        numbers = [int(each[1:]) for each in done if each[0] == party]
        assert numbers == sorted(numbers)
    crowd = 100 - (EVERY - 1)
    assert all(each.startswith("a") for each in done[:crowd]), "more than a few wait"


async def test_a_party_whose_callers_have_all_left_costs_nobody_a_place(autojump_clock: MockClock) -> None:
    turns = Turns(1)
    async with trio.open_nursery() as nursery, turns.place("a"):
        with trio.move_on_after(1):
            async with turns.place("b"):
                pytest.fail("a has it")
        passed = trio.Event()

        async def call() -> None:
            async with turns.place("c"):
                passed.set()

        nursery.start_soon(call)
        await wait_all_tasks_blocked()
        assert not passed.is_set()
    assert passed.is_set()


@pytest.mark.parametrize("seed", range(20))
async def test_whoever_gives_up_takes_no_place_away(autojump_clock: MockClock, seed: int) -> None:
    random, turns = Random(seed), Turns(4)
    under_way, most = 0, 0

    async def call() -> None:
        nonlocal under_way, most
        await trio.sleep(random.uniform(0, 10))
        with trio.move_on_after(random.choice([0.1, 1, 100])):
            async with turns.place(random.choice("abcde")):
                under_way += 1
                most = max(most, under_way)
                try:
                    await trio.sleep(random.uniform(0, 1))
                finally:
                    under_way -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(call)
    assert (under_way, most) == (0, 4)
    with trio.fail_after(1):
        async with turns.place("a"), turns.place("b"), turns.place("a"), turns.place("b"):
            pass


async def seconds_until_all_are_complete(few: Sequence[Device], many: Sequence[Device]) -> float:
    """For the few, ordered after the many, where each call takes a second."""
    async with server([*few, *many]) as running:
        running.network.conditions.latency = 1
        if many:
            await running.orders.take(order(many))
            await trio.sleep(5)
        before = trio.current_time()
        result = await running.carry_out(order(few))
        assert result.states() == {Complete}
        return trio.current_time() - before


async def test_a_small_deployment_does_not_wait_behind_a_large_one(autojump_clock: MockClock) -> None:
    """Behind 2000 devices it would wait for a minute at each of its requests."""
    alone = await seconds_until_all_are_complete(simulated(3), ())
    devices = simulated(2003)
    beside = await seconds_until_all_are_complete(devices[:3], devices[3:])
    assert beside < alone + 10
