"""Virtual time for a process in which nothing but time is waited for."""

import math
from datetime import datetime
from heapq import heappop, heappush

import trio
from trio.abc import Clock

from fuota.simulation.timeline import Event


class LeapingClock(Clock):
    """Leaps to the next deadline or event whenever no task can run.

    Quicker than `MockClock`, which first looks what threads and sockets do: here is neither. And quicker than
    a `Timeline` of its own, for which a task has to wake up for each of a world's events.
    """

    def __init__(self, start: datetime) -> None:
        """`start`: the UTC instant at which it begins."""
        self._start = start
        self._now = 0.0
        self._events: list[tuple[float, int, Event]] = []
        self._entered = 0
        self._runs = False

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        if self._runs and self._events and self._events[0][0] <= deadline:
            when, _, event = heappop(self._events)
            self._now = max(self._now, when)
            event()
        elif deadline == math.inf:
            return math.inf
        else:
            self._now = max(self._now, deadline)
        return 0.0

    def suspend(self, seconds: float) -> None:
        """Let nothing but the world go on for so long: what wakes up then, wakes up late."""
        until = self._now + seconds
        while self._events and self._events[0][0] <= until:
            when, _, event = heappop(self._events)
            self._now = max(self._now, when)
            event()
        self._now = until

    # The timeline of the world

    def at(self, when: datetime, event: Event) -> None:
        """Let `event` happen at `when`, or at once if that is past. It must not raise."""
        self._entered += 1
        heappush(self._events, ((when - self._start).total_seconds(), self._entered, event))

    async def run(self) -> None:
        """Let everything happen in its time, for ever."""
        self._runs = True
        try:
            await trio.sleep_forever()
        finally:
            self._runs = False
