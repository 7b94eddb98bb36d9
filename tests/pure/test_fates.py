"""What ChirpStack's events say of downlinks, in both generations and encodings."""

from collections.abc import Callable
from types import ModuleType

import pytest
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from fuota.fate import Dropped, Fate, OnAir
from fuota.generated.chirpstack3 import integration_pb2 as v3
from fuota.generated.chirpstack4 import integration_pb2 as v4
from fuota.integration import chirpstack3, chirpstack4
from fuota.integration.event import LONGEST_REASON, Generation, Malformed
from fuota.lorawan.eui import EUI64
from fuota.simulation.chirpstack4 import item_id
from fuota.simulation.webhook import fate3, fate4

DEV_EUI = EUI64(bytes.fromhex("70b3d50000000001"))
ITEM4 = item_id(str(DEV_EUI), 7)
ON_AIR = OnAir(dev_eui=DEV_EUI, item="7")
DROPPED = Dropped(dev_eui=DEV_EUI, item="7", reason="too large")
LONG_ITEM = (
    b'{"queueItemId": "%(item)s", "context": {"queue_item_id": "%(item)s"}, "code": "EXPIRED", '
    b'"deviceInfo": {"devEui": "70b3d50000000001"}}'
) % {b"item": b"x" * 37}
APPLICATION4 = "2f3a4b5c-0000-4000-8000-000000000001"

both = pytest.mark.parametrize("generation", [chirpstack3, chirpstack4], ids=lambda module: module.__name__)


def read(generation: ModuleType, kind: str, message: Message) -> Fate | None:
    """By either encoding, which have to agree."""
    dialect: Generation = generation
    plain = dialect.fate_from_protobuf(kind, message.SerializeToString())
    assert dialect.fate_from_json(kind, MessageToJson(message).encode()) == plain
    own_names = MessageToJson(message, preserving_proto_field_name=True).encode()
    assert dialect.fate_from_json(kind, own_names) == plain
    numbers = MessageToJson(message, use_integers_for_enums=True).encode()
    assert dialect.fate_from_json(kind, numbers) == plain
    return plain


def test_on_air() -> None:
    kind, message = fate3(ON_AIR, "1")
    assert (kind, read(chirpstack3, kind, message)) == ("txack", ON_AIR)
    kind, message = fate4(ON_AIR, APPLICATION4)
    assert (kind, read(chirpstack4, kind, message)) == ("txack", OnAir(dev_eui=DEV_EUI, item=ITEM4))


def test_dropped() -> None:
    reason = "DOWNLINK_PAYLOAD_SIZE too large"
    kind, message = fate3(DROPPED, "1")
    assert kind == "error"
    assert read(chirpstack3, kind, message) == Dropped(dev_eui=DEV_EUI, item="7", reason=reason)
    kind, message = fate4(DROPPED, APPLICATION4)
    assert kind == "log"
    assert read(chirpstack4, kind, message) == Dropped(dev_eui=DEV_EUI, item=ITEM4, reason=reason)


@pytest.mark.parametrize("kind", v3.ErrorType.values())
def test_errors_of_v3_that_are_about_a_downlink(kind: v3.ErrorType.ValueType) -> None:
    event = v3.ErrorEvent(dev_eui=DEV_EUI.octets, type=kind, error="x", f_cnt=7)
    about_one = v3.ErrorType.Name(kind) in ("DOWNLINK_PAYLOAD_SIZE", "DOWNLINK_FCNT", "DOWNLINK_GATEWAY")
    assert (read(chirpstack3, "error", event) is not None) == about_one


@pytest.mark.parametrize("code", v4.LogCode.values())
def test_logs_of_v4_that_are_about_a_downlink(code: v4.LogCode.ValueType) -> None:
    device = v4.DeviceInfo(dev_eui=str(DEV_EUI))
    event = v4.LogEvent(device_info=device, code=code, context={"queue_item_id": ITEM4})
    gone = v4.LogCode.Name(code) in ("DOWNLINK_PAYLOAD_SIZE", "F_CNT_DOWN", "EXPIRED")
    assert (read(chirpstack4, "log", event) is not None) == gone
    event.context.clear()
    assert read(chirpstack4, "log", event) is None


def test_what_is_new_to_us_is_of_no_concern() -> None:
    event = v3.ErrorEvent(dev_eui=DEV_EUI.octets, f_cnt=7)
    event.type = 99  # type: ignore[assignment]
    assert chirpstack3.fate_from_protobuf("error", event.SerializeToString()) is None
    assert chirpstack3.fate_from_json("error", b'{"type": "NEW", "devEUI": "70b3d50000000001"}') is None
    assert chirpstack4.fate_from_json("log", b'{"code": "NEW"}') is None


def test_a_long_reason_is_cut() -> None:
    kind, message = fate3(Dropped(dev_eui=DEV_EUI, item="7", reason="x" * 5000), "1")
    fate = read(chirpstack3, kind, message)
    assert isinstance(fate, Dropped)
    assert len(fate.reason) == LONGEST_REASON


@pytest.mark.parametrize(
    ("read", "kind", "body"),
    [
        (chirpstack3.fate_from_protobuf, "txack", b"\xff"),
        (chirpstack3.fate_from_protobuf, "txack", b""),
        (chirpstack3.fate_from_json, "error", b'{"type": "DOWNLINK_FCNT"}'),
        (chirpstack3.fate_from_json, "error", b'{"type": -1}'),
        (chirpstack4.fate_from_protobuf, "log", b"\xff"),
        (chirpstack4.fate_from_json, "txack", b'{"queueItemId": "x", "deviceInfo": {"devEui": "1"}}'),
        (chirpstack4.fate_from_json, "txack", b"[]"),
        (chirpstack4.fate_from_json, "txack", LONG_ITEM),
        (chirpstack4.fate_from_json, "log", LONG_ITEM),
    ],
)
def test_the_malformed(read: Callable[[str, bytes], Fate | None], kind: str, body: bytes) -> None:
    with pytest.raises(Malformed):
        read(kind, body)


@both
@given(body=st.binary(max_size=80), text=st.text(max_size=80))
def test_any_octets_are_read_or_malformed(generation: ModuleType, body: bytes, text: str) -> None:
    dialect: Generation = generation
    for kind in dialect.FATES:
        for reader, octets in ((dialect.fate_from_protobuf, body), (dialect.fate_from_json, text.encode())):
            try:
                fate = reader(kind, octets)
            except Malformed:
                continue
            assert fate is None or len(fate.dev_eui.octets) == 8
