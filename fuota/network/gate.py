"""Who may call the network, how many at a time, and how seldom while it ails; whichever network it is."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import Enum, auto
from typing import Protocol

import attrs
import structlog
import trio

from fuota.health import Health
from fuota.network.port import NetworkError, TokenRefused, Trouble, answered

log = structlog.get_logger(__name__)


class Lane(Enum):
    """What a call is about: none waits for a place behind those of another kind, however many they are."""

    DEVICES = auto()
    """Requests to devices."""
    GROUPS = auto()
    """A deployment makes one after the other; its fragments come too late for their window if they wait."""
    URGENT = auto()
    """What a device is told is wrong soon: the time."""


PLACES = {Lane.DEVICES: 32, Lane.GROUPS: 8, Lane.URGENT: 32}
"""Calls under way at the same time."""

AILING = 3
"""Failures in a row after which the network is said to ail."""

PROBE = 0.5
"""Seconds between two calls to a network that ails."""

LASTS = 30.0
"""Seconds for which a failure says that the network ails. Whoever waits for it fails again within 28: two
pauses, a call that proves nothing, one that fails, three questions about the token. When nobody waits any
more, nobody finds out that it is back."""

PART = "chirpstack"
"""As which the health of the server has it."""


class Permit(Protocol):
    """Whether calls may be made; `fuota.ownership.Attendance` is one."""

    @property
    def certain(self) -> bool: ...

    async def assured(self) -> None:
        """Return when they may."""


@attrs.frozen
class Always:
    """No condition."""

    certain: bool = True

    async def assured(self) -> None:
        pass


@attrs.define
class Gate:
    """Lets so many calls through; after `AILING` failures in a row one at a time, and that seldom.

    A hundred thousand actors may want to know whether the network is back: one of them finds out for all, in
    each lane, which has its own turns.
    """

    _health: Health
    _lanes: Mapping[Lane, trio.CapacityLimiter] = attrs.field(
        factory=lambda: {lane: trio.CapacityLimiter(places) for lane, places in PLACES.items()}
    )
    _failures: int = 0
    """In a row, of calls whose answers prove that the network works; others that are answered end no row."""
    _glances: int = 0
    """In a row, of those whose answers prove nothing."""
    _alone: bool = True
    """Whether an answer that proves was the last thing before a failure; see `Trouble`."""
    _refused: bool = False
    """The token, at the last call that said anything of it."""

    @asynccontextmanager
    async def passage(
        self, permit: Permit, lane: Lane = Lane.DEVICES, *, proves: bool = True
    ) -> AsyncIterator[None]:
        """Around one call, which may raise `NetworkError`; it waits until `permit` says so.

        `proves`: that it is answered means that the network works, and not only a part of it.
        """
        async with self._place(permit, self._lanes[lane]):
            try:
                yield
            except NetworkError as error:
                if answered(error):
                    self._answered(proves)
                else:
                    await self._failed(error, proves)
                raise
            else:
                self._answered(proves)

    @asynccontextmanager
    async def _place(self, permit: Permit, lane: trio.CapacityLimiter) -> AsyncIterator[None]:
        """Among those that may call at a time, if the permit still says so when one is free."""
        while True:
            await permit.assured()
            async with lane:
                if permit.certain:
                    yield
                    return

    def _answered(self, proves: bool) -> None:
        if proves:
            self._failures, self._alone = 0, True
        elif PART in self._health.ailments():
            return  # somebody's calls fail, and what fails may be beyond what this one needs
        self._glances = 0
        if not self._failures:
            self._refused = False
            for lane, places in PLACES.items():
                self._lanes[lane].total_tokens = places
            self._health.well(PART)

    async def _failed(self, error: NetworkError, proves: bool) -> None:
        if isinstance(error, Trouble):
            error.alone = self._alone
        self._alone = False
        self._failures += proves
        self._glances += not proves
        ailing = self._failures + self._glances >= AILING
        if isinstance(error, TokenRefused):
            if not self._refused:
                log.error(
                    "ChirpStack refuses the token; nothing can be done until it is mended", said=str(error)
                )
            self._refused = True
            self._health.ill(PART, f"the token was refused: {error.detail}", lasts=LASTS)
        elif ailing:
            self._health.ill(PART, str(error), lasts=LASTS)
        if ailing:  # one at a time from now on, each of which keeps its place for a while
            for limiter in self._lanes.values():
                limiter.total_tokens = 1
            await trio.sleep(PROBE)
