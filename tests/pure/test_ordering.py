"""What clients of the server's own API order and are shown, beside either generation of ChirpStack."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from fuota.api import ordering, showing
from fuota.deployment import states as deployment
from fuota.deployment.order import InvalidOrder, plan
from fuota.deployment.plan import Plan
from fuota.generated.fuota_v1 import deployment_pb2 as pb
from fuota.generations import GENERATIONS
from fuota.journal.port import Milestone, Summary

AT = datetime(2026, 11, 27, 9, 0, 0, 250_000, tzinfo=UTC)
ID = UUID("5f0c2b1e-0000-4000-8000-000000000002")
APPLICATIONS = {3: "12", 4: "5f0c2b1e-0000-4000-8000-000000000001"}


def request(generation: int) -> pb.CreateDeploymentRequest:
    """Every field has a value of its own."""
    multicast = pb.Multicast(
        group_class=pb.GROUP_CLASS_C, group_id=3, frequency=869_525_000, dr=0, session_timeout=12
    )
    if generation == 4:
        multicast.region = pb.REGION_EU868
        multicast.class_c_scheduling_type = pb.CLASS_C_SCHEDULING_TYPE_GPS_TIME
        multicast.gateway_ids[:] = ["0016c001f1500001", "0016c001f1500002"]
    return pb.CreateDeploymentRequest(
        plan=pb.Plan(
            application_id=APPLICATIONS[generation],
            multicast=multicast,
            unicast=pb.Unicast(timeout=timedelta(seconds=90), attempts=7),
            fragmentation=pb.Fragmentation(
                fragment_size=40,
                redundancy=9,
                session_index=2,
                block_ack_delay=5,
                session_descriptor=b"\1\2\3\4",
            ),
            status_request=pb.STATUS_REQUEST_NO_REQUEST,
        ),
        firmware=b"image" * 20,
        devices=[pb.NewDevice(dev_eui="70B3D57ED0000001", mc_root_key=bytes(range(16)))],
    )


def planned(asked: pb.CreateDeploymentRequest, generation: int) -> Plan:
    made, problems = ordering.order(asked, GENERATIONS[generation].terms)
    return plan(made, mc_addr=1, more=problems)


def refused(asked: pb.CreateDeploymentRequest, generation: int = 4) -> dict[str, str]:
    """What is said of each field."""
    with pytest.raises(InvalidOrder) as raised:
        planned(asked, generation)
    told = [ordering.in_their_words(problem) for problem in raised.value.problems]
    assert len({problem.field for problem in told}) == len(told), "each field once"
    return {problem.field: problem.text for problem in told}


def summary(made: Plan | None, state: deployment.State | None) -> Summary:
    milestones = {Milestone.MC_GROUP_SETUP: AT}
    return Summary(id=ID, created_at=AT, updated_at=AT, milestones=milestones, plan=made, state=state)


@pytest.mark.parametrize("generation", [3, 4])
def test_what_is_ordered_is_shown_as_it_was(generation: int) -> None:
    asked = request(generation)
    made = planned(asked, generation)
    shown = showing.summary(summary(made, deployment.CreatingGroup()))
    assert shown.plan == asked.plan
    assert shown.firmware == pb.Firmware(size=100, sha256=made.firmware_sha256)
    assert shown.fragment_count == 3 + 9


@pytest.mark.parametrize("generation", [3, 4])
@pytest.mark.parametrize("periodicity", range(8))
def test_class_b(generation: int, periodicity: int) -> None:
    asked = request(generation)
    multicast = asked.plan.multicast
    multicast.group_class, multicast.ping_slot_periodicity, multicast.frequency = (
        pb.GROUP_CLASS_B,
        periodicity,
        0,
    )
    multicast.ClearField("class_c_scheduling_type")
    made = planned(asked, generation)
    assert made.periodicity == periodicity
    assert showing.summary(summary(made, None)).plan == asked.plan


def test_an_empty_request_is_told_everything_that_it_needs() -> None:
    assert refused(pb.CreateDeploymentRequest()).keys() == {
        "plan.application_id",
        "plan.multicast.group_class",
        "plan.multicast.dr",
        "plan.multicast.session_timeout",
        "plan.multicast.frequency",
        "plan.multicast.region",
        "plan.unicast.timeout",
        "plan.unicast.attempts",
        "plan.fragmentation.fragment_size",
        "plan.status_request",
        "firmware",
        "devices",
    }


WRONG: list[tuple[str, Any, str]] = [
    ("application_id", "12", "is '12'; it must be the UUID of an application"),
    ("multicast.group_class", 9, "is 9; it must be GROUP_CLASS_B or GROUP_CLASS_C"),
    ("multicast.group_id", 4, "is 4; it must be 0 to 3"),
    ("multicast.dr", 16, "is 16; it must be 0 to 15"),
    ("multicast.dr", 12, "is 12; downlinks of EU868 have data rates 0 to"),
    ("multicast.session_timeout", 16, "is 16; it must be 0 to 15"),
    (
        "multicast.session_timeout",
        0,
        "0 opens a window of 1 s; 12 fragments are 29.6 s on air; it must be at least 5",
    ),
    ("multicast.frequency", 869_525_050, "must be a multiple of 100 Hz"),
    ("multicast.frequency", 915_000_000, "EU868 (plan.multicast.region) lie at"),
    ("multicast.region", 0, "is 0; it must be REGION_EU868, REGION_US915, REGION_CN779,"),
    ("multicast.region", 99, "REGION_RU864 or REGION_ISM2400"),
    ("multicast.class_c_scheduling_type", 3, "is 3; it must be CLASS_C_SCHEDULING_TYPE_DELAY"),
    ("multicast.ping_slot_periodicity", 0, "is of class B alone; it must be unset"),
    ("multicast.gateway_ids[0]", ["00"], "is '00'; it must be 16 hexadecimal digits"),
    ("multicast.gateway_ids[1]", ["00" * 8, "00" * 8], "which is there already"),
    ("unicast.timeout", timedelta(seconds=-1), "must be more than 0 s"),
    ("unicast.timeout", timedelta(days=31), "at most 30 days"),
    ("unicast.timeout", {"nanos": 999}, "is 0 s and 999 ns; it must be 1000 ns or more"),
    ("unicast.timeout", {"seconds": 9, "nanos": -1}, "is 9 s and -1 ns; both must have one sign"),
    ("unicast.timeout", {"seconds": -9, "nanos": 1}, "is -9 s and 1 ns; both must have one sign"),
    ("unicast.timeout", {"nanos": 10**9}, "is 0 s and 1000000000 ns; both must have one sign, and the ns be"),
    ("unicast.attempts", 1001, "is 1001; it must be 1 to 1000"),
    ("fragmentation.fragment_size", 240, "is 240; it must be 1 to 239"),
    ("fragmentation.redundancy", 16_383, "it must be 0 to 16382"),
    ("fragmentation.session_index", 4, "is 4; it must be 0 to 3"),
    ("fragmentation.matrix", 1, "TS004 defines no algorithm but 0"),
    ("fragmentation.block_ack_delay", 8, "is 8; it must be 0 to 7"),
    ("fragmentation.session_descriptor", b"1", "has 1 octets; it must have 4"),
    ("status_request", 4, "is 4; it must be STATUS_REQUEST_AFTER_FRAGMENT_ENQUEUE"),
]


@pytest.mark.parametrize(("path", "value", "text"), WRONG)
def test_what_is_wrong_with_a_plan_is_said_in_its_own_words(path: str, value: Any, text: str) -> None:
    asked = request(4)
    *parts, field = path.partition("[")[0].split(".")
    part: Any = getattr(asked.plan, parts[0]) if parts else asked.plan
    part.ClearField(field)
    part.MergeFrom(type(part)(**{field: value}))
    told = refused(asked)
    assert [*told] == [f"plan.{path}"]
    assert text in told[f"plan.{path}"]


@pytest.mark.parametrize("periodicity", [None, 8])
def test_class_b_needs_its_ping_slots(periodicity: int | None) -> None:
    asked = request(3)
    asked.plan.multicast.group_class = pb.GROUP_CLASS_B
    if periodicity is not None:
        asked.plan.multicast.ping_slot_periodicity = periodicity
    assert "it must be 0 to 7" in refused(asked, 3)["plan.multicast.ping_slot_periodicity"]


def test_what_the_application_server_does_itself_is_not_the_orders_to_choose() -> None:
    asked = request(3)
    asked.plan.multicast.gateway_ids.append("0016c001f1500001")
    asked.plan.multicast.class_c_scheduling_type = pb.CLASS_C_SCHEDULING_TYPE_DELAY
    asked.plan.application_id = APPLICATIONS[4]
    assert refused(asked, 3) == {
        "plan.application_id": f"is '{APPLICATIONS[4]}'; it must be the number of an application",
        "plan.multicast.class_c_scheduling_type": "needs ChirpStack 4; it must be unset",
        "plan.multicast.gateway_ids": "needs ChirpStack 4; it must be empty",
    }


def test_a_class_b_group_has_no_class_c_scheduling() -> None:
    asked = request(4)
    asked.plan.multicast.group_class, asked.plan.multicast.ping_slot_periodicity = pb.GROUP_CLASS_B, 0
    assert refused(asked) == {
        "plan.multicast.class_c_scheduling_type": "is of class C alone; it must be unset"
    }


def test_devices_are_named_by_their_place() -> None:
    asked = request(4)
    asked.devices.add(dev_eui="70b3d57ed0000001", mc_root_key=bytes(15))
    asked.devices.add(dev_eui="70b3", mc_root_key=bytes(16))
    assert refused(asked) == {
        "devices[1].dev_eui": "is 70b3d57ed0000001, as devices[0].dev_eui is",
        "devices[1].mc_root_key": "has 15 octets; it must have 16",
        "devices[2].dev_eui": "is '70b3'; it must be 16 hexadecimal digits",
    }


def test_the_field_of_every_problem_is_one_of_the_request() -> None:
    for path in ordering.FIELDS.values():
        message: Any = pb.CreateDeploymentRequest.DESCRIPTOR
        for name in path.split("."):
            assert name in message.fields_by_name, path
            message = message.fields_by_name[name].message_type
