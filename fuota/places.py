"""Who stays connected when there is no more room: no stranger keeps out those who have something to ask.

A server has a number of places. When all are taken, a newcomer gets that of whoever needs it least. If
everybody is being served, and no address has more than its share, the newcomer waits, or is the one to go.
"""

import math
import resource
from collections import Counter
from collections.abc import Callable
from enum import IntEnum
from ipaddress import IPv6Address, ip_address

import attrs
import structlog
import trio

log = structlog.get_logger(__name__)

CONNECTIONS = 500
"""Of one server, open at a time, if the process may open files enough."""
SERVERS = 3
OTHER_FILES = 100
"""That the process needs for its database and ChirpStack, and for connections that come or go."""
FEWEST = 4
"""Connections of a server, however few files may be open."""
PROMPT = 2.0
"""Seconds of waiting that are of no consequence."""
YOUTH = 1.0
"""Seconds that a newcomer to `CONNECTIONS` places has to ask, before another of its address gets its own. To
fewer it has fewer, so that a crowd which asks nothing is through as soon, but a tenth at least."""


class Standing(IntEnum):
    """Of a connection; whoever is lower goes first."""

    STRANGER = 0
    """It has not asked anything yet."""
    KNOWN = 1
    """It has been answered, and asks nothing at present."""
    SERVED = 2
    """A request of it is under way."""


@attrs.define(eq=False)
class Place:
    """A connection's."""

    share: str
    """Whose it is, as far as the sharing goes."""
    hang_up: Callable[[], None]
    standing: Standing = Standing.STRANGER
    since: int = 0
    """When it came to this standing: what is less was earlier."""
    young_until: float = -math.inf
    """Trio's time."""


@attrs.define(eq=False)
class Places:
    """All of one server."""

    name: str
    """Of the server, for the log."""
    room: int
    _crowded: Callable[[], object] = lambda: None
    """Is called when somebody is let in who may have waited for longer than `PROMPT`."""
    _taken: dict[Place, None] = attrs.field(factory=dict, init=False)
    _moves: int = attrs.field(default=0, init=False)
    _waiting: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot, init=False)
    _full_since: float = attrs.field(default=math.inf, init=False)
    """Trio's time since when every newcomer has had to wait."""

    async def wait_and_take(self, host: str, hang_up: Callable[[], None]) -> Place:
        """As `take`, in Trio, but wait until there is a place that nobody needs.

        Many who come at once from one address have been connected by the kernel, and may have asked already,
        before the first of them is looked at: none of them goes for another as long as it is young.
        """
        share, came, waited = share_of(host), trio.current_time(), False
        while len(self._taken) >= self.room:
            goes = self._who_goes(share)
            pause = math.inf if goes is None else goes.young_until - trio.current_time()
            if goes is not None and (pause <= 0 or goes.share != share or goes.standing > Standing.STRANGER):
                break
            waited = True
            with trio.move_on_after(pause):
                await self._waiting.park()
        self._full_since = min(self._full_since, came) if waited else math.inf
        if trio.current_time() - self._full_since > PROMPT:  # and those behind it in the kernel's queue
            self._crowded()
        place = self.take(host, hang_up)
        assert place is not None
        place.young_until = trio.current_time() + YOUTH * max(0.1, self.room / CONNECTIONS)
        return place

    def take(self, host: str, hang_up: Callable[[], None]) -> Place | None:
        """A place for a connection from this address; None if there is none.

        `hang_up` is called, at once and without waiting, if another needs it more.
        """
        share = share_of(host)
        if len(self._taken) >= self.room and not self._make_room(share):
            log.warning("too many connections", server=self.name, limit=self.room, refused=host)
            return None
        place = Place(share, hang_up)
        self._taken[place] = None
        self.move(place, Standing.STRANGER)
        return place

    def move(self, place: Place, standing: Standing) -> None:
        self._moves += 1
        place.standing, place.since = standing, self._moves
        self._waiting.unpark_all()

    def leave(self, place: Place) -> None:
        self._taken.pop(place, None)
        self._waiting.unpark_all()

    def _make_room(self, share: str) -> bool:
        goes = self._who_goes(share)
        if goes is None:
            return False
        log.warning("too many connections", server=self.name, limit=self.room, ended=goes.share)
        self.leave(goes)
        goes.hang_up()
        return True

    def _who_goes(self, share: str) -> Place | None:
        """Of the address with the most connections, the one that is served least, and so for the longest."""
        crowd = Counter(place.share for place in self._taken)
        most = max(crowd.values())
        there = [place for place in self._taken if crowd[place.share] == most]
        least = min(there, key=lambda place: (place.standing, place.since))
        return None if least.standing is Standing.SERVED and most <= crowd[share] + 1 else least


def room(most: int = CONNECTIONS) -> int:
    """How many connections a server may have at a time, so that the process can open what files it needs."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return most
    return min(most, max(FEWEST, (files - OTHER_FILES) // SERVERS))


def share_of(host: str) -> str:
    """What counts as one peer: an IPv4 address, or the 64 bits of an IPv6 one that a subnet has in common."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64))
