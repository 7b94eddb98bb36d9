"""What is young is looked at often, however evenly actors make and free their waits; at the end, nothing."""

import gc
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
import trio
from trio.testing import MockClock

from fuota import garbage, server
from fuota.actor import Actor, Me, open_tree
from tests.probe import Message, Probe


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(0)  # nothing is collected but by the sweep
    yield
    gc.enable()
    gc.set_threshold(*before)


async def test_what_is_young_does_not_become_much(autojump_clock: MockClock) -> None:
    kept: list[list[int]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(garbage.sweep)
        await trio.sleep(1)
        for _ in range(20):
            kept += [[] for _ in range(1000)]
            await trio.sleep(2 * garbage.EVERY)
            assert len(gc.get_objects(0)) + len(gc.get_objects(1)) < 1000
        nursery.cancel_scope.cancel()
    assert len(kept) == 20_000


class Many(Actor[Message]):
    """Has as many children as make work for the collector when they end."""

    async def started(self, me: Me[Message]) -> None:
        for number in range(3000):
            me.spawn(str(number), Probe)


async def test_nothing_is_collected_while_all_is_stopped(autojump_clock: MockClock) -> None:
    collections: list[str] = []

    def collected(phase: str, info: dict[str, int]) -> None:
        collections.append(phase)

    async def signals() -> AsyncIterator[int]:
        await trio.sleep(1)
        gc.collect()
        collections.clear()
        gc.set_threshold(1000, 4, 10)
        yield signal.SIGTERM
        await trio.sleep_forever()

    gc.callbacks.append(collected)
    try:
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as serving:
                nursery.start_soon(server._obey, signals(), serving)
                async with trio.open_nursery() as inner, open_tree() as tree:
                    inner.start_soon(garbage.sweep)
                    tree.spawn("many", Many)
                    await trio.sleep_forever()
            nursery.cancel_scope.cancel()
        assert not collections
    finally:
        gc.callbacks.remove(collected)
