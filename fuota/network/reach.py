"""When a call about one device is given up that the network never answers, though it works otherwise."""

import math
from collections.abc import Awaitable, Callable

import attrs
import structlog
import trio

from fuota.lorawan.eui import EUI64

log = structlog.get_logger(__name__)

EVERY = 90.0
"""Seconds between two looks at whether the network works."""

DAY = 86_400.0
"""Seconds for which it has to: a part of the network that was away has been mended by then."""

FAILURES = 100
"""So many calls have to fail meanwhile: where any call may fail no device is that unlucky."""


@attrs.define
class Reach:
    """Whether the network works for one deployment, all of whose devices have one Network Server."""

    _deployment: str
    _about_group: Callable[[], Awaitable[bool]] = attrs.field(repr=False)
    """Whether it answers about their group."""
    _looked: float = -math.inf
    _since: float = math.inf
    _turn: trio.Lock = attrs.field(factory=trio.Lock, repr=False)
    stuck: set[EUI64] = attrs.field(factory=set)
    """Devices about which it does not answer, though it does about the group; one more at each look."""

    @property
    def trouble(self) -> str:
        """What to say of it; empty if there is none."""
        return f"no answer about {', '.join(sorted(map(str, self.stuck))[:3])}" if self.stuck else ""

    async def since(self, dev_eui: EUI64) -> float:
        """Since when every look was answered, by Trio's clock; inf if the last was not. One looks for all.

        `dev_eui`: of the device for which it is looked.
        """
        async with self._turn:
            if trio.current_time() >= self._looked + EVERY:
                answered = await self._about_group()
                self._looked = trio.current_time()
                self._since = min(self._since, self._looked) if answered else math.inf
                self._note(dev_eui, answered)
            return self._since

    def _note(self, dev_eui: EUI64, answered: bool) -> None:
        if not answered:
            self.stuck.clear()
        elif dev_eui not in self.stuck:
            self.stuck.add(dev_eui)
            log.warning(
                "ChirpStack does not answer about a device, though it does about its group",
                dev_eui=str(dev_eui),
                deployment=self._deployment,
            )


@attrs.define
class Stuck:
    """How long the network has not answered one caller, from one call to the next until it does."""

    _dev_eui: EUI64
    _reach: Reach
    _began: float = attrs.field(factory=trio.current_time)
    _failures: int = 0

    async def hopeless(self) -> bool:
        """Whether to give up, after another call that was not answered."""
        if trio.current_time() < self._began + EVERY:
            return False
        since = await self._reach.since(self._dev_eui)
        self._failures = self._failures + 1 if since < math.inf else 0
        return self._failures >= FAILURES and trio.current_time() >= max(self._began, since) + DAY

    def over(self) -> None:
        """It was answered, or is given up."""
        self._reach.stuck.discard(self._dev_eui)
