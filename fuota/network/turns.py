"""Places for so many at a time, for which a few do not wait as long as a crowd does."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
from trio.lowlevel import (
    Abort,
    RaiseCancelT,
    Task,
    cancel_shielded_checkpoint,
    checkpoint_if_cancelled,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

FEW = 16
"""A party is one of few as long as no more of it wait."""

EVERY = 8
"""One place in so many goes to a party of few: that is what they cost the others."""


@attrs.define(eq=False)
class Turns:
    """Like `trio.CapacityLimiter`: first come, first served, but for one place in `EVERY`.

    That goes to a party of few, if any waits; each of these has its turn.
    """

    places: int
    _taken: int = 0
    _handed_over: int = 0
    _line: OrderedDict[Task, str] = attrs.field(factory=OrderedDict)
    """Those who wait, with their parties."""
    _parties: OrderedDict[str, OrderedDict[Task, None]] = attrs.field(factory=OrderedDict)
    """Those who wait; of the parties of few the one whose turn it is comes first."""

    @asynccontextmanager
    async def place(self, party: str) -> AsyncIterator[None]:
        await checkpoint_if_cancelled()
        if self._taken < self.places:
            self._taken += 1
            await cancel_shielded_checkpoint()
        else:
            await self._wait(party)
        try:
            yield
        finally:
            self._leave()

    async def _wait(self, party: str) -> None:
        task = current_task()
        self._line[task] = party
        self._parties.setdefault(party, OrderedDict())[task] = None

        def abort(_: RaiseCancelT) -> Abort:
            self._remove(task)
            return Abort.SUCCEEDED

        await wait_task_rescheduled(abort)

    def _leave(self) -> None:
        """Hand the place over, if anybody waits for it."""
        if not self._line:
            self._taken -= 1
            return
        task = self._next()
        self._remove(task)
        reschedule(task)

    def _next(self) -> Task:
        self._handed_over += 1
        if self._handed_over % EVERY == 0:
            for party, tasks in self._parties.items():
                if len(tasks) <= FEW:
                    self._parties.move_to_end(party)
                    return next(iter(tasks))
        return next(iter(self._line))

    def _remove(self, task: Task) -> None:
        party = self._line.pop(task)
        del self._parties[party][task]
        if not self._parties[party]:
            del self._parties[party]
