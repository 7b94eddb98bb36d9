"""The UplinkEvent of ChirpStack 4, as protobuf and as JSON."""

from datetime import datetime

from google.protobuf.message import DecodeError

from fuota.generated.chirpstack4.integration_pb2 import UplinkEvent
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
    unix = [time for info in event.rx_info for time in (info.gw_time, info.ns_time)]
    times = [
        *(from_gps(time.seconds, time.nanos, now) for time in gps),
        *(from_unix(time.seconds, time.nanos) for time in (*unix, event.time)),
    ]
    return _uplink(event.device_info.dev_eui, event.f_port, event.f_cnt, event.data, received_at(times, now))


def from_json(body: bytes, now: datetime) -> Uplink:
    """Read the JSON of an `integration.UplinkEvent`; raises `Malformed`."""
    event = protojson.read(body)
    rx_info = protojson.objects(event, "rxInfo")
    times = [
        *(from_gps(*protojson.duration(info, "timeSinceGpsEpoch"), now) for info in rx_info),
        *(protojson.timestamp(info, name) for info in rx_info for name in ("gwTime", "nsTime")),
        protojson.timestamp(event, "time"),
    ]
    device = event.get("deviceInfo")
    return _uplink(
        device.get("devEui") if isinstance(device, dict) else None,
        protojson.unsigned(event, "fPort", 32),
        protojson.unsigned(event, "fCnt", 32),
        protojson.octets(event, "data"),
        received_at(times, now),
    )


def _uplink(dev_eui: object, f_port: int, f_cnt: int, data: bytes, at: datetime) -> Uplink:
    try:
        device = EUI64.parse(dev_eui) if isinstance(dev_eui, str) else None
    except ValueError:
        device = None
    if device is None:
        raise Malformed("deviceInfo.devEui: wanted 16 hexadecimal digits")
    return Uplink(dev_eui=device, f_port=f_port, f_cnt=f_cnt, data=data, received_at=at)
