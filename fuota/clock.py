"""UTC now, and sleeping until an instant of it: deadlines that survive a restart are instants, not spans.

A process may be suspended, with its machine or alone, and a wall clock may be set: then there was a time in
which nobody could hear or do anything, or it seems so. Who sleeps notices it, and tells before he goes on.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import attrs
import trio

LONGEST_NAP = 1.0
"""Seconds after which a wall clock that was set is noticed."""

OVERSLEPT = 2.0
"""Seconds by which one may wake up late because others are at work."""

Overslept = Callable[[float], None]
"""Is told for how many seconds nothing was attended to; less than 0 if the clock was set back."""


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """This instant, with `tzinfo` UTC."""

    async def sleep_until(self, instant: datetime) -> None:
        """Return when `now()` has reached `instant`; a checkpoint even if it has already."""


@attrs.frozen
class SystemClock:
    """The machine's wall clock, which may be set while we sleep."""

    overslept: Overslept = lambda _: None

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep_until(self, instant: datetime) -> None:
        await trio.lowlevel.checkpoint()
        while True:
            left = (instant - self.now()).total_seconds()
            if left <= 0:
                return
            await self._nap(min(left, LONGEST_NAP))

    async def _nap(self, seconds: float) -> None:
        """Trio's clock goes on while the process is suspended, and stands still while the machine is."""
        lay_down, began = self.now(), trio.current_time()
        try:
            await trio.sleep(seconds)
        finally:
            slept = (self.now() - lay_down).total_seconds()
            late = slept - min(seconds, trio.current_time() - began)
            if abs(late) > OVERSLEPT:
                self.overslept(late)


@attrs.define
class TrioClock:
    """Trio's clock as UTC, `start` being the first look at it: virtual time under `MockClock`."""

    start: datetime
    overslept: Overslept = lambda _: None
    _origin: float = attrs.field(default=math.nan, init=False)

    def now(self) -> datetime:
        return self.start + timedelta(seconds=trio.current_time() - self._zero())

    async def sleep_until(self, instant: datetime) -> None:
        alarm = max(self._zero() + (instant - self.start).total_seconds(), trio.current_time())
        await trio.sleep_until(alarm)
        if (late := trio.current_time() - alarm) > OVERSLEPT:
            self.overslept(late)

    def _zero(self) -> float:
        if math.isnan(self._origin):
            self._origin = trio.current_time()
        return self._origin
