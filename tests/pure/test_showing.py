"""What clients of the server's own API are shown of deployments and devices."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest

from fuota.api import ordering, showing
from fuota.deployment import states as deployment
from fuota.deployment.plan import Plan
from fuota.device import states as device
from fuota.generated.fuota_v1 import deployment_pb2 as pb
from fuota.journal.port import DeviceStatus, Milestone, Overview, Summary
from fuota.lorawan.eui import EUI64

AT = datetime(2026, 11, 27, 9, 0, 0, 250_000, tzinfo=UTC)
ID = UUID("5f0c2b1e-0000-4000-8000-000000000002")
SESSION = deployment.Session(2, AT, AT + timedelta(seconds=64))


def summary(plan: Plan | None, state: deployment.State | None) -> Summary:
    milestones = {Milestone.MC_GROUP_SETUP: AT}
    return Summary(id=ID, created_at=AT, updated_at=AT, milestones=milestones, plan=plan, state=state)


@pytest.mark.parametrize(
    ("numbers", "enum"),
    [
        (showing.STATES.values(), pb.DeploymentState),
        (showing.END_REASONS.values(), pb.EndReason),
        (showing.DEVICE_KINDS.values(), pb.DeviceState),
        (showing.FAILURE_REASONS.values(), pb.FailureReason),
        (ordering.REGIONS, pb.Region),
    ],
    ids=["deployment", "end", "device", "failure", "region"],
)
def test_every_state_and_reason_has_a_number_of_its_own(numbers: Iterable[int], enum: Any) -> None:
    assert sorted(numbers) == [number for number in sorted(enum.values()) if number]


def test_a_deployment_under_way(plan: Plan) -> None:
    shown = showing.summary(summary(plan, deployment.Transmitting("group", SESSION, 40)))
    assert shown.id == str(ID)
    assert shown.state == pb.DEPLOYMENT_STATE_TRANSMITTING
    assert (shown.session.number, shown.session.start.ToDatetime(UTC)) == (2, AT)
    assert shown.fragments_sent == 40
    assert not shown.HasField("end")
    assert shown.milestones.mc_group_setup_completed_at.ToDatetime(UTC) == AT
    assert not shown.milestones.HasField("frag_status_completed_at")


@pytest.mark.parametrize("state", [deployment.Abandoning, deployment.DeletingGroup, deployment.Ended])
def test_a_deployment_at_its_end(plan: Plan, state: Callable[..., deployment.State]) -> None:
    shown = showing.summary(summary(plan, state(deployment.Why.GROUP_LOST, "deleted")))
    assert shown.end == pb.End(reason=pb.END_REASON_GROUP_LOST, detail="deleted")
    assert not shown.HasField("session")


def test_a_deployment_of_the_reference_server() -> None:
    shown = showing.summary(summary(None, None))
    assert shown.state == pb.DEPLOYMENT_STATE_UNRECORDED
    assert not any(shown.HasField(name) for name in ("plan", "firmware", "session", "end"))


def test_an_overview(plan: Plan) -> None:
    found = Overview(
        summary=summary(plan, deployment.CreatingGroup()),
        since=AT,
        devices={(device.Failed, device.Reason.CLOCK_OFF): 2, (device.Complete, None): 40, (None, None): 1},
    )
    shown = showing.overview(found, "UNAVAILABLE")
    assert shown.trouble == "UNAVAILABLE"
    assert shown.state_since.ToDatetime(UTC) == AT
    assert [(each.state, each.reason, each.count) for each in shown.device_counts] == [
        (pb.DEVICE_STATE_FAILED, pb.FAILURE_REASON_CLOCK_OFF, 2),
        (pb.DEVICE_STATE_COMPLETE, pb.FAILURE_REASON_UNSPECIFIED, 40),
        (pb.DEVICE_STATE_UNRECORDED, pb.FAILURE_REASON_UNSPECIFIED, 1),
    ]


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (None, pb.Device(state=pb.DEVICE_STATE_UNRECORDED)),
        (device.SettingUpGroup(3, AT), pb.Device(state=pb.DEVICE_STATE_SETTING_UP_GROUP, attempt=3)),
        (device.Complete(41), pb.Device(state=pb.DEVICE_STATE_COMPLETE, fragments_received=41)),
        (
            device.Unconfirmed(41, 2),
            pb.Device(state=pb.DEVICE_STATE_UNCONFIRMED, fragments_received=41, fragments_missing=2),
        ),
        (
            device.Incomplete(device.Unconfirmed(41, 2)),
            pb.Device(state=pb.DEVICE_STATE_INCOMPLETE, fragments_received=41, fragments_missing=2),
        ),
        (
            device.Failed(device.Reason.NO_ANSWER, "3 attempts"),
            pb.Device(state=pb.DEVICE_STATE_FAILED, reason=pb.FAILURE_REASON_NO_ANSWER, detail="3 attempts"),
        ),
    ],
)
def test_a_device(state: device.State | None, shown: pb.Device) -> None:
    found = DeviceStatus(
        dev_eui=EUI64(bytes(range(8))), created_at=AT, updated_at=AT, milestones={}, state=state
    )
    expected = pb.Device(dev_eui="0001020304050607", created_at=AT, updated_at=AT, milestones=pb.Milestones())
    expected.MergeFrom(shown)
    assert showing.one_device(found) == expected
    later = attrs.evolve(found, milestones={Milestone.FRAG_STATUS: AT})
    assert showing.one_device(later).milestones.frag_status_completed_at.ToDatetime(UTC) == AT
