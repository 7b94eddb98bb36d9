"""What is young is looked at often, however evenly actors make and free their waits."""

import gc
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

from fuota import garbage


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(0)  # nothing is collected but by the sweep
    yield
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
