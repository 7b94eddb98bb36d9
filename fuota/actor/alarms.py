"""Every deadline of every actor, in one heap."""

from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Protocol, TypeVar

import attrs
import trio

from fuota.actor.ref import Ref

M = TypeVar("M")

RETRY = timedelta(seconds=0.1)
"""Until a full mailbox is tried again."""


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime: ...

    async def sleep_until(self, instant: datetime) -> None: ...


@attrs.define(eq=False)
class Alarms:
    """At most one alarm for each actor: a message that comes at an instant, and is never lost."""

    _clock: Clock
    _set: dict[Ref[Any], tuple[int, Any]] = attrs.field(factory=dict, init=False)
    _heap: list[tuple[datetime, int, Ref[Any]]] = attrs.field(factory=list, init=False)
    _numbers: "count[int]" = attrs.field(factory=count, init=False)
    _nap: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)

    @property
    def pending(self) -> int:
        """How many are set."""
        return len(self._set)

    def set(self, ref: Ref[M], at: datetime, message: M) -> None:
        """Have `message` come at `at`, or at once if that is past; replaces what was set for `ref` before."""
        number = next(self._numbers)
        self._set[ref] = (number, message)
        heappush(self._heap, (at, number, ref))
        if self._heap[0][1] == number:
            self._nap.cancel()
        self._tidy()

    def cancel(self, ref: Ref[Any]) -> None:
        """Take back what is set for `ref`, if anything."""
        self._set.pop(ref, None)
        self._tidy()

    async def run(self) -> None:
        """Deliver for ever. The one task of all alarms; it is started where the tree is."""
        while True:
            with trio.CancelScope() as self._nap:
                if not self._heap:
                    await trio.sleep_forever()
                await self._clock.sleep_until(self._heap[0][0])
            while self._heap and self._heap[0][0] <= (now := self._clock.now()):
                _, number, ref = heappop(self._heap)
                if self._current(ref, number):
                    self._ring(ref, number, now)
                await trio.lowlevel.checkpoint()

    def _ring(self, ref: Ref[Any], number: int, now: datetime) -> None:
        if ref.stopped:
            del self._set[ref]
        elif ref.full:
            heappush(self._heap, (now + RETRY, number, ref))
        else:
            ref.offer(self._set.pop(ref)[1])

    def _tidy(self) -> None:
        """Forget what was replaced or taken back, once it is more than what is set: so that costs little."""
        if len(self._heap) > 2 * len(self._set) + 64:
            self._heap = [entry for entry in self._heap if self._current(entry[2], entry[1])]
            heapify(self._heap)

    def _current(self, ref: Ref[Any], number: int) -> bool:
        return ref in self._set and self._set[ref][0] == number
