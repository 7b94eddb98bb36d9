"""The root of all actors, its beginning and its end."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import attrs
import trio

from fuota.actor.behaviour import Actor, Me
from fuota.actor.cell import Cell
from fuota.actor.mailbox import Mailbox
from fuota.actor.ref import Ref
from fuota.actor.snapshot import ActorSnapshot, take
from fuota.actor.supervision import Child, Policy, Strategy, one_for_one

C = TypeVar("C")


@attrs.define(eq=False)
class Supervisor(Actor[Any]):
    """Has children, and nothing else to do: each starts after the one before it, and stops before that."""

    _children: Sequence[Child[Any]] = ()
    _strategy: Strategy = one_for_one

    async def started(self, me: Me[Any]) -> None:
        for child in self._children:
            await me.start(child)

    def restarted_with(self, children: Sequence[str], failed: str) -> Sequence[str]:
        return self._strategy(children, failed)

    def stops_in_order(self) -> bool:
        return True


@attrs.frozen(eq=False)
class Tree:
    """All actors, seen from outside."""

    _root: Cell[Any]

    def spawn(
        self, name: str, factory: Callable[[], Actor[C]], *, policy: Policy = Policy.TRANSIENT, room: int = 64
    ) -> Ref[C]:
        """Let another child of the root live."""
        return self._root.spawn(Child(name, factory, policy, room)).mailbox

    async def start(self, child: Child[C]) -> Ref[C]:
        """Let another child of the root live, and wait until it has `started` or has tried to."""
        cell = self._root.spawn(child)
        await cell.up()
        return cell.mailbox

    def find(self, path: str) -> Ref[Any] | None:
        """The living actor of this path."""
        cell = self._cell(path)
        return None if cell is None else cell.mailbox

    def snapshot(self, path: str = "/", *, depth: int = 10, limit: int = 1000) -> ActorSnapshot | None:
        """The living actor of this path, `depth` levels below it, and `limit` children of each at most."""
        cell = self._cell(path)
        return None if cell is None else take(cell, depth, limit)

    def _cell(self, path: str) -> Cell[Any] | None:
        cell: Cell[Any] | None = self._root
        for name in filter(None, path.split("/")):
            cell = None if cell is None else cell.child(name)
        return cell


@asynccontextmanager
async def open_tree(
    children: Sequence[Child[Any]] = (), strategy: Strategy = one_for_one
) -> AsyncIterator[Tree]:
    """Start the `children` of the root, and stop them when the block is left.

    When the root crashes, its budget used up, the block is cancelled and the crash leaves it. A block that
    raises or is cancelled cancels the actors; only `stopped` is waited for.
    """
    root = Cell(Child("", lambda: Supervisor(children, strategy)), Mailbox[Any]("/", room=1))
    async with trio.open_nursery() as nursery:
        root.begin(nursery)
        await root.up()
        try:
            yield Tree(root)
        finally:
            root.stop()
