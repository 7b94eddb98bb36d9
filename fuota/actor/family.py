"""The children of one incarnation, and the mending of their crashes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import attrs
import trio

from fuota.actor.errors import TooManyCrashes
from fuota.actor.snapshot import ActorSnapshot, take
from fuota.actor.strategy import Budget, Policy

if TYPE_CHECKING:
    from fuota.actor.behaviour import Actor
    from fuota.actor.cell import Cell

VISIBLE = 60.0
"""Seconds for which an actor that ended can be seen."""

GRAVES = 64
"""Of the actors that ended, how many of one family can be seen."""


@attrs.define(eq=False)
class Family:
    """Lives in the nursery of its parent's incarnation; an exception that leaves it crashes the parent."""

    nursery: trio.Nursery
    parent: Actor[Any]
    children: dict[str, Cell[Any]] = attrs.field(factory=dict, init=False)
    """In the order of their first start."""
    budget: Budget = attrs.field(factory=Budget, init=False)
    _graves: deque[tuple[float, ActorSnapshot]] = attrs.field(
        factory=lambda: deque(maxlen=GRAVES), init=False
    )
    _mending: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    def adopt(self, child: Cell[Any]) -> None:
        """Let a new child live. Raises `ValueError` if there is one of that name."""
        if child.name in self.children:
            raise ValueError(f"{child.path} lives already")
        self.children[child.name] = child
        child.begin(self.nursery)

    def ended(self, child: Cell[Any], error: BaseException | None) -> None:
        """`child` wants to be started anew."""
        self.nursery.start_soon(self._mend, child, child.incarnations, error, trio.current_time())

    async def _mend(
        self, failed: Cell[Any], incarnation: int, error: BaseException | None, at: float
    ) -> None:
        async with self._mending:
            pause = self.budget.spend(at)
            if pause is None:
                raise TooManyCrashes(failed.path, self.budget.crashes, self.budget.seconds) from error
            if failed.over or failed.incarnations != incarnation:
                return
            names = self.parent.restarted_with(tuple(self.children), failed.name)
            together = [self.children[name] for name in names]
            for cell in reversed(together):
                if cell is not failed:
                    await cell.halt()
            await trio.sleep(pause)
            for cell in together:
                if cell.policy is Policy.TEMPORARY:
                    cell.stop()
                elif not cell.over:
                    cell.begin(self.nursery)
                    if cell is not together[-1]:
                        await cell.up()

    async def stop(self, in_order: bool) -> None:
        """Stop the children and wait for them: last first if `in_order`, otherwise all at once."""
        for child in reversed(tuple(self.children.values())):
            child.stop()
            if in_order:
                await child.gone()
        for child in tuple(self.children.values()):
            await child.gone()

    def disband(self) -> None:
        """The nursery has closed: whoever waits for a restart waits in vain."""
        for child in tuple(self.children.values()):
            child.bury()

    def bury(self, child: Cell[Any]) -> None:
        """`child` is over."""
        del self.children[child.name]
        self._graves.append((trio.current_time(), take(child, depth=0, limit=0)))

    def recent(self, now: float) -> list[ActorSnapshot]:
        """Children that ended not long ago, oldest first."""
        while self._graves and self._graves[0][0] <= now - VISIBLE:
            self._graves.popleft()
        return [grave for _, grave in self._graves]
