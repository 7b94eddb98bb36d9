"""An actor with much to do beside others: what docs/guarantees.md says about turns."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.probe import Note, Probe, busy, tree


async def test_an_actor_with_many_messages_lets_others_run(autojump_clock: MockClock) -> None:
    """But not after each: where many are at work their turns are long."""
    log: list[object] = []
    turns = 0
    async with tree() as running, trio.open_nursery() as nursery:
        ref = running.spawn("a", lambda: Probe(log), room=1600)
        hold = await busy(ref)
        for number in range(1600):
            ref.offer(Note(number))

        async def other() -> None:
            nonlocal turns
            while len(log) < 1602:
                turns += 1
                await trio.lowlevel.checkpoint()

        hold.release.set()
        nursery.start_soon(other)
        await wait_all_tasks_blocked()
        assert 100 <= turns <= 200
