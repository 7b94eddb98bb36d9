"""What is going to happen in a simulation, and when."""

from collections.abc import Callable
from datetime import datetime
from heapq import heappop, heappush
from typing import Protocol

import attrs
import trio

from fuota.clock import Clock

Event = Callable[[], None]


class Timeline(Protocol):
    """Where events are entered, and what lets them happen."""

    def at(self, when: datetime, event: Event) -> None:
        """Let `event` happen at `when`, or at once if that is past."""

    async def run(self) -> None:
        """Let everything happen in its time, for ever."""


@attrs.define
class ClockedTimeline:
    """Events in the order of their instants, and of their entry where these are the same."""

    _clock: Clock
    _events: list[tuple[datetime, int, Event]] = attrs.field(factory=list, init=False)
    _entered: int = attrs.field(default=0, init=False)
    _nap: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)

    def at(self, when: datetime, event: Event) -> None:
        self._entered += 1
        heappush(self._events, (when, self._entered, event))
        if self._events[0][2] is event:
            self._nap.cancel()

    async def run(self) -> None:
        while True:
            with trio.CancelScope() as self._nap:
                if not self._events:
                    await trio.sleep_forever()
                await self._clock.sleep_until(self._events[0][0])
            while self._events and self._events[0][0] <= self._clock.now():
                heappop(self._events)[2]()
                await trio.lowlevel.checkpoint()
