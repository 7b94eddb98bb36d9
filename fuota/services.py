"""What the actors share: the ports to the world, and the clock."""

import attrs

from fuota.actor.alarms import Alarms
from fuota.actor.registry import Registry
from fuota.clock import Clock
from fuota.device import messages as device
from fuota.health import Health
from fuota.journal.port import Journal
from fuota.lorawan.eui import EUI64
from fuota.network.port import Network


@attrs.frozen
class Services:
    """One of each in a server."""

    journal: Journal
    network: Network
    clock: Clock
    alarms: Alarms
    devices: Registry[EUI64, device.Message]
    """The live device actors of each device, one for every deployment it is in."""
    health: Health
