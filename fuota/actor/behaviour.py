"""What an actor does, and what it may do to its own place in the tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import attrs
import trio

from fuota.actor.ref import Ref
from fuota.actor.strategy import Policy, one_for_one

if TYPE_CHECKING:
    from fuota.actor.cell import Cell

M = TypeVar("M")
C = TypeVar("C")


class Actor(Generic[M]):
    """One mailbox, one task, one message at a time.

    An exception out of a hook, or out of a task in the actor's nursery, is a crash: this object is
    thrown away with its tasks and children, and its supervisor decides whether a new one takes its place.
    """

    stops_in_order: ClassVar[bool] = False
    """Whether the children stop one after the other, last first, instead of all at once."""

    async def started(self, me: Me[M]) -> None:
        """Called before the first message. A crash here is a crash like any other."""

    async def receive(self, message: M) -> None:
        """Called for each message. A crash here drops this message and keeps those behind it."""

    async def stopped(self) -> None:
        """Called at the end of whatever `started` has begun, crashed or not.

        Shielded from cancellation, and given five seconds. A crash here is reported; it starts nothing anew.
        """

    def describe(self) -> object:
        """What people should see of this actor: read at any time, so no await and no side effect."""
        return None

    def restarted_with(self, children: Sequence[str], failed: str) -> Sequence[str]:
        """The children that start anew when `failed` crashes: a `Strategy`."""
        return one_for_one(children, failed)


@attrs.frozen(eq=False)
class Me(Generic[M]):
    """An actor's own handle, for one incarnation."""

    _cell: Cell[M]
    nursery: trio.Nursery
    """Of the actor's tasks: cancelled when it ends; an exception that leaves one crashes the actor."""

    @property
    def ref(self) -> Ref[M]:
        return self._cell.ref

    def spawn(
        self,
        name: str,
        factory: Callable[[], Actor[C]],
        *,
        policy: Policy = Policy.TRANSIENT,
        room: int = 64,
    ) -> Ref[C]:
        """Start a child, which lives no longer than this incarnation; `factory` makes each of its own.

        Raises `ValueError` for a name that is taken, or has a `/`.
        """
        return self._cell.spawn(name, factory, policy, room).ref

    async def start(
        self,
        name: str,
        factory: Callable[[], Actor[C]],
        *,
        policy: Policy = Policy.TRANSIENT,
        room: int = 64,
    ) -> Ref[C]:
        """`spawn`, and wait until the child has `started`."""
        child = self._cell.spawn(name, factory, policy, room)
        await child.up()
        return child.ref

    def stop(self) -> None:
        """End after the message in hand; what is queued behind it is refused."""
        self._cell.finish()

    def child(self, name: str) -> Ref[Any] | None:
        """The living child of that name."""
        family = self._cell.family
        child = None if family is None else family.children.get(name)
        return None if child is None else child.ref

    def stop_child(self, name: str) -> None:
        """Have the child of that name stop, if there is one; it is gone a little later."""
        family = self._cell.family
        child = None if family is None else family.children.get(name)
        if child is not None:
            child.stop()
