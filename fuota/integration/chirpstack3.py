"""The UplinkEvent of the ChirpStack Application Server v3, as protobuf and as JSON.

JSON comes from its marshaler `json` (the protobuf JSON mapping, octets in base64) or from the older
`json_v3` (DevEUI in hexadecimal).
"""

from datetime import datetime
from typing import Any

from google.protobuf.message import DecodeError

from fuota.generated.chirpstack3.integration_pb2 import UplinkEvent
from fuota.integration import protojson
from fuota.integration.event import Malformed, from_gps, from_unix, received_at
from fuota.lorawan.eui import EUI64
from fuota.uplink import Uplink


def from_protobuf(body: bytes, now: datetime) -> Uplink:
    """Read an `integration.UplinkEvent`; raises `Malformed`."""
    try:
        event = UplinkEvent.FromString(body)
    except DecodeError as error:
        raise Malformed("not an integration.UplinkEvent in protobuf") from error
    # What is not set reads as 1970 or 1980, which no instant worth something is.
    gps = [info.time_since_gps_epoch for info in event.rx_info]
    unix = [*(info.time for info in event.rx_info), event.published_at]
    times = [
        *(from_gps(time.seconds, time.nanos, now) for time in gps),
        *(from_unix(time.seconds, time.nanos) for time in unix),
    ]
    return _uplink(event.dev_eui, event.f_port, event.f_cnt, event.data, received_at(times, now))


def from_json(body: bytes, now: datetime) -> Uplink:
    """Read the JSON of an `integration.UplinkEvent`; raises `Malformed`."""
    event = protojson.read(body)
    rx_info = protojson.objects(event, "rxInfo")
    times = [
        *(from_gps(*protojson.duration(info, "timeSinceGPSEpoch"), now) for info in rx_info),
        *(protojson.timestamp(info, "time") for info in rx_info),
        protojson.timestamp(event, "publishedAt"),
    ]
    return _uplink(
        _dev_eui(event),
        protojson.unsigned(event, "fPort", 32),
        protojson.unsigned(event, "fCnt", 32),
        protojson.octets(event, "data"),
        received_at(times, now),
    )


def _uplink(dev_eui: bytes, f_port: int, f_cnt: int, data: bytes, at: datetime) -> Uplink:
    if len(dev_eui) != 8:
        raise Malformed(f"devEUI: wanted 8 octets, got {len(dev_eui)}")
    return Uplink(dev_eui=EUI64(dev_eui), f_port=f_port, f_cnt=f_cnt, data=data, received_at=at)


def _dev_eui(event: dict[str, Any]) -> bytes:
    # 16 characters of base64 would be 12 octets: there is nothing to mistake one for the other.
    text = event.get("devEUI")
    if isinstance(text, str) and len(text) == 16:
        try:
            return bytes.fromhex(text)
        except ValueError as error:
            raise Malformed(f"devEUI: wanted 16 hexadecimal digits or base64, got {text!r}") from error
    return protojson.octets(event, "devEUI")
