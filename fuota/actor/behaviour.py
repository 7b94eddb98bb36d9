"""What an actor does, and what it may do to its own place in the tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs
import trio

from fuota.actor.ref import Ref
from fuota.actor.supervision import Child, Policy

if TYPE_CHECKING:
    from fuota.actor.cell import Cell

M = TypeVar("M")
C = TypeVar("C")


class Actor(Generic[M]):
    """One mailbox, one task, one message at a time.

    An exception that leaves a hook, or a task of the actor's nursery, is a crash: the object, its tasks and
    its children are given up, and the supervisor decides whether a new object takes their place.
    """

    async def started(self, me: Me[M]) -> None:
        """Called before the first message."""

    async def receive(self, message: M) -> None:
        """Called for each message. A crash drops this one; those behind it wait for the next incarnation."""

    async def stopped(self) -> None:
        """Called once after `started`, however the actor ends: shielded, with five seconds.

        A crash here is reported; if the actor was to stop, it stays stopped.
        """

    def superseded(self) -> None:
        """Called when the actor ends for good because another process plays it: last, and with no await."""

    def describe(self) -> object:
        """What people should see of this actor. Read at any time: no await, no side effect."""
        return None

    def restarted_with(self, children: Sequence[str], failed: str) -> Sequence[str]:
        """The strategy: which children, in the order of their start, begin anew when `failed` crashes."""
        return (failed,)

    def stops_in_order(self) -> bool:
        """Whether the children stop one after the other, last first, or all at once."""
        return False


@attrs.frozen(eq=False)
class Me(Generic[M]):
    """An actor's own handle, for one incarnation."""

    _cell: Cell[M]
    nursery: trio.Nursery
    """Of the actor's tasks: cancelled when it ends; an exception that leaves one of them is a crash."""

    @property
    def incarnation(self) -> int:
        """Which of the actor's this is; the first is 1."""
        return self._cell.incarnations

    @property
    def ref(self) -> Ref[M]:
        """The name others know this actor by."""
        return self._cell.mailbox

    def spawn(
        self, name: str, factory: Callable[[], Actor[C]], *, policy: Policy = Policy.TRANSIENT, room: int = 64
    ) -> Ref[C]:
        """Let a child live, for no longer than this incarnation; `factory` makes each of its own.

        Raises `ValueError` when the name is that of a living child, or no name.
        """
        return self._cell.spawn(Child(name, factory, policy, room)).mailbox

    async def start(self, child: Child[C]) -> Ref[C]:
        """Let `child` live, and wait until it has `started` or has tried to."""
        cell = self._cell.spawn(child)
        await cell.up()
        return cell.mailbox

    def stop(self, left_over: Callable[[Any], object] | None = None) -> None:
        """End after the message in hand; those queued behind it are refused.

        `left_over` is called with each message that the children have not taken by then.
        """
        self._cell.finish(left_over)

    def child(self, name: str) -> Ref[Any] | None:
        """The living child of this name."""
        child = self._cell.child(name)
        return None if child is None else child.mailbox

    def stop_child(self, name: str) -> None:
        """Tell the child of this name to stop, if there is one; the name is free when it has."""
        child = self._cell.child(name)
        if child is not None:
            child.stop()

    async def end_children(self) -> None:
        """Have every child stop, and wait until all have; the actor itself goes on."""
        await self._cell.end_children()
