"""What became of a downlink, in the words of no particular network generation."""

import attrs

from fuota.lorawan.eui import EUI64


@attrs.frozen(kw_only=True)
class OnAir:
    """A gateway has sent it."""

    dev_eui: EUI64
    item: str
    """By which the network knows the downlink: what `Network.downlink` has returned."""


@attrs.frozen(kw_only=True)
class Dropped:
    """It is not going to be sent: it was too large or too old, or no gateway could."""

    dev_eui: EUI64
    item: str
    reason: str


Fate = OnAir | Dropped
