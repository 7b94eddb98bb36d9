"""Who stays connected when there is no more room: no stranger keeps out those who have something to ask.

A server has a number of places. When all are taken, a newcomer gets that of whoever needs it least; only if
everybody is being served, and no address has more than its share, the newcomer is the one to go.
"""

import resource
from collections import Counter
from collections.abc import Callable
from enum import IntEnum
from ipaddress import IPv6Address, ip_address

import attrs
import structlog

log = structlog.get_logger(__name__)

CONNECTIONS = 500
"""Of one server, open at a time, if the process may open files enough."""
SERVERS = 3
OTHER_FILES = 100
"""That the process needs for its database and ChirpStack, and for connections that come or go."""
FEWEST = 4
"""Connections of a server, however few files may be open."""


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


@attrs.define(eq=False)
class Places:
    """All of one server."""

    name: str
    """Of the server, for the log."""
    room: int
    _taken: dict[Place, None] = attrs.field(factory=dict, init=False)
    _moves: int = attrs.field(default=0, init=False)

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

    def leave(self, place: Place) -> None:
        self._taken.pop(place, None)

    def _make_room(self, share: str) -> bool:
        """Of the address with the most connections, the one that is served least, and so for the longest."""
        crowd = Counter(place.share for place in self._taken)
        most = max(crowd.values())
        there = [place for place in self._taken if crowd[place.share] == most]
        least = min(there, key=lambda place: (place.standing, place.since))
        if least.standing is Standing.SERVED and most <= crowd[share] + 1:
            return False
        log.warning("too many connections", server=self.name, limit=self.room, ended=least.share)
        self.leave(least)
        least.hang_up()
        return True


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
