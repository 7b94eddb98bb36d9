"""Generated messages in pools of their own: two generations in one process, the well-known types in each."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf import descriptor_pool, json_format
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from fuota.descriptors import define, new_pool
from fuota.generated.chirpstack3 import fuota_pb2, integration_pb2, multicast_group_pb2
from fuota.generated.chirpstack4 import common_pb2 as common4_pb2
from fuota.generated.chirpstack4 import fuota_pb2 as fuota4_pb2
from fuota.generated.chirpstack4 import multicast_group_pb2 as multicast_group4_pb2


def test_two_generations_share_a_process() -> None:
    ours, theirs = fuota_pb2.Deployment, fuota4_pb2.Deployment
    assert theirs.DESCRIPTOR.full_name == ours.DESCRIPTOR.full_name == "fuota.Deployment"
    assert theirs(application_id="a").SerializeToString() == b"\x0a\x01a"
    assert ours(application_id=5).SerializeToString() == b"\x08\x05"
    assert theirs.__module__ == "fuota.generated.chirpstack4.fuota_pb2"


def test_messages_are_nested_as_declared() -> None:
    file = FileDescriptorProto(name="nested.proto", package="nested", syntax="proto3")
    outer = file.message_type.add(name="Outer")
    outer.nested_type.add(name="Inner").enum_type.add(name="Band").value.add(name="EU868", number=0)
    optional, kind = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.TYPE_MESSAGE
    outer.field.add(name="inner", number=1, type=kind, type_name=".nested.Outer.Inner", label=optional)
    made: dict[str, Any] = {"__name__": "somewhere.nested_pb2"}
    define(new_pool(), file.SerializeToString(), made)
    assert isinstance(made["Outer"](inner=made["Outer"].Inner()).inner, made["Outer"].Inner)
    assert made["Outer"].Inner.EU868 == 0
    assert made["Outer"].Inner.__module__ == "somewhere.nested_pb2"


def test_the_default_pool_knows_neither() -> None:
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("fuota.Deployment")


@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_both_implementations_of_protobuf_can_do_it(implementation: str) -> None:
    """The pure Python one is what machines without a wheel get, and it keeps a registry of its own."""
    tests = f"{test_two_generations_share_a_process.__name__} or {test_well_known_types.__name__}"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", tests],
        env=os.environ | {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "2 passed" in run.stdout


def test_well_known_types() -> None:
    at = datetime(2024, 2, 29, 12, 30, 0, 250_000, tzinfo=UTC)
    event = integration_pb2.UplinkEvent(dev_eui=bytes(range(8)), published_at=at, tags={"site": "roof"})
    event.rx_info.add().time_since_gps_epoch.FromTimedelta(timedelta(seconds=1.5))
    assert event.published_at.ToDatetime(UTC) == at
    assert event.rx_info[0].time_since_gps_epoch.ToTimedelta() == timedelta(seconds=1.5)
    assert fuota_pb2.Deployment(unicast_timeout=timedelta(minutes=1)).unicast_timeout.seconds == 60
    assert not fuota_pb2.GetDeploymentStatusResponse(created_at=None).HasField("created_at")


def test_json_has_the_names_of_chirpstack() -> None:
    text = (
        '{"applicationID": "7", "devEUI": "AAECAwQFBgc=", "fPort": 201, "data": "AQ==", "objectJSON": "",'
        ' "rxInfo": [{"gatewayID": "AAECAwQFBgc=", "time": "2024-02-29T12:30:00.250Z",'
        ' "timeSinceGPSEpoch": "1393244217.250s", "loRaSNR": 9.5, "uplinkID": "…"}],'
        ' "publishedAt": "2024-02-29T12:30:01Z", "somethingNew": {}}'
    )
    event = json_format.Parse(text, integration_pb2.UplinkEvent(), ignore_unknown_fields=True)
    assert (event.application_id, event.dev_eui, event.f_port) == (7, bytes(range(8)), 201)
    assert event.rx_info[0].lora_snr == 9.5
    assert event.rx_info[0].time.ToDatetime(UTC) == datetime(2024, 2, 29, 12, 30, 0, 250_000, tzinfo=UTC)
    assert event.rx_info[0].time_since_gps_epoch.nanos == 250_000_000


@pytest.mark.parametrize(
    ("fuota", "api"), [(fuota_pb2, multicast_group_pb2), (fuota4_pb2, multicast_group4_pb2)], ids=["3", "4"]
)
def test_the_multicast_classes_are_numbered_the_other_way_round(fuota: Any, api: Any) -> None:
    assert (fuota.CLASS_B, fuota.CLASS_C) == (0, 1)
    assert (api.CLASS_B, api.CLASS_C) == (1, 0)
    assert fuota.MulticastGroupType.Name(fuota.CLASS_C) == "CLASS_C"


def test_regions_have_the_same_numbers_for_clients_and_for_chirpstack() -> None:
    ours: dict[str, int] = dict(fuota4_pb2.Region.items())
    assert ours == dict(common4_pb2.Region.items())
    assert fuota4_pb2.AS923_4 == 14
