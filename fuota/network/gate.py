"""Who may call the network, how many at a time, and how seldom while it ails; whichever network it is."""

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Enum, auto
from typing import Protocol

import attrs
import structlog
import trio

from fuota.health import Health
from fuota.network.port import ANYTHING, About, NetworkError, TokenRefused, Trouble, answered
from fuota.network.turns import Turns

log = structlog.get_logger(__name__)


class Lane(Enum):
    """What a call is about: none waits for a place behind those of another kind, however many they are."""

    DEVICES = auto()
    """Requests to devices."""
    GROUPS = auto()
    """A deployment makes one after the other; its fragments come too late for their window if they wait."""
    URGENT = auto()
    """What a device is told is wrong soon, or is to be right when a session starts: the time."""


PLACES = {Lane.DEVICES: 32, Lane.GROUPS: 8, Lane.URGENT: 32}
"""Calls under way at the same time."""

AILING = 3
"""Failures in a row after which the network is said to ail, or an application."""

PROBE = 0.5
"""Seconds between two calls to a network that ails, or about an application that does."""

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


def _limiters() -> Mapping[Lane, trio.CapacityLimiter]:
    return {lane: trio.CapacityLimiter(places) for lane, places in PLACES.items()}


@attrs.define
class Row:
    """Failures in a row: of all calls, or of those about one application."""

    queues: Mapping[Lane, trio.Lock] = attrs.field(factory=lambda: {lane: trio.Lock() for lane in Lane})
    """Of those who wait for an application that ails."""
    failures: int = 0
    """Of calls whose answers prove that the network works; others that are answered end no row."""
    glances: int = 0
    """Of those whose answers prove nothing."""
    last: float = -math.inf
    """When one failed last, by Trio's clock."""

    @property
    def ails(self) -> bool:
        return self.failures + self.glances >= AILING

    def failed(self, proves: bool) -> None:
        self.failures += proves
        self.glances += not proves
        self.last = trio.current_time()


@attrs.define
class Gate:
    """Lets so many calls through; those about an application that ails one at a time, and that seldom.

    A hundred thousand actors may want to know whether the network is back: one of them finds out for all of
    its application, in each lane, and while nobody is answered one for all applications. All devices of an
    application have one Network Server, which may be away while that of others works: whoever can be answered
    does not wait behind those who can not.
    """

    _health: Health
    _lanes: Mapping[Lane, Turns] = attrs.field(
        factory=lambda: {lane: Turns(places) for lane, places in PLACES.items()}
    )
    _probes: Mapping[Lane, trio.CapacityLimiter] = attrs.field(factory=_limiters)
    """Where calls about applications that ail have their places."""
    _all: Row = attrs.field(factory=Row)
    _rows: dict[str, Row] = attrs.field(factory=dict)
    """By application, from a call that fails until one is answered and proves that it works."""
    _alone: bool = True
    """Whether an answer that proves was the last thing before a failure; see `Trouble`."""
    _refused: bool = False
    """The token, at the last call that said anything of it."""

    @asynccontextmanager
    async def passage(
        self, permit: Permit, lane: Lane = Lane.DEVICES, *, about: About = ANYTHING, proves: bool = True
    ) -> AsyncIterator[None]:
        """Around one call, which may raise `NetworkError`; it waits until `permit` says so.

        `proves`: that it is answered means that the network works for its application, and not only a part of
        it.
        """
        async with self._place(permit, lane, about):
            try:
                yield
            except NetworkError as error:
                if answered(error):
                    self._answered(about.application_id, proves)
                else:
                    await self._failed(error, about.application_id, proves)
                raise
            else:
                self._answered(about.application_id, proves)

    @asynccontextmanager
    async def _place(self, permit: Permit, lane: Lane, about: About) -> AsyncIterator[None]:
        """Among those that may call at a time, if the permit still says so when one is free.

        Whether the application ails may be another matter then: who waits with the others of it goes with
        them.
        """
        while True:
            await permit.assured()
            row = self._ailing(about.application_id)
            place = self._lanes[lane].place(about.group)
            ways = (place,) if row is None else (row.queues[lane], self._probes[lane])
            async with AsyncExitStack() as passed:
                for way in ways:
                    await passed.enter_async_context(way)
                    if self._ailing(about.application_id) is not row:
                        break
                else:
                    if permit.certain:
                        yield
                        return

    def _ailing(self, application_id: str) -> Row | None:
        row = self._rows.get(application_id)
        return row if row is not None and row.ails else None

    def _answered(self, application_id: str, proves: bool) -> None:
        if proves:
            self._rows.pop(application_id, None)
            self._all.failures, self._alone = 0, True
        else:
            if application_id in self._rows and self._ailing(application_id) is None:
                self._rows[application_id].glances = 0
            if PART in self._health.ailments():
                return  # somebody's calls fail, and what fails may be beyond what this one needs
        self._all.glances = 0
        if not self._all.failures:
            self._refused = False
            for lane, places in PLACES.items():
                self._probes[lane].total_tokens = places
            since = trio.current_time() - LASTS
            if not any(row.ails and row.last > since for row in self._rows.values()):
                self._health.well(PART)

    async def _failed(self, error: NetworkError, application_id: str, proves: bool) -> None:
        if isinstance(error, Trouble):
            error.alone = self._alone
        self._alone = False
        row = self._rows.setdefault(application_id, Row())
        for each in (row, self._all):
            each.failed(proves)
        if isinstance(error, TokenRefused):
            if not self._refused:
                log.error(
                    "ChirpStack refuses the token; nothing can be done until it is mended", said=str(error)
                )
            self._refused = True
            self._health.ill(PART, f"the token was refused: {error.detail}", lasts=LASTS)
        elif self._all.ails or row.ails:
            self._health.ill(PART, str(error), lasts=LASTS)
        if self._all.ails:
            for limiter in self._probes.values():
                limiter.total_tokens = 1
        if self._all.ails or row.ails:  # its place is kept for a while
            await trio.sleep(PROBE)
