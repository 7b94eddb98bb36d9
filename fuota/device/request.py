"""What is known of the request of a device's present state, and on which downlink its fate hangs."""

import math

import attrs

from fuota.device.effects import Ask
from fuota.device.messages import HandedOver
from fuota.fate import Fate
from fuota.lorawan.package import Command

REMEMBERED = 4
"""Fates of downlinks that are not known, or not yet: an event may be quicker than the answer to the call."""


@attrs.define
class Request:
    """One after the other, for as long as the actor lives.

    begin ──▶ taken ──▶ settled ──▶ end
      │         ╰───────────────────▲
      ╰─────────────────────────────╯    the state is left, which may be at any time
    """

    ask: Ask | None = None
    """None: the state asks for nothing, or an earlier incarnation has asked."""
    unwritten: Ask | None = None
    """The same for as long as it has no row."""
    since: float = math.inf
    """When the network has taken it, by Trio's clock; inf for as long as it has not."""
    overtaken: bool = False
    """Since it was made the device's clock was put right: an answer may still be by the one before."""
    _taken: tuple[Command, str] | None = None
    """What the network took last, and what it calls that, until its fate is known."""
    _early: tuple[Fate, ...] = ()

    def begin(self, ask: Ask) -> None:
        """The network is asked to take it: what became of others before says nothing about it, though
        ChirpStack 3 gives the frame counter of what it has dropped to what comes next."""
        self.ask = self.unwritten = ask
        self.since, self.overtaken = math.inf, False
        self._early = ()

    def keep(self, ask: Ask) -> None:
        """The network has dropped the last attempt: only an answer to an earlier one is waited for."""
        self.ask = ask

    @property
    def under_way(self) -> bool:
        """Whether the network has not said yet that it has it."""
        return self.ask is not None and math.isinf(self.since)

    def end(self) -> None:
        self.ask = self.unwritten = None

    def taken(self, message: HandedOver, now: float) -> Fate | None:
        """The network has it; its fate, if that is known already."""
        self.unwritten, self.since = None, now
        if message.item is None:
            return None
        self._taken = (message.ask.command, message.item)
        return next((fate for fate in self._early if fate.item == message.item), None)

    def settled(self, fate: Fate) -> bool:
        """Whether that is the first that is heard of it."""
        if self.ask is None or (self.ask.command, fate.item) != self._taken:
            self._early = (*self._early, fate)[-REMEMBERED:]
            return False
        self._taken = None
        return True

    def on_air(self) -> Ask:
        """The wait for an answer begins anew: whoever looks already at the network looks too early."""
        assert self.ask is not None
        self.ask = attrs.evolve(self.ask)
        return self.ask
