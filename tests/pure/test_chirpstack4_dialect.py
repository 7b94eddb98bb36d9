"""Messages of v4 clients <-> orders and statuses: ids, EUIs and regions at their edges."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from fuota.api import chirpstack4 as dialect
from fuota.deployment.order import InvalidOrder, plan
from fuota.deployment.plan import MulticastClass, StatusRequest
from fuota.generated.chirpstack4 import fuota_pb2 as pb
from fuota.journal.port import DeploymentStatus, DeviceStatus, LogRow, Milestone
from fuota.lorawan.eui import EUI64
from fuota.lorawan.region import Region
from fuota.rpc.serialized import Serialized

NOW = datetime(2026, 11, 24, 10, 0, 0, 250_000, tzinfo=UTC)
APPLICATION = "5f0c2b1e-0000-4000-8000-0000000000ab"
DEV_EUI = EUI64(bytes(range(0xA0, 0xA8)))


def deployment() -> pb.Deployment:
    return pb.Deployment(
        application_id=APPLICATION,
        devices=[pb.DeploymentDevice(dev_eui=str(DEV_EUI), mc_root_key="0f" * 16)],
        multicast_group_type=pb.CLASS_C,
        multicast_region=pb.EU868,
        multicast_dr=5,
        multicast_frequency=868_100_000,
        multicast_group_id=1,
        multicast_timeout=6,
        unicast_timeout=timedelta(seconds=60),
        unicast_attempt_count=2,
        fragmentation_fragment_size=50,
        payload=bytes(120),
        fragmentation_redundancy=5,
        fragmentation_session_index=2,
        fragmentation_block_ack_delay=1,
        fragmentation_descriptor=bytes([1, 2, 3, 4]),
        request_fragmentation_session_status=pb.NO_REQUEST,
    )


def refused(asked: pb.Deployment) -> set[str]:
    """The fields that are wrong."""
    order, problems = dialect.order(asked)
    with pytest.raises(InvalidOrder) as raised:
        plan(order, mc_addr=7, more=problems)
    return {problem.field for problem in raised.value.problems}


def test_every_field_arrives_in_the_plan() -> None:
    order, problems = dialect.order(deployment())
    assert not problems
    [device] = order.devices
    assert (device.dev_eui, device.mc_root_key) == (DEV_EUI.octets, bytes([15] * 16))
    made = plan(order, mc_addr=7)
    assert (made.application_id, made.region) == (APPLICATION, Region.EU868)
    assert made.mc_class is MulticastClass.C
    assert (made.mc_group_id, made.mc_addr, made.frequency, made.dr) == (1, 7, 868_100_000, 5)
    assert (made.time_out, made.unicast_timeout, made.unicast_attempts) == (6, timedelta(minutes=1), 2)
    assert (made.frag_index, made.frag_size, made.redundancy, made.block_ack_delay) == (2, 50, 5, 1)
    assert made.descriptor == bytes([1, 2, 3, 4])
    assert made.status_request is StatusRequest.NO_REQUEST


@pytest.mark.parametrize("number", [value for _, value in pb.Region.items()])
def test_every_region_has_its_number(number: int) -> None:
    asked = deployment()
    asked.multicast_region = number  # type: ignore[assignment]
    order, problems = dialect.order(asked)
    assert not problems
    assert order.multicast_region is Region[pb.Region.Name(number)]  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [1, 15, 99, -1])
def test_numbers_that_are_no_region_are_refused(number: int) -> None:
    asked = deployment()
    asked.multicast_region = number  # type: ignore[assignment]
    assert refused(asked) == {"multicast_region"}
    _, (problem,) = dialect.order(asked)
    regions = (
        "EU868, US915, CN779, EU433, AU915, CN470, AS923, AS923_2, AS923_3, AS923_4, KR920, IN865, RU864"
    )
    assert problem.text == f"is {number}; it must be {regions} or ISM2400"


@pytest.mark.parametrize("spelt", [APPLICATION.upper(), APPLICATION.replace("-", ""), f"{{{APPLICATION}}}"])
def test_a_uuid_in_any_spelling(spelt: str) -> None:
    asked = deployment()
    asked.application_id = spelt
    order, problems = dialect.order(asked)
    assert (order.application_id, list(problems)) == (APPLICATION, [])


@pytest.mark.parametrize("wrong", ["", "7", APPLICATION[:-1], f"{APPLICATION}0", "x" * 10_000])
def test_what_is_no_uuid_is_refused_in_few_words(wrong: str) -> None:
    asked = deployment()
    asked.application_id = wrong
    assert refused(asked) == {"application_id"}
    _, [problem] = dialect.order(asked)
    assert len(problem.text) < 120


@pytest.mark.parametrize(
    ("dev_eui", "mc_root_key", "fields"),
    [
        (str(DEV_EUI).upper(), "0F" * 16, set()),
        (str(DEV_EUI)[:-1], "0f" * 16, {"devices[0].dev_eui"}),
        ("zz" * 8, "0f" * 15, {"devices[0].dev_eui", "devices[0].mc_root_key"}),
        ("", "", {"devices[0].dev_eui", "devices[0].mc_root_key"}),
        ("70b3d5é000000001", "0f" * 17, {"devices[0].dev_eui", "devices[0].mc_root_key"}),
    ],
)
def test_hexadecimal_digits(dev_eui: str, mc_root_key: str, fields: set[str]) -> None:
    asked = deployment()
    asked.devices[0].dev_eui, asked.devices[0].mc_root_key = dev_eui, mc_root_key
    if fields:
        assert refused(asked) == fields
    else:
        order, problems = dialect.order(asked)
        assert (order.devices[0].dev_eui, list(problems)) == (DEV_EUI.octets, [])


@pytest.mark.parametrize(
    ("mc_root_key", "wrong"),
    [
        ("", "has 0 digits"),
        ("0f" * 15 + "0", "has 31 digits"),
        ("0f" * 15, "has 30 digits"),
        ("0f" * 15 + "0z", "is not hexadecimal"),
        ("SECRET", "is not hexadecimal"),
        ("٠٠" * 16, "is not hexadecimal"),
        ("0f " * 17, "is not hexadecimal"),
    ],
)
def test_what_is_wrong_with_a_key_is_said_without_the_key(mc_root_key: str, wrong: str) -> None:
    asked = deployment()
    asked.devices[0].mc_root_key = mc_root_key
    order, problems = dialect.order(asked)
    with pytest.raises(InvalidOrder) as raised:
        plan(order, mc_addr=7, more=problems)
    [problem] = raised.value.problems
    assert (problem.field, problem.text) == (
        "devices[0].mc_root_key",
        f"{wrong}; it must be 32 hexadecimal digits",
    )


@pytest.mark.parametrize("periodicity", [*range(8), 8, 32])
def test_the_ping_slot_period_is_a_periodicity(periodicity: int) -> None:
    asked = deployment()
    asked.multicast_group_type = pb.CLASS_B
    asked.multicast_ping_slot_period = periodicity
    if periodicity > 7:
        assert refused(asked) == {"multicast_ping_slot_period"}
    else:
        assert dialect.order(asked)[0].multicast_periodicity == periodicity


def test_a_duration_that_is_none_is_refused() -> None:
    asked = deployment()
    asked.unicast_timeout.nanos = 2 * 10**9
    assert refused(asked) == {"unicast_timeout"}


def test_nothing_at_all_is_refused_with_every_field_that_is_needed() -> None:
    assert refused(pb.Deployment()) >= {"application_id", "devices", "payload", "unicast_timeout"}


def test_a_status_has_strings_and_the_instants_of_what_has_happened() -> None:
    device = DeviceStatus(
        dev_eui=DEV_EUI, created_at=NOW, updated_at=NOW, milestones={Milestone.MC_SESSION: NOW}, state=None
    )
    status = DeploymentStatus(
        id=uuid4(),
        created_at=NOW,
        updated_at=NOW,
        milestones={Milestone.ENQUEUE: NOW},
        state=None,
        devices=[device],
    )
    response = pb.GetDeploymentStatusResponse.FromString(
        Serialized.merged(dialect.status_pieces(status)).octets
    )
    assert response.enqueue_completed_at.ToDatetime(UTC) == NOW
    assert not response.HasField("frag_status_completed_at")
    [told] = response.device_status
    assert told.dev_eui == "a0a1a2a3a4a5a6a7"
    assert told.HasField("mc_session_completed_at")
    assert not told.HasField("mc_group_setup_completed_at")


def test_logs_are_given_as_they_were_written() -> None:
    row = LogRow(
        deployment_id=UUID(int=1),
        dev_eui=DEV_EUI,
        created_at=NOW,
        f_port=200,
        command="McGroupSetupReq",
        fields={"mc_group_id": "1"},
    )
    [told] = dialect.logs_response([row]).logs
    assert (told.f_port, told.command, dict(told.fields)) == (200, "McGroupSetupReq", {"mc_group_id": "1"})


def test_a_long_status_is_one_message() -> None:
    """However many pieces it is written in."""
    devices = [
        DeviceStatus(
            dev_eui=EUI64(number.to_bytes(8)), created_at=NOW, updated_at=NOW, milestones={}, state=None
        )
        for number in range(2500)
    ]
    status = DeploymentStatus(
        id=uuid4(), created_at=NOW, updated_at=NOW, milestones={}, state=None, devices=devices
    )
    written = Serialized.merged(dialect.status_pieces(status)).octets
    told = pb.GetDeploymentStatusResponse.FromString(written).device_status
    assert [each.dev_eui for each in told] == [str(device.dev_eui) for device in devices]
