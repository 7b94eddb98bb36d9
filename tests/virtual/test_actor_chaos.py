"""A tree in which everything goes wrong at random: nothing hangs, nothing leaks, nobody is lost."""

from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

import attrs
import trio
from trio.testing import MockClock

from fuota.actor import (
    Actor,
    ActorError,
    ActorSnapshot,
    Child,
    Me,
    Policy,
    Reply,
    TooManyCrashes,
    Tree,
    one_for_all,
    one_for_one,
    rest_for_one,
)
from tests.probe import Boom, tree

STRATEGIES = (one_for_one, one_for_all, rest_for_one)


@attrs.define(eq=False)
class Unruly(Actor[Reply[str] | None]):
    """Crashes, hangs, stops, and treats its children in any way it can."""

    random: Random
    begun: Counter[str]
    """Of each path, the `started` that returned less the `stopped` that were called."""
    depth: int = 0

    async def started(self, me: Me[Reply[str] | None]) -> None:
        self.me = me
        if self.depth < 3:
            for number in range(self.random.randrange(4)):
                self.spawn(str(number))
        await trio.sleep(self.random.choice([0, 0, 0.3]))
        if self.random.random() < 0.1:
            raise Boom
        self.begun[me.ref.path] += 1

    def spawn(self, name: str) -> None:
        policy = self.random.choice(list(Policy))
        self.me.spawn(name, lambda: Unruly(self.random, self.begun, self.depth + 1), policy=policy, room=2)

    async def receive(self, message: Reply[str] | None) -> None:
        if message is not None and self.random.random() < 0.6:
            message.give("answer")
        match self.random.randrange(12):
            case 0:
                raise Boom
            case 1:
                await trio.sleep(10 * self.random.random())
            case 2:
                self.me.stop()
            case 3:
                self.me.nursery.start_soon(self.task)
            case 4:
                self.me.stop_child("0")
            case 5 if self.me.child("1") is None:
                self.spawn("1")

    async def task(self) -> None:
        try:
            await trio.sleep(self.random.random())
        finally:
            if self.random.random() < 0.5:
                raise Boom

    async def stopped(self) -> None:
        self.begun[self.me.ref.path] -= 1
        await trio.sleep(self.random.choice([0, 0, 0, 20]))
        if self.random.random() < 0.1:
            raise Boom

    def restarted_with(self, children: Sequence[str], failed: str) -> Sequence[str]:
        return self.random.choice(STRATEGIES)(children, failed)


def paths(snapshot: ActorSnapshot) -> Iterator[str]:
    yield snapshot.path
    for child in snapshot.children:
        yield from paths(child)


async def poke(running: Tree, random: Random) -> None:
    """Send to whoever is there, in every way."""
    for _ in range(60):
        await trio.sleep(random.random() * random.choice([0.1, 3]))
        snapshot = running.snapshot()
        assert snapshot is not None
        ref = running.find(random.choice(list(paths(snapshot))))
        if ref is None or ref.path == "/":
            continue
        try:
            match random.randrange(3):
                case 0:
                    ref.offer(None)
                case 1:
                    with trio.move_on_after(1):
                        await ref.tell(None)
                case 2:
                    assert await ref.ask(lambda reply: reply, within=5) == "answer"
        except ActorError:
            pass


async def lasted(seed: int) -> float | None:
    """Seconds from the stop to the end of a tree in which everything goes wrong; None: it gave up before."""
    random = Random(seed)
    begun = Counter[str]()
    children = [Child(str(number), lambda: Unruly(random, begun)) for number in range(4)]
    try:
        async with tree(*children, strategy=random.choice(STRATEGIES)) as running:
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(poke, running, random)
            stop = trio.current_time()
        took = trio.current_time() - stop
    except* TooManyCrashes:
        took = None
    assert set(begun.values()) <= {0}, seed
    return took


async def test_whatever_goes_wrong_the_tree_ends_in_time_and_cleans_up(autojump_clock: MockClock) -> None:
    ends = {seed: took for seed in range(40) if (took := await lasted(seed)) is not None}
    assert {seed: took for seed, took in ends.items() if took > 9.001} == {}
    assert max(ends.values()) > 4, "none had anything to wait for"
