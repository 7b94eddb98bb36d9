"""Events of ChirpStack 4, as protobuf and as JSON."""

from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from google.protobuf.message import DecodeError

from fuota.fate import Dropped, Fate, OnAir
from fuota.generated.chirpstack4.integration_pb2 import LogCode, LogEvent, TxAckEvent, UplinkEvent
from fuota.integration import protojson
from fuota.integration.event import LONGEST_REASON, Malformed, from_gps, from_unix, payload
from fuota.integration.gateway_clocks import GatewayClocks, Reception
from fuota.lorawan.eui import EUI64
from fuota.uplink import Uplink

FATES: Final = frozenset({"txack", "log"})
WITHIN: Final = 4.0
"""Of the 5 s that ChirpStack waits."""
CODES: Final = dict(LogCode.items())
DROPS: Final = frozenset({LogCode.DOWNLINK_PAYLOAD_SIZE, LogCode.F_CNT_DOWN, LogCode.EXPIRED})
"""What is logged of a downlink that leaves the queue, named by its queue_item_id.

One that a gateway could not send (DOWNLINK_GATEWAY) is not named, and stays: ChirpStack sends it again.
"""
LONGEST_ITEM: Final = 36
"""Characters: a UUID. The device's actor keeps some."""


def from_protobuf(body: bytes, now: datetime, clocks: GatewayClocks) -> Uplink:
    """Read an `integration.UplinkEvent`; raises `Malformed`."""
    try:
        event = UplinkEvent.FromString(body)
    except DecodeError as error:
        raise Malformed("not an integration.UplinkEvent in protobuf") from error
    # What is not set reads as 1970 or 1980, which no instant worth something is.
    receptions = [
        Reception(
            _gateway(info.gateway_id),
            from_gps(info.time_since_gps_epoch.seconds, info.time_since_gps_epoch.nanos, now),
            from_unix(info.gw_time.seconds, info.gw_time.nanos),
            from_unix(info.ns_time.seconds, info.ns_time.nanos),
        )
        for info in event.rx_info
    ]
    at = clocks.received_at(receptions, from_unix(event.time.seconds, event.time.nanos), now)
    return _uplink(event.device_info.dev_eui, event.f_port, event.f_cnt, event.data, at)


def from_json(body: bytes, now: datetime, clocks: GatewayClocks) -> Uplink:
    """Read the JSON of an `integration.UplinkEvent`; raises `Malformed`."""
    event = protojson.read(body)
    receptions = [
        Reception(
            _gateway(protojson.given(info, "gatewayId")),
            from_gps(*protojson.duration(info, "timeSinceGpsEpoch"), now),
            protojson.timestamp(info, "gwTime"),
            protojson.timestamp(info, "nsTime"),
        )
        for info in protojson.objects(event, "rxInfo")
    ]
    return _uplink(
        _dev_eui(event),
        protojson.unsigned(event, "fPort", 32),
        protojson.unsigned(event, "fCnt", 32),
        protojson.octets(event, "data"),
        clocks.received_at(receptions, protojson.timestamp(event, "time"), now),
    )


def fate_from_protobuf(kind: str, body: bytes) -> Fate | None:
    """Read an `integration.TxAckEvent` or `LogEvent`; raises `Malformed`."""
    try:
        if kind == "txack":
            sent = TxAckEvent.FromString(body)
            return _on_air(sent.device_info.dev_eui, sent.queue_item_id)
        event = LogEvent.FromString(body)
    except DecodeError as error:
        raise Malformed(f"not an event of kind {kind} in protobuf") from error
    item = event.context.get("queue_item_id", "")
    return _dropped(event.device_info.dev_eui, item, event.code, event.description)


def fate_from_json(kind: str, body: bytes) -> Fate | None:
    """Read the JSON of the same; raises `Malformed`."""
    event = protojson.read(body)
    dev_eui = _dev_eui(event)
    if kind == "txack":
        return _on_air(dev_eui, protojson.given(event, "queueItemId"))
    item = protojson.member(event, "context").get("queue_item_id")
    return _dropped(dev_eui, item, protojson.enum(event, "code", CODES), str(event.get("description") or ""))


def _gateway(text: object) -> str:
    """Its EUI64; empty if that can not be read, for no event is refused for its times."""
    with suppress(ValueError):
        return str(EUI64.parse(text)) if isinstance(text, str) else ""
    return ""


def _on_air(dev_eui: object, item: object) -> OnAir | None:
    return OnAir(dev_eui=_eui(dev_eui), item=_item(item)) if item and isinstance(item, str) else None


def _dropped(dev_eui: object, item: object, code: int, text: str) -> Dropped | None:
    if code not in DROPS or not item or not isinstance(item, str):
        return None
    name = LogCode.Name(LogCode.ValueType(code))
    reason = f"{name} {text}".strip()[:LONGEST_REASON]
    return Dropped(dev_eui=_eui(dev_eui), item=_item(item), reason=reason)


def _item(text: str) -> str:
    if len(text) > LONGEST_ITEM:
        raise Malformed(f"queueItemId: wanted at most {LONGEST_ITEM} characters, got {len(text)}")
    return text


def _dev_eui(event: dict[str, Any]) -> object:
    return protojson.given(protojson.member(event, "deviceInfo"), "devEui")


def _eui(text: object) -> EUI64:
    try:
        if isinstance(text, str):
            return EUI64.parse(text)
    except ValueError:
        pass
    raise Malformed("deviceInfo.devEui: wanted 16 hexadecimal digits")


def _uplink(dev_eui: object, f_port: int, f_cnt: int, data: bytes, at: datetime) -> Uplink:
    return Uplink(dev_eui=_eui(dev_eui), f_port=f_port, f_cnt=f_cnt, data=payload(data), received_at=at)
