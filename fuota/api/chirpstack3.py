"""The dialect of clients of the ChirpStack FUOTA Server v3: its messages <-> orders and statuses."""

from collections.abc import Iterable, Iterator, Sequence

from fuota.api.answers import PIECE, duration, fill, rows_of, timeout_problems
from fuota.deployment.order import Order, OrderedDevice, Problem
from fuota.deployment.plan import MulticastClass, StatusRequest
from fuota.generated.chirpstack3 import fuota_pb2 as pb
from fuota.journal.port import DeploymentStatus, DeviceStatus, LogRow

CLASSES = {pb.CLASS_B: MulticastClass.B, pb.CLASS_C: MulticastClass.C}

STATUS_REQUESTS = {
    pb.AFTER_FRAGMENT_ENQUEUE: StatusRequest.AFTER_FRAGMENT_ENQUEUE,
    pb.AFTER_SESSION_TIMEOUT: StatusRequest.AFTER_SESSION_TIMEOUT,
    pb.NO_REQUEST: StatusRequest.NO_REQUEST,
}

PERIODICITIES = {32 << periodicity: periodicity for periodicity in range(8)}
"""Ping-slot period in slots -> periodicity (TS001 section 12)."""


def order(deployment: pb.Deployment) -> tuple[Order, Sequence[Problem]]:
    """What is asked for, and what is wrong with it already in the client's own terms."""
    mc_class = CLASSES.get(deployment.multicast_group_type)
    problems = [
        *_application_problems(deployment),
        *_period_problems(deployment, mc_class),
        *timeout_problems(deployment.unicast_timeout),
    ]
    made = Order(
        application_id=str(deployment.application_id),
        devices=[OrderedDevice(device.dev_eui, device.mc_root_key) for device in deployment.devices],
        multicast_group_type=mc_class,
        multicast_dr=deployment.multicast_dr,
        multicast_periodicity=_periodicity(deployment, mc_class),
        multicast_frequency=deployment.multicast_frequency,
        multicast_group_id=deployment.multicast_group_id,
        multicast_timeout=deployment.multicast_timeout,
        unicast_timeout=duration(deployment.unicast_timeout),
        unicast_attempt_count=deployment.unicast_attempt_count,
        fragmentation_fragment_size=deployment.fragmentation_fragment_size,
        payload=deployment.payload,
        fragmentation_redundancy=deployment.fragmentation_redundancy,
        fragmentation_session_index=deployment.fragmentation_session_index,
        fragmentation_matrix=deployment.fragmentation_matrix,
        fragmentation_block_ack_delay=deployment.fragmentation_block_ack_delay,
        fragmentation_descriptor=deployment.fragmentation_descriptor,
        request_fragmentation_session_status=STATUS_REQUESTS.get(
            deployment.request_fragmentation_session_status
        ),
    )
    return made, problems


def _application_problems(deployment: pb.Deployment) -> Iterable[Problem]:
    if deployment.application_id <= 0:
        yield Problem(
            "application_id", f"is {deployment.application_id}; it must be the id of an application"
        )


def _period_problems(deployment: pb.Deployment, mc_class: MulticastClass | None) -> Iterable[Problem]:
    if _periodicity(deployment, mc_class) is None:
        periods = ", ".join(map(str, PERIODICITIES))
        yield Problem(
            "multicast_ping_slot_period",
            f"is {deployment.multicast_ping_slot_period}; it must be one of {periods}",
        )


def _periodicity(deployment: pb.Deployment, mc_class: MulticastClass | None) -> int | None:
    """Class C has no ping slots; what is given for them does not matter there."""
    missing = None if mc_class is MulticastClass.B else 0
    return PERIODICITIES.get(deployment.multicast_ping_slot_period, missing)


def status_pieces(status: DeploymentStatus) -> Iterator[pb.GetDeploymentStatusResponse]:
    """A response in pieces: all the devices with the instants of what they have completed.

    What has not happened is unset.
    """
    head = pb.GetDeploymentStatusResponse(created_at=status.created_at, updated_at=status.updated_at)
    yield fill(head, status.milestones)
    for begin in range(0, len(status.devices), PIECE):
        piece = status.devices[begin : begin + PIECE]
        yield pb.GetDeploymentStatusResponse(device_status=[_device_status(device) for device in piece])


def _device_status(device: DeviceStatus) -> pb.DeploymentDeviceStatus:
    status = pb.DeploymentDeviceStatus(
        dev_eui=device.dev_eui.octets, created_at=device.created_at, updated_at=device.updated_at
    )
    return fill(status, device.milestones)


def logs_response(rows: Sequence[LogRow]) -> pb.GetDeploymentDeviceLogsResponse:
    """Every command sent to the device and received from it, oldest first."""
    return pb.GetDeploymentDeviceLogsResponse(
        logs=[pb.DeploymentDeviceLog(**fields) for fields in rows_of(rows)]
    )
