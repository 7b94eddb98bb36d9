"""UTC now, and sleeping until an instant of it: deadlines that survive a restart are instants, not spans."""

import math
from datetime import UTC, datetime, timedelta
from typing import Protocol

import attrs
import trio

LONGEST_NAP = 1.0
"""Seconds after which a wall clock that was set is noticed."""


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """This instant, with `tzinfo` UTC."""

    async def sleep_until(self, instant: datetime) -> None:
        """Return when `now()` has reached `instant`; a checkpoint even if it has already."""


@attrs.frozen
class SystemClock:
    """The machine's wall clock, which may be set while we sleep."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep_until(self, instant: datetime) -> None:
        await trio.lowlevel.checkpoint()
        while True:
            left = (instant - self.now()).total_seconds()
            if left <= 0:
                return
            await trio.sleep(min(left, LONGEST_NAP))


@attrs.define
class TrioClock:
    """Trio's clock as UTC, `start` being the first look at it: virtual time under `MockClock`."""

    start: datetime
    _origin: float = attrs.field(default=math.nan, init=False)

    def now(self) -> datetime:
        return self.start + timedelta(seconds=trio.current_time() - self._zero())

    async def sleep_until(self, instant: datetime) -> None:
        await trio.sleep_until(self._zero() + (instant - self.start).total_seconds())

    def _zero(self) -> float:
        if math.isnan(self._origin):
            self._origin = trio.current_time()
        return self._origin
