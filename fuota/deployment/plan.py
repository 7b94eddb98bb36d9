"""What a deployment is to do: validated, complete, and never changed while it runs."""

from datetime import timedelta
from enum import Enum

import attrs

from fuota.lorawan.region import Region

BEACON_PERIOD = timedelta(seconds=128)

RESTORATIONS = 2
"""How often a group that somebody deletes is made again."""

SESSIONS = 5
"""How many windows may close before all has left the queue, whatever they bring; then the deployment settles
for what its devices have received.

A start that nobody has agreed to, or that comes while the network is away, uses none."""

WINDOWS = 100
"""How many may if each brings its share of the fragments, one with the other: the network is slow, but in the
end all will be heard."""

REPEATS = 512
"""Frame counters for what is sent twice, because the process died before it could say that it was sent."""


class MulticastClass(Enum):
    """The class in which the devices listen to the group (TS001 sections 9 and 13)."""

    B = "B"
    C = "C"


class ClassCScheduling(Enum):
    """How several gateways that send to one class C group keep out of each other's way."""

    DELAY = "delay"
    """One after the other, some time apart."""
    GPS_TIME = "gps-time"
    """At the same instant."""


class StatusRequest(Enum):
    """When the devices are asked what they have received."""

    AFTER_FRAGMENT_ENQUEUE = "after-fragment-enqueue"
    AFTER_SESSION_TIMEOUT = "after-session-timeout"
    NO_REQUEST = "no-request"


@attrs.frozen(kw_only=True)
class Plan:
    """One deployment as it was ordered; `order.plan` is where it is checked.

    Numbers are those of the LoRaWAN packages: TS005 for the group and its session, TS004 for the
    fragmentation session.
    """

    application_id: str
    """The application of the network to which the devices belong."""

    mc_class: MulticastClass
    mc_group_id: int
    """McGroupID, 0–3."""
    mc_addr: int
    """McAddr, 32 bits."""
    frequency: int
    """Of the multicast downlinks, in Hz; 0 means the region's class B channels."""
    dr: int
    """Data rate index of the multicast downlinks, 0–15."""
    time_out: int
    """T: the session lasts 2^T seconds (class C) or 2^T beacon periods (class B); 0–15."""
    periodicity: int
    """Class B ping slots: 2^(7 − periodicity) a beacon period; 0–7."""

    unicast_timeout: timedelta
    """How long an answer is awaited after its request was handed to the network."""
    unicast_attempts: int
    """How often a request is sent before its device has failed; at least 1."""

    frag_index: int
    """FragIndex, 0–3."""
    frag_size: int
    """Octets in a fragment."""
    redundancy: int
    """Number of coded fragments."""
    frag_algo: int
    block_ack_delay: int
    """b: a device may wait up to 2^(b + 4) seconds before it tells its status; 0–7."""
    descriptor: bytes
    """Four octets that go to the devices as they are."""
    status_request: StatusRequest

    firmware_size: int
    """Octets."""
    firmware_sha256: bytes

    region: Region | None = None
    """None where the network does not ask (ChirpStack v3)."""
    class_c_scheduling: ClassCScheduling = ClassCScheduling.DELAY
    gateways: tuple[str, ...] = ()
    """EUIs, in hexadecimal digits, of the gateways that send to the group; with none the network chooses."""

    @property
    def nb_frag(self) -> int:
        """Number of uncoded fragments, the last one padded (TS004 section 5.3)."""
        return -(-self.firmware_size // self.frag_size)

    @property
    def padding(self) -> int:
        """Zero octets at the end of the last uncoded fragment."""
        return self.nb_frag * self.frag_size - self.firmware_size

    @property
    def fragments(self) -> int:
        """Uncoded and coded fragments together."""
        return self.nb_frag + self.redundancy

    @property
    def window(self) -> timedelta:
        """How long the devices listen (TS005 sections 3.3 and 3.4)."""
        unit = BEACON_PERIOD if self.mc_class is MulticastClass.B else timedelta(seconds=1)
        return (1 << self.time_out) * unit

    @property
    def max_mc_fcnt(self) -> int:
        """maxMcFCount: of all groups of the deployment together, and whatever is sent again.

        It stays below 65536, where device stacks lose count of the upper bits. With more than 600 fragments
        there is not room for every such window then, and with more than 9000 not for each of `SESSIONS`.
        """
        return min(RESTORATIONS * self._stride + WINDOWS * self.fragments + REPEATS, 0xFFFF)

    def mc_fcnt(self, lost: int, used: int = 0) -> int:
        """The frame counter with which a group begins that was lost so often: above all used before.

        `used`: windows that have closed early; what they left in the queue has been sent again. All fragments
        have to fit below `max_mc_fcnt` once more.
        """
        return min(lost * self._stride + used * self.fragments, self.max_mc_fcnt - self.fragments)

    def room_after(self, windows: int) -> bool:
        """Whether there are frame counters for all fragments once more after so many windows."""
        return RESTORATIONS * self._stride + (windows + 1) * self.fragments <= self.max_mc_fcnt

    @property
    def _stride(self) -> int:
        return self.fragments + REPEATS
