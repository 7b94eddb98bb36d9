"""Which downlink the fate of a request hangs on."""

import attrs

from fuota.fate import Fate
from fuota.lorawan.package import Command

REMEMBERED = 4
"""Fates of downlinks that are not known, or not yet: an event may be quicker than the answer to the call."""


@attrs.define
class Outstanding:
    """The request that the network took last, until its fate is known."""

    _request: tuple[Command, str] | None = None
    _early: tuple[Fate, ...] = ()

    def asked(self) -> None:
        """The network is asked to take a request: what became of others before says nothing about it, though
        ChirpStack 3 gives the frame counter of what it has dropped to what comes next."""
        self._early = ()

    def handed_over(self, command: Command, item: str) -> Fate | None:
        """The network has taken it; its fate, if that is known already."""
        self._request = (command, item)
        return next((fate for fate in self._early if fate.item == item), None)

    def settled(self, fate: Fate, command: Command | None) -> bool:
        """Whether it is the first that is heard of `command`, which is what the device is being asked."""
        if command is None or (command, fate.item) != self._request:
            self._early = (*self._early, fate)[-REMEMBERED:]
            return False
        self._request = None
        return True
