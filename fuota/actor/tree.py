"""The tree of all actors: its root, its beginning and its end."""

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
from fuota.actor.strategy import Policy, Strategy, one_for_one

C = TypeVar("C")


@attrs.frozen
class Child:
    """A child that is known beforehand."""

    name: str
    factory: Callable[[], Actor[Any]]
    policy: Policy = Policy.TRANSIENT
    room: int = 64


class Supervisor(Actor[Any]):
    """Does nothing but have children: started in their order, each when the one before it has `started`,
    and stopped in the reverse one."""

    stops_in_order = True

    def __init__(self, children: Sequence[Child] = (), strategy: Strategy = one_for_one) -> None:
        self._children = children
        self._strategy = strategy

    async def started(self, me: Me[Any]) -> None:
        for child in self._children:
            await me.start(child.name, child.factory, policy=child.policy, room=child.room)

    def restarted_with(self, children: Sequence[str], failed: str) -> Sequence[str]:
        return self._strategy(children, failed)


@attrs.frozen(eq=False)
class Tree:
    """A running tree, seen from outside."""

    _root: Cell[Any]

    def spawn(
        self,
        name: str,
        factory: Callable[[], Actor[C]],
        *,
        policy: Policy = Policy.TRANSIENT,
        room: int = 64,
    ) -> Ref[C]:
        """Start another child of the root."""
        return self._root.spawn(name, factory, policy, room).ref

    def find(self, path: str) -> Ref[Any] | None:
        """The living actor at `path`."""
        cell = self._cell(path)
        return None if cell is None else cell.ref

    def snapshot(self, path: str = "/", *, depth: int = 8, limit: int = 1000) -> ActorSnapshot | None:
        """The living actor at `path` with `depth` levels below it and at most `limit` children of each."""
        cell = self._cell(path)
        return None if cell is None else take(cell, depth, limit)

    def _cell(self, path: str) -> Cell[Any] | None:
        cell = self._root
        for name in filter(None, path.split("/")):
            if cell.family is None or name not in cell.family.children:
                return None
            cell = cell.family.children[name]
        return cell


@asynccontextmanager
async def open_tree(children: Sequence[Child] = (), strategy: Strategy = one_for_one) -> AsyncIterator[Tree]:
    """Start `children` below `/`; stop them, last first, when the block is left.

    When their supervision fails, the block is cancelled and the crash leaves it. When the block raises or is
    cancelled, the actors are cancelled too, and only `stopped` is waited for.
    """
    root = Cell("", lambda: Supervisor(children, strategy), Policy.TEMPORARY, Mailbox[Any]("/", 1))
    async with trio.open_nursery() as nursery:
        root.begin(nursery)
        await root.up()
        try:
            yield Tree(root)
        finally:
            root.stop()
