"""How well the simulated ChirpStack's API works."""

from datetime import datetime, timedelta
from random import Random

import attrs
import trio

from fuota.clock import Clock
from fuota.simulation.chirpstack import ApiError


@attrs.define(kw_only=True)
class ApiConditions:
    """What a call meets before it is carried out; may be changed while the world runs."""

    clock: Clock
    latency: float = 0.0
    """Seconds that a call takes."""
    failing: float = 0.0
    """Share of calls that fail with UNAVAILABLE, without effect."""
    unsaid: float = 0.0
    """Share of calls that are carried out, but whose answer is lost: they fail with UNAVAILABLE, too."""
    limited: bool = False
    """The token is one of an organization: what does not exist is none of its business (UNAUTHENTICATED)."""
    exponents: bool = False
    """ChirpStack 4 takes and tells ping slots as 4.8 to 4.12 did: not their periodicity."""
    outages: list[tuple[datetime, datetime, str, str]] = attrs.field(factory=list)
    """From when to when all calls fail, with which status, and what is said of it."""
    spared: int = 0
    """Calls that an outage lets through before the others fail."""
    random: Random = attrs.field(factory=lambda: Random(0), repr=False)
    calls: int = attrs.field(default=0, init=False)

    def outage(self, lasting: timedelta, status: str = "UNAVAILABLE") -> None:
        """Let all calls fail from now on, for so long."""
        now = self.clock.now()
        self.outages.append((now, now + lasting, status, "the network is down"))

    async def meet(self) -> None:
        """Let a call pass, or raise `ApiError`."""
        self.calls += 1
        if self.latency:
            await trio.sleep(self.latency)
        now = self.clock.now()
        for start, end, status, said in self.outages:
            if start <= now < end:
                if not self.spared:
                    raise ApiError(status, said)
                self.spared -= 1
        if self.random.random() < self.failing:
            raise ApiError("UNAVAILABLE", "try again")

    def part(self) -> None:
        """Let the answer pass, or raise `ApiError`."""
        if self.unsaid and self.random.random() < self.unsaid:
            raise ApiError("UNAVAILABLE", "connection reset by peer")
