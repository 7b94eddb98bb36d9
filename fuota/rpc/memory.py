"""What clients have sent is in memory: a bound for all of it, and who goes when that is reached."""

from collections import Counter
from collections.abc import Callable

import attrs
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from fuota.places import share_of


@attrs.define(eq=False)
class Share:
    """Of one connection."""

    peer: str
    """Whose it is: an address, or the subnet of one."""
    hang_up: Callable[[], None]
    held: int = 0
    """Octets."""


@attrs.define(eq=False)
class Memory:
    """Of all connections of a server."""

    room: int
    """Octets that are left."""
    _shares: dict[Share, None] = attrs.field(factory=dict, init=False)

    def join(self, host: str, hang_up: Callable[[], None]) -> Share:
        """A connection's share, of nothing so far; `hang_up` is called if others need what it has."""
        share = Share(share_of(host), hang_up)
        self._shares[share] = None
        return share

    def take(self, share: Share, octets: int) -> None:
        """Let the connection have so much more, which whoever has the most may have to give: of the address
        that has more than this one's will have, or else of all.

        Raises RESOURCE_EXHAUSTED if that would be this one.
        """
        while octets > self.room:
            most = self._most(share, octets)
            if most is None:
                raise GRPCError(Status.RESOURCE_EXHAUSTED, "too much is asked at once: try again")
            self.leave(most)
            most.hang_up()
        if share in self._shares:
            self.room -= octets
            share.held += octets

    def _most(self, share: Share, octets: int) -> Share | None:
        held = Counter({share.peer: octets})
        for each in self._shares:
            held[each.peer] += each.held
        (peer, _), *_ = held.most_common(1)
        if peer != share.peer:
            return max((each for each in self._shares if each.peer == peer), key=lambda each: each.held)
        most = max(self._shares, key=lambda each: each.held, default=share)
        return most if most.held > share.held + octets else None

    def give(self, share: Share, octets: int) -> None:
        if share in self._shares:
            self.room += octets
            share.held -= octets

    def leave(self, share: Share) -> None:
        """The connection is no more, or will be none in a moment."""
        if share in self._shares:
            del self._shares[share]
            self.room += share.held
