"""What the events of every ChirpStack generation have in common."""

from datetime import UTC, datetime, timedelta
from typing import Protocol

from fuota.fate import Fate
from fuota.integration.gateway_clocks import BEHIND, GatewayClocks
from fuota.lorawan import gpstime
from fuota.lorawan.package import MAX_PAYLOAD
from fuota.uplink import Uplink

LONGEST_REASON = 200
"""Characters of what a network says of a downlink that it has dropped."""

_GPS_AHEAD = 60
"""Seconds; above what UTC and GPS time differ by, so that no instant in question is left out."""


class Malformed(ValueError):
    """The event is not what ChirpStack sends. The message names the field, and what would be right."""


class Generation(Protocol):
    """How one generation of ChirpStack writes its events; a module of this package.

    All raise `Malformed`. `now` is when the event reached us, in UTC; `clocks` are those of the gateways.
    """

    @property
    def FATES(self) -> frozenset[str]:
        """Kinds of events that may tell what became of a downlink."""

    @property
    def WITHIN(self) -> float:
        """Seconds in which an uplink has to be safe: less than ChirpStack waits for the answer."""

    def from_protobuf(self, body: bytes, now: datetime, clocks: GatewayClocks) -> Uplink: ...

    def from_json(self, body: bytes, now: datetime, clocks: GatewayClocks) -> Uplink: ...

    def fate_from_protobuf(self, kind: str, body: bytes) -> Fate | None: ...

    def fate_from_json(self, kind: str, body: bytes) -> Fate | None: ...


def payload(data: bytes) -> bytes:
    """The data of an uplink, which is kept in memory for a while: `Malformed` if no frame has room for it."""
    if len(data) > MAX_PAYLOAD:
        raise Malformed(f"data: wanted at most {MAX_PAYLOAD} octets, got {len(data)}")
    return data


def from_gps(seconds: int, nanoseconds: int, now: datetime) -> datetime | None:
    """UTC of a time since the GPS epoch; None when it is far from `now`, or beyond what `datetime` holds."""
    present = (now - gpstime.EPOCH) // timedelta(seconds=1)
    if not present - BEHIND.total_seconds() <= seconds <= present + _GPS_AHEAD:
        return None
    return gpstime.utc(seconds) + timedelta(microseconds=nanoseconds // 1000)


def from_unix(seconds: int, nanoseconds: int) -> datetime | None:
    """UTC of a protobuf Timestamp; None when it is beyond what `datetime` holds."""
    try:
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=nanoseconds // 1000)
    except (ValueError, OverflowError, OSError):
        return None
