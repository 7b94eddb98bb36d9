"""An actor that does what each message says: the actors' tests are written in these messages."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio
from structlog.testing import capture_logs

from fuota.actor import Actor, Child, Me, Ref, Reply, Strategy, Tree, one_for_one, open_tree


class Boom(Exception):
    """What a test lets an actor crash with."""


@attrs.frozen
class Note:
    """Be noted in the log."""

    text: object


@attrs.frozen
class Crash:
    """Raise `Boom`."""


@attrs.frozen(eq=False)
class Hold:
    """Be busy until `release`; `taken` says that it began."""

    taken: trio.Event = attrs.field(factory=trio.Event)
    release: trio.Event = attrs.field(factory=trio.Event)


@attrs.frozen
class Do:
    """Call `what` with the actor's own handle."""

    what: Callable[[Me[Any]], object]


@attrs.frozen
class Ask:
    """Give the reply the actor's identity, at once or never."""

    reply: Reply[int]
    now: bool = True


Message = Note | Crash | Hold | Do | Ask


@attrs.define(eq=False)
class Probe(Actor[Message]):
    """Writes what happens to it into a log that its incarnations share."""

    log: list[object] = attrs.field(factory=list)
    at_start: Callable[[Me[Message]], Awaitable[object]] | None = None
    at_stop: Callable[[], Awaitable[object]] | None = None
    owed: list[Reply[int]] = attrs.field(factory=list)

    async def started(self, me: Me[Message]) -> None:
        self.me = me
        self.log.append("started")
        if self.at_start is not None:
            await self.at_start(me)

    async def receive(self, message: Message) -> None:
        match message:
            case Note(text):
                self.log.append(text)
            case Crash():
                raise Boom
            case Hold(taken, release):
                taken.set()
                await release.wait()
                self.log.append("released")
            case Do(what):
                what(self.me)
            case Ask(reply, now):
                self.owed.append(reply)
                if now:
                    reply.give(id(self))

    async def stopped(self) -> None:
        if self.at_stop is not None:
            await self.at_stop()
        self.log.append("stopped")

    def superseded(self) -> None:
        self.log.append("superseded")

    def describe(self) -> object:
        return {"lines": len(self.log)}


async def busy(ref: Ref[Message]) -> Hold:
    """Have the actor hold a message in hand, and wait until it does."""
    hold = Hold()
    await ref.tell(hold)
    await hold.taken.wait()
    return hold


@asynccontextmanager
async def tree(*children: Child[Any], strategy: Strategy = one_for_one) -> AsyncIterator[Tree]:
    """A tree in virtual time: what hangs fails after a day of it. What it logs is not written out."""
    with trio.fail_after(86_400), capture_logs():
        async with open_tree(children, strategy) as opened:
            yield opened


def status(opened: Tree, path: str) -> str:
    """What the tree says of the actor, living or not."""
    parent = path.rpartition("/")[0]
    above = opened.snapshot(parent)
    assert above is not None
    return next(child.status for child in reversed(above.children) if child.path == path)
