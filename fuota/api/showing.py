"""What clients of `fuota.v1.DeploymentService` are shown of deployments and devices."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fuota.api.answers import fill
from fuota.api.ordering import CLASSES, REGIONS, SCHEDULING, STATUS_REQUESTS
from fuota.deployment import states as deployment
from fuota.deployment.plan import MulticastClass, Plan
from fuota.device import states as device
from fuota.generated.fuota_v1 import deployment_pb2 as pb
from fuota.journal.encoding import DEPLOYMENT_STATES, DEVICE_STATES
from fuota.journal.port import DeviceStatus, Milestone, Overview, Summary


def _number(kind: Any, prefix: str, tag: str) -> Any:
    return kind.Value(f"{prefix}_{tag.upper().replace('-', '_')}")


STATES: Mapping[type[deployment.State] | None, "pb.DeploymentState.ValueType"] = {
    None: pb.DEPLOYMENT_STATE_UNRECORDED,
    **{cls: _number(pb.DeploymentState, "DEPLOYMENT_STATE", tag) for tag, cls in DEPLOYMENT_STATES.items()},
}
END_REASONS = {why: _number(pb.EndReason, "END_REASON", why.value) for why in deployment.Why}
DEVICE_KINDS: Mapping[type[device.State] | None, "pb.DeviceState.ValueType"] = {
    None: pb.DEVICE_STATE_UNRECORDED,
    **{cls: _number(pb.DeviceState, "DEVICE_STATE", tag) for tag, cls in DEVICE_STATES.items()},
}
FAILURE_REASONS = {
    reason: _number(pb.FailureReason, "FAILURE_REASON", reason.value) for reason in device.Reason
}
_CLASSES = {mc_class: number for number, mc_class in CLASSES.items()}
_REGIONS = {region: number for number, region in REGIONS.items()}
_SCHEDULING = {scheduling: number for number, scheduling in SCHEDULING.items()}
_STATUS_REQUESTS = {request: number for number, request in STATUS_REQUESTS.items()}


def overview(found: Overview, trouble: str) -> pb.GetDeploymentResponse:
    """One deployment, with how many of its devices are where."""
    return pb.GetDeploymentResponse(
        deployment=summary(found.summary),
        state_since=found.since,
        device_counts=[
            pb.DeviceCount(
                state=DEVICE_KINDS[state],
                reason=pb.FAILURE_REASON_UNSPECIFIED if reason is None else FAILURE_REASONS[reason],
                count=count,
            )
            for (state, reason), count in found.devices.items()
        ],
        trouble=trouble,
    )


def summary(found: Summary) -> pb.Deployment:
    """A deployment without its devices."""
    state = found.state
    shown = pb.Deployment(
        id=str(found.id),
        created_at=found.created_at,
        updated_at=found.updated_at,
        state=STATES[None if state is None else type(state)],
        fragments_sent=getattr(state, "sent", 0),
        round=state.round.number if isinstance(state, deployment.InSession) else 0,
        milestones=_milestones(found.milestones),
    )
    if isinstance(state, deployment.Abandoning | deployment.DeletingGroup | deployment.Ended):
        shown.end.MergeFrom(pb.End(reason=END_REASONS[state.why], detail=state.detail))
    session: deployment.Session | None = getattr(state, "session", None)
    if session is not None:
        shown.session.MergeFrom(pb.Session(number=session.number, start=session.start, end=session.end))
    if (plan := found.plan) is not None:
        shown.fragment_count = plan.fragments
        shown.plan.MergeFrom(_plan(plan))
        shown.firmware.MergeFrom(pb.Firmware(size=plan.firmware_size, sha256=plan.firmware_sha256))
    return shown


def one_device(found: DeviceStatus) -> pb.Device:
    """Where a device stands, and how that came if it has ended."""
    state = found.state
    shown = pb.Device(
        dev_eui=str(found.dev_eui),
        state=DEVICE_KINDS[None if state is None else type(state)],
        created_at=found.created_at,
        updated_at=found.updated_at,
        milestones=_milestones(found.milestones),
        attempt=getattr(state, "attempt", 0),
    )
    match state:
        case device.Failed(reason, detail):
            shown.reason, shown.detail = FAILURE_REASONS[reason], detail
        case device.Incomplete(otherwise=device.Failed(detail=detail)):
            shown.detail = detail
        case device.Complete(received):
            shown.fragments_received = received
        case (
            device.Unconfirmed(received, missing)
            | device.Incomplete(otherwise=device.Unconfirmed(received, missing))
        ):
            shown.fragments_received, shown.fragments_missing = received, missing
    return shown


def _milestones(earned: Mapping[Milestone, datetime]) -> pb.Milestones:
    return fill(pb.Milestones(), earned)


def _plan(plan: Plan) -> pb.Plan:
    return pb.Plan(
        application_id=plan.application_id,
        multicast=pb.Multicast(
            group_class=_CLASSES[plan.mc_class],
            group_id=plan.mc_group_id,
            frequency=plan.frequency,
            dr=plan.dr,
            session_timeout=plan.time_out,
            ping_slot_periodicity=plan.periodicity if plan.mc_class is MulticastClass.B else None,
            region=pb.REGION_UNSPECIFIED if plan.region is None else _REGIONS[plan.region],
            class_c_scheduling_type=_scheduling(plan),
            gateway_ids=plan.gateways,
        ),
        unicast=pb.Unicast(timeout=plan.unicast_timeout, attempts=plan.unicast_attempts),
        fragmentation=pb.Fragmentation(
            fragment_size=plan.frag_size,
            redundancy=plan.redundancy,
            session_index=plan.frag_index,
            matrix=plan.frag_algo,
            block_ack_delay=plan.block_ack_delay,
            session_descriptor=plan.descriptor,
        ),
        status_request=_STATUS_REQUESTS[plan.status_request],
    )


def _scheduling(plan: Plan) -> "pb.ClassCSchedulingType.ValueType":
    if plan.mc_class is MulticastClass.B or plan.region is None:  # it is not the order's to choose
        return pb.CLASS_C_SCHEDULING_TYPE_UNSPECIFIED
    return _SCHEDULING[plan.class_c_scheduling]
