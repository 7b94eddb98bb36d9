"""Messages of v3 clients <-> orders and statuses."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from fuota.api import chirpstack3 as dialect
from fuota.api.errors import SAID, answer
from fuota.deployment.order import InvalidOrder, Problem, plan
from fuota.deployment.plan import MulticastClass, StatusRequest
from fuota.generated.chirpstack3 import fuota_pb2 as pb
from fuota.journal.port import Conflict, DeploymentStatus, DeviceStatus, LogRow, Milestone, Unavailable
from fuota.lorawan.eui import EUI64
from fuota.rpc.serialized import Serialized

NOW = datetime(2026, 11, 24, 10, 0, 0, 250_000, tzinfo=UTC)
DEV_EUI = EUI64(bytes(range(8)))


def deployment() -> pb.Deployment:
    return pb.Deployment(
        application_id=3,
        devices=[pb.DeploymentDevice(dev_eui=bytes(range(8)), mc_root_key=bytes(16))],
        multicast_group_type=pb.CLASS_C,
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


def test_every_field_arrives_in_the_plan() -> None:
    order, problems = dialect.order(deployment())
    assert not problems
    made = plan(order, mc_addr=7)
    assert made.application_id == "3"
    assert made.mc_class is MulticastClass.C
    assert (made.mc_group_id, made.mc_addr, made.frequency, made.dr) == (1, 7, 868_100_000, 5)
    assert (made.time_out, made.unicast_timeout, made.unicast_attempts) == (6, timedelta(minutes=1), 2)
    assert (made.frag_index, made.frag_size, made.redundancy, made.block_ack_delay) == (2, 50, 5, 1)
    assert made.descriptor == bytes([1, 2, 3, 4])
    assert made.status_request is StatusRequest.NO_REQUEST
    assert made.firmware_size == 120


@pytest.mark.parametrize("periodicity", range(8))
def test_the_ping_slot_period_is_a_power_of_two_from_32(periodicity: int) -> None:
    asked = deployment()
    asked.multicast_group_type = pb.CLASS_B
    asked.multicast_ping_slot_period = 32 << periodicity
    order, problems = dialect.order(asked)
    assert not problems
    assert order.multicast_periodicity == periodicity


@pytest.mark.parametrize("period", [0, 1, 31, 48, 8192])
def test_any_other_ping_slot_period_is_refused_for_class_b_and_of_no_matter_for_class_c(period: int) -> None:
    asked = deployment()
    asked.multicast_ping_slot_period = period
    assert not dialect.order(asked)[1]
    asked.multicast_group_type = pb.CLASS_B
    (problem,) = dialect.order(asked)[1]
    assert problem.field == "multicast_ping_slot_period"
    assert "32, 64, 128" in problem.text


def test_nothing_at_all_is_refused_with_every_field_that_is_needed() -> None:
    order, problems = dialect.order(pb.Deployment())
    with pytest.raises(InvalidOrder) as caught:
        plan(order, mc_addr=0, more=problems)
    assert {problem.field for problem in caught.value.problems} >= {
        "application_id",
        "devices",
        "multicast_ping_slot_period",
        "unicast_timeout",
        "unicast_attempt_count",
        "fragmentation_fragment_size",
        "payload",
    }


@pytest.mark.parametrize("field", ["multicast_group_type", "request_fragmentation_session_status"])
def test_enum_values_that_nobody_has_defined_are_refused(field: str) -> None:
    asked = deployment()
    setattr(asked, field, 9)
    order, problems = dialect.order(asked)
    with pytest.raises(InvalidOrder) as caught:
        plan(order, mc_addr=0, more=problems)
    assert field in {problem.field for problem in caught.value.problems}


@pytest.mark.parametrize("seconds", [2**63 - 1, -(2**63)])
def test_a_duration_of_any_size_can_be_read(seconds: int) -> None:
    asked = deployment()
    asked.unicast_timeout.seconds = seconds
    with pytest.raises(InvalidOrder, match="unicast_timeout"):
        plan(dialect.order(asked)[0], mc_addr=0)


def test_a_duration_that_is_none_is_refused() -> None:
    asked = deployment()
    asked.unicast_timeout.nanos = 2 * 10**9
    order, problems = dialect.order(asked)
    with pytest.raises(InvalidOrder, match="unicast_timeout: is 60 s and 2000000000 ns; "):
        plan(order, mc_addr=0, more=problems)


def test_a_status_has_the_instants_of_what_has_happened_and_no_others() -> None:
    status = DeploymentStatus(
        id=uuid4(),
        created_at=NOW,
        updated_at=NOW + timedelta(seconds=5),
        milestones={Milestone.ENQUEUE: NOW},
        state=None,
        devices=[
            DeviceStatus(
                dev_eui=DEV_EUI,
                created_at=NOW,
                updated_at=NOW,
                milestones={Milestone.FRAG_STATUS: NOW},
                state=None,
            )
        ],
    )
    response = pb.GetDeploymentStatusResponse.FromString(
        Serialized.merged(dialect.status_pieces(status)).octets
    )
    assert response.created_at.ToDatetime(tzinfo=UTC) == NOW
    assert response.enqueue_completed_at.ToDatetime(tzinfo=UTC) == NOW
    assert not response.HasField("mc_group_setup_completed_at")
    (device,) = response.device_status
    assert device.dev_eui == DEV_EUI.octets
    assert device.frag_status_completed_at.ToDatetime(tzinfo=UTC) == NOW
    assert not device.HasField("mc_session_completed_at")


def test_logs_are_given_as_they_were_written() -> None:
    row = LogRow(
        deployment_id=uuid4(),
        dev_eui=DEV_EUI,
        created_at=NOW,
        f_port=200,
        command="McGroupSetupAns",
        fields={"mc_group_id": "1", "id_error": "false"},
    )
    (log,) = dialect.logs_response([row]).logs
    assert (log.f_port, log.command, dict(log.fields)) == (200, row.command, row.fields)
    assert log.created_at.ToDatetime(tzinfo=UTC) == NOW


def test_errors_have_the_status_of_whoever_caused_them() -> None:
    conflict = answer(Conflict(DEV_EUI, "McGroupID", 1, uuid4()))
    assert conflict is not None
    assert conflict.status.name == "FAILED_PRECONDITION"
    assert str(DEV_EUI) in str(conflict.message)
    away = answer(Unavailable("connection refused"))
    assert away is not None
    assert away.status.name == "UNAVAILABLE"
    assert answer(KeyError("a bug")) is None


def test_a_fleet_of_bad_devices_does_not_burst_the_headers() -> None:
    error = answer(
        InvalidOrder([Problem(f"devices[{index}].dev_eui", "has 7 octets") for index in range(10_000)])
    )
    assert error is not None
    assert f"and {10_000 - SAID} more" in str(error.message)
    assert len(str(error.message)) + sum(len(str(detail)) for detail in error.details) < 6_000


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
    assert [each.dev_eui for each in told] == [device.dev_eui.octets for device in devices]
