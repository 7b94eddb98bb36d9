"""Which actors begin anew after a crash, and when."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs
import trio

from fuota.actor.errors import TooManyCrashes

if TYPE_CHECKING:
    from fuota.actor.behaviour import Actor
    from fuota.actor.cell import Cell
    from fuota.actor.snapshot import ActorSnapshot

M = TypeVar("M")

BUDGET = 5
"""Crashes that are mended in any WINDOW seconds; the next one is the supervisor's own."""
WINDOW = 60.0

PAUSE = 0.1
"""Seconds before the first restart; twice as long for each crash that still counts."""

AT_ONCE = 500
"""Children told to stop before others get a turn."""

VISIBLE = 60.0
"""Seconds for which an actor can be seen after its end; of one family, the last GRAVES."""
GRAVES = 64


class Policy(Enum):
    """When a child begins anew, unless it was told to stop."""

    PERMANENT = "however it ended"
    TRANSIENT = "when it crashed"
    TEMPORARY = "never"

    def begins_anew(self, *, crashed: bool) -> bool:
        """After an incarnation that crashed, or ended by itself."""
        return self is Policy.PERMANENT or (self is Policy.TRANSIENT and crashed)


@attrs.frozen
class Child(Generic[M]):
    """What an actor is made of; a tree is a list of these."""

    name: str
    factory: Callable[[], Actor[M]]
    policy: Policy = Policy.TRANSIENT
    room: int = 64
    """In the mailbox."""


Strategy = Callable[[Sequence[str], str], Sequence[str]]
"""From the children, in the order of their start, and the one that crashed: those that begin anew."""


def one_for_one(children: Sequence[str], failed: str) -> Sequence[str]:
    """Children that do not need each other."""
    return (failed,)


def one_for_all(children: Sequence[str], failed: str) -> Sequence[str]:
    """Children that make no sense apart."""
    return children


def rest_for_one(children: Sequence[str], failed: str) -> Sequence[str]:
    """Children that need those before them."""
    return children[children.index(failed) :]


@attrs.define(eq=False)
class Family:
    """The children of one incarnation, in its nursery: what goes wrong here crashes the parent."""

    parent: Actor[Any]
    nursery: trio.Nursery
    children: dict[str, Cell[Any]] = attrs.field(factory=dict, init=False)
    _crashes: deque[float] = attrs.field(factory=deque, init=False)
    _graves: deque[tuple[float, ActorSnapshot]] = attrs.field(
        factory=lambda: deque(maxlen=GRAVES), init=False
    )
    _mending: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    async def mend(self, failed: Cell[Any], incarnation: int, at: float, error: Exception | None) -> None:
        """Begin `failed` anew after its crash, and whoever the strategy says, one crash after the other."""
        async with self._mending:
            recent = self.crashes(at)
            if recent == BUDGET:
                raise TooManyCrashes(failed.path) from error
            self._crashes.append(at)
            if failed.over or failed.incarnations != incarnation:
                return  # it has stopped, or begun anew with another
            names = self.parent.restarted_with(tuple(self.children), failed.spec.name)
            cells = [self.children[name] for name in names]
            for cell in reversed(cells):
                if cell is not failed:
                    await cell.halt()
            await trio.sleep(PAUSE * 2**recent)
            for cell in cells:
                if cell.spec.policy is Policy.TEMPORARY:
                    cell.stop()
                elif not cell.over:
                    cell.begin(self.nursery)
                    if cell is not cells[-1]:
                        await cell.up()

    def crashes(self, now: float) -> int:
        """Those that count against the budget at `now`."""
        while self._crashes and self._crashes[0] <= now - WINDOW:
            self._crashes.popleft()
        return len(self._crashes)

    async def stop(self, left_over: Callable[[Any], object] | None) -> None:
        """Have every child stop, and wait until all have; `left_over` is told what they have queued."""
        for number, child in enumerate(reversed(tuple(self.children.values())), start=1):
            child.stop(left_over)
            if self.parent.stops_in_order():
                await child.gone()
            elif number % AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        for child in tuple(self.children.values()):
            await child.gone()

    def bury(self, child: Cell[Any], grave: ActorSnapshot) -> None:
        """`child` has ended for good."""
        del self.children[child.spec.name]
        self._graves.append((trio.current_time(), grave))

    def buried(self, now: float) -> list[ActorSnapshot]:
        """Children whose end is not long ago at `now`."""
        return [grave for at, grave in self._graves if at > now - VISIBLE]
