"""Events of the ChirpStack Application Server v3, as protobuf and as JSON.

JSON comes from its marshaler `json` (the protobuf JSON mapping, octets in base64) or from the older
`json_v3` (DevEUI in hexadecimal).
"""

from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from google.protobuf.message import DecodeError

from fuota.fate import Dropped, Fate, OnAir
from fuota.generated.chirpstack3.integration_pb2 import ErrorEvent, ErrorType, TxAckEvent, UplinkEvent
from fuota.integration import protojson
from fuota.integration.event import LONGEST_REASON, Malformed, from_gps, from_unix, payload
from fuota.integration.gateway_clocks import GatewayClocks, Reception
from fuota.lorawan.eui import EUI64
from fuota.uplink import Uplink

FATES: Final = frozenset({"txack", "error"})
WITHIN: Final = 8.0
"""Of the 10 s that the Application Server waits."""
TYPES: Final = dict(ErrorType.items())
DROPS: Final = frozenset(
    {ErrorType.DOWNLINK_PAYLOAD_SIZE, ErrorType.DOWNLINK_FCNT, ErrorType.DOWNLINK_GATEWAY}
)
"""Errors that are about a downlink; its FCntDown names it."""


def from_protobuf(body: bytes, now: datetime, clocks: GatewayClocks) -> Uplink:
    """Read an `integration.UplinkEvent`; raises `Malformed`."""
    try:
        event = UplinkEvent.FromString(body)
    except DecodeError as error:
        raise Malformed("not an integration.UplinkEvent in protobuf") from error
    # What is not set reads as 1970 or 1980, which no instant worth something is.
    receptions = [
        Reception(
            info.gateway_id.hex() if len(info.gateway_id) == 8 else "",
            from_gps(info.time_since_gps_epoch.seconds, info.time_since_gps_epoch.nanos, now),
            from_unix(info.time.seconds, info.time.nanos),
        )
        for info in event.rx_info
    ]
    published_at = from_unix(event.published_at.seconds, event.published_at.nanos)
    at = clocks.received_at(receptions, published_at, now)
    return _uplink(event.dev_eui, event.f_port, event.f_cnt, event.data, at)


def from_json(body: bytes, now: datetime, clocks: GatewayClocks) -> Uplink:
    """Read the JSON of an `integration.UplinkEvent`; raises `Malformed`."""
    event = protojson.read(body)
    receptions = [
        Reception(
            _gateway(info),
            from_gps(*protojson.duration(info, "timeSinceGPSEpoch"), now),
            protojson.timestamp(info, "time"),
        )
        for info in protojson.objects(event, "rxInfo")
    ]
    return _uplink(
        _dev_eui(event),
        protojson.unsigned(event, "fPort", 32),
        protojson.unsigned(event, "fCnt", 32),
        protojson.octets(event, "data"),
        clocks.received_at(receptions, protojson.timestamp(event, "publishedAt"), now),
    )


def fate_from_protobuf(kind: str, body: bytes) -> Fate | None:
    """Read an `integration.TxAckEvent` or `ErrorEvent`; raises `Malformed`."""
    try:
        if kind == "txack":
            sent = TxAckEvent.FromString(body)
            return OnAir(dev_eui=_eui(sent.dev_eui), item=str(sent.f_cnt))
        event = ErrorEvent.FromString(body)
    except DecodeError as error:
        raise Malformed(f"not an event of kind {kind} in protobuf") from error
    return _dropped(event.dev_eui, event.f_cnt, event.type, event.error)


def fate_from_json(kind: str, body: bytes) -> Fate | None:
    """Read the JSON of the same; raises `Malformed`."""
    event = protojson.read(body)
    dev_eui, f_cnt = _dev_eui(event), protojson.unsigned(event, "fCnt", 32)
    if kind == "txack":
        return OnAir(dev_eui=_eui(dev_eui), item=str(f_cnt))
    return _dropped(dev_eui, f_cnt, protojson.enum(event, "type", TYPES), str(event.get("error") or ""))


def _dropped(dev_eui: bytes, f_cnt: int, kind: int, text: str) -> Dropped | None:
    if kind not in DROPS:
        return None
    name = ErrorType.Name(ErrorType.ValueType(kind))
    return Dropped(dev_eui=_eui(dev_eui), item=str(f_cnt), reason=f"{name} {text}".strip()[:LONGEST_REASON])


def _eui(octets: bytes) -> EUI64:
    if len(octets) != 8:
        raise Malformed(f"devEUI: wanted 8 octets, got {len(octets)}")
    return EUI64(octets)


def _uplink(dev_eui: bytes, f_port: int, f_cnt: int, data: bytes, at: datetime) -> Uplink:
    return Uplink(dev_eui=_eui(dev_eui), f_port=f_port, f_cnt=f_cnt, data=payload(data), received_at=at)


def _gateway(info: dict[str, Any]) -> str:
    """Its EUI64; empty if that can not be read, for no event is refused for its times."""
    with suppress(Malformed):
        octets = _octets(info, "gatewayID")
        return octets.hex() if len(octets) == 8 else ""
    return ""


def _dev_eui(event: dict[str, Any]) -> bytes:
    return _octets(event, "devEUI")


def _octets(object_: dict[str, Any], name: str) -> bytes:
    """An EUI64, in hexadecimal or base64."""
    # 16 characters of base64 would be 12 octets: there is nothing to mistake one for the other.
    text = protojson.given(object_, name)
    if isinstance(text, str) and len(text) == 16:
        try:
            return bytes.fromhex(text)
        except ValueError as error:
            raise Malformed(f"{name}: wanted 16 hexadecimal digits or base64, got {text!r}") from error
    return protojson.octets(object_, name)
