"""UplinkEvents of ChirpStack 4, in both encodings."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson

from fuota.generated.chirpstack4.integration_pb2 import DeviceInfo, UplinkEvent
from fuota.integration import chirpstack4
from fuota.integration.event import Malformed
from fuota.integration.gateway_clocks import GatewayClocks
from fuota.lorawan.eui import EUI64
from fuota.lorawan.gpstime import EPOCH, gps_seconds
from fuota.lorawan.package import MAX_PAYLOAD
from fuota.simulation.webhook import event4
from fuota.uplink import Uplink

NOW = datetime(2026, 11, 24, 10, 0, 1, tzinfo=UTC)
SEEN = NOW - timedelta(seconds=0.75)
UPLINK = Uplink(
    dev_eui=EUI64.parse("70b3d5a000000001"), f_port=201, f_cnt=7, data=b"\x02\x00", received_at=SEEN
)


def event(**fields: Any) -> UplinkEvent:
    given: dict[str, Any] = {
        "device_info": DeviceInfo(dev_eui=str(UPLINK.dev_eui)),
        "f_port": 201,
        "f_cnt": 7,
        "data": b"\x02\x00",
        "time": SEEN,
    }
    return UplinkEvent(**(given | fields))


def read_both(made: UplinkEvent) -> Uplink:
    """The same from both encodings."""
    uplink = chirpstack4.from_protobuf(made.SerializeToString(), NOW, GatewayClocks())
    for written in (
        MessageToJson(made),
        MessageToJson(made, always_print_fields_with_no_presence=True),
        MessageToJson(made, preserving_proto_field_name=True),
    ):
        assert chirpstack4.from_json(written.encode(), NOW, GatewayClocks()) == uplink
    return uplink


def test_what_the_simulated_chirpstack_posts() -> None:
    assert read_both(event4(UPLINK, "5f0c2b1e-0000-4000-8000-000000000001")) == UPLINK


def test_what_is_needed_is_read() -> None:
    assert read_both(event()) == UPLINK


def test_the_best_known_time_counts() -> None:
    made = event()
    assert read_both(event(time=None)).received_at == NOW
    made.rx_info.add().ns_time.FromDatetime(SEEN + timedelta(milliseconds=30))
    assert read_both(made).received_at == SEEN + timedelta(milliseconds=30)
    made.rx_info[0].gw_time.FromDatetime(SEEN + timedelta(milliseconds=20))
    assert read_both(made).received_at == SEEN + timedelta(milliseconds=20)
    made.rx_info.add().time_since_gps_epoch.FromTimedelta(
        timedelta(seconds=gps_seconds(SEEN), milliseconds=10)
    )
    assert read_both(made).received_at == SEEN.replace(microsecond=0) + timedelta(milliseconds=10)


@pytest.mark.parametrize("off", [-3600, -60, -4, 4, 60])
def test_a_gateways_time_that_the_network_servers_contradicts_does_not_count(off: int) -> None:
    made, by_server = event(), SEEN + timedelta(milliseconds=30)
    reception = made.rx_info.add(gateway_id="0016C001ff10a235")
    reception.gw_time.FromDatetime(SEEN + timedelta(seconds=off))
    reception.ns_time.FromDatetime(by_server)
    assert read_both(made).received_at == by_server


@pytest.mark.parametrize("gateway_id", ["0016C001ff10a235", "", "another", "☃" * 16])
def test_no_event_is_refused_for_its_gateway(gateway_id: str) -> None:
    made = event()
    made.rx_info.add(gateway_id=gateway_id).gw_time.FromDatetime(SEEN)
    assert read_both(made) == UPLINK


@pytest.mark.parametrize("wrong", [datetime(1970, 1, 1, tzinfo=UTC), EPOCH, NOW + timedelta(days=1)])
def test_a_gateway_that_does_not_know_the_time_is_not_believed(wrong: datetime) -> None:
    made = event()
    made.rx_info.add().gw_time.FromDatetime(wrong)
    assert read_both(made).received_at == SEEN


@pytest.mark.parametrize("dev_eui", ["70B3D5A000000001", "70b3d5a000000001"])
def test_a_deveui_in_either_case(dev_eui: str) -> None:
    assert read_both(event(device_info=DeviceInfo(dev_eui=dev_eui))) == UPLINK


@pytest.mark.parametrize("dev_eui", ["", "70b3d5a00000000", "70b3d5a0000000012", "zz" * 8, "☃" * 16])
def test_an_event_without_a_deveui_is_malformed(dev_eui: str) -> None:
    made = event(device_info=DeviceInfo(dev_eui=dev_eui))
    with pytest.raises(Malformed, match=r"deviceInfo\.devEui: wanted 16 hexadecimal digits"):
        chirpstack4.from_protobuf(made.SerializeToString(), NOW, GatewayClocks())
    with pytest.raises(Malformed, match=r"deviceInfo\.devEui: wanted 16 hexadecimal digits"):
        chirpstack4.from_json(MessageToJson(made).encode(), NOW, GatewayClocks())


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not JSON"),
        (b"[]", "wanted a JSON object"),
        (b"{}", "deviceInfo"),
        (b'{"deviceInfo": "x"}', "deviceInfo"),
        (b'{"deviceInfo": {"devEui": 5}}', "deviceInfo"),
        (json.dumps({"deviceInfo": {"devEui": str(UPLINK.dev_eui)}, "fPort": -1}).encode(), "fPort"),
        (json.dumps({"deviceInfo": {"devEui": str(UPLINK.dev_eui)}, "data": "!"}).encode(), "data"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, told: str) -> None:
    with pytest.raises(Malformed, match=told):
        chirpstack4.from_json(body, NOW, GatewayClocks())


def test_data_that_no_frame_has_room_for_is_malformed() -> None:
    assert len(read_both(event(data=bytes(MAX_PAYLOAD))).data) == MAX_PAYLOAD
    made = event(data=bytes(MAX_PAYLOAD + 1))
    with pytest.raises(Malformed, match="data: wanted at most 255 octets, got 256"):
        chirpstack4.from_protobuf(made.SerializeToString(), NOW, GatewayClocks())
    with pytest.raises(Malformed, match="data: wanted at most 255 octets, got 256"):
        chirpstack4.from_json(MessageToJson(made).encode(), NOW, GatewayClocks())


def test_what_is_no_protobuf_is_malformed() -> None:
    with pytest.raises(Malformed, match=r"not an integration\.UplinkEvent"):
        chirpstack4.from_protobuf(b"\xff\xff", NOW, GatewayClocks())
