"""The air between the network and the devices: channels, ping slots, pace and loss."""

from datetime import datetime, timedelta
from math import ceil
from random import Random

import attrs
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from fuota.deployment.plan import BEACON_PERIOD, MulticastClass
from fuota.lorawan.airtime import modulation, time_on_air
from fuota.lorawan.gpstime import gps_seconds

BEACON_RESERVED = timedelta(seconds=2.12)
SLOT = timedelta(milliseconds=30)
UNKNOWN_AIRTIME = timedelta(seconds=1)


@attrs.frozen
class Channel:
    """Where and how a group is sent, or a device listens: a device hears what is sent on its own channel."""

    mc_class: MulticastClass
    frequency: int
    """Hz."""
    dr: int
    periodicity: int
    """Of the ping slots, 0–7; 0 in class C."""


@attrs.frozen(kw_only=True)
class Radio:
    """How quick and how good the air is."""

    uplink_interval: timedelta = timedelta(seconds=10)
    """Between two uplinks of a device that has nothing to answer; each is up to a tenth early or late."""
    rx_delay: timedelta = timedelta(seconds=1)
    """Between an uplink and the downlink in its receive window."""
    loss: float = 0.0
    """Share of frames, up and down, unicast and multicast, that are lost; drawn anew for each device."""
    fragment_interval: timedelta | None = None
    """Between two class C frames of a group; None: the time each is on air."""
    latency: timedelta = timedelta(milliseconds=100)
    """Between the gateway's reception of an uplink and its delivery."""
    seed: int = 0

    def pause(self, channel: Channel, frame: bytes) -> timedelta:
        """From the beginning of a class C frame to that of the next."""
        if self.fragment_interval is not None:
            return self.fragment_interval
        rate = modulation(channel.frequency, channel.dr)
        return UNKNOWN_AIRTIME if rate is None else time_on_air(rate, len(frame))

    @property
    def longest_interval(self) -> timedelta:
        return self.uplink_interval * 1.1

    def next_uplink(self, random: Random) -> timedelta:
        """Until the device's next uplink if nothing comes up before."""
        return self.uplink_interval * random.uniform(0.9, 1.1)


def next_slot(mc_addr: int, periodicity: int, earliest: datetime) -> datetime:
    """The first ping slot of the group that is not before `earliest` (LoRaWAN 1.0.x sections 12.1, 13.1)."""
    period = 1 << (5 + periodicity)  # in slots
    beacon = earliest - timedelta(
        seconds=gps_seconds(earliest) % BEACON_PERIOD.seconds, microseconds=earliest.microsecond
    )
    while True:
        first = beacon + BEACON_RESERVED + _ping_offset(mc_addr, gps_seconds(beacon), period) * SLOT
        passed = max(0, ceil((earliest - first) / (period * SLOT)))
        if passed < 4096 // period:
            return first + passed * period * SLOT
        beacon += BEACON_PERIOD


def _ping_offset(mc_addr: int, beacon: int, period: int) -> int:
    encryptor = Cipher(AES(bytes(16)), ECB()).encryptor()
    block = beacon.to_bytes(4, "little") + mc_addr.to_bytes(4, "little") + bytes(8)
    rand = encryptor.update(block) + encryptor.finalize()
    return (rand[0] + rand[1] * 256) % period
