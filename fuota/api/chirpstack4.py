"""The dialect of clients of the ChirpStack FUOTA Server v4: its messages <-> orders and statuses."""

from collections.abc import Iterable, Iterator, Sequence

from fuota.api.answers import PIECE, duration, fill, rows_of, timeout_problems
from fuota.api.spelling import either, eui_problems, key_problems, octets, uuid, uuid_problems
from fuota.deployment.order import Order, OrderedDevice, Problem
from fuota.deployment.plan import MulticastClass, StatusRequest
from fuota.generated.chirpstack4 import fuota_pb2 as pb
from fuota.journal.port import DeploymentStatus, DeviceStatus, LogRow
from fuota.lorawan.region import Region

CLASSES = {pb.CLASS_B: MulticastClass.B, pb.CLASS_C: MulticastClass.C}
REGIONS = {pb.Region.Value(region.value): region for region in Region}
STATUS_REQUESTS = {
    pb.AFTER_FRAGMENT_ENQUEUE: StatusRequest.AFTER_FRAGMENT_ENQUEUE,
    pb.AFTER_SESSION_TIMEOUT: StatusRequest.AFTER_SESSION_TIMEOUT,
    pb.NO_REQUEST: StatusRequest.NO_REQUEST,
}
PERIODICITIES = range(8)


def order(deployment: pb.Deployment) -> tuple[Order, Sequence[Problem]]:
    """What is asked for, and what is wrong with it already in the client's own terms."""
    mc_class = CLASSES.get(deployment.multicast_group_type)
    devices = [
        OrderedDevice(octets(device.dev_eui), octets(device.mc_root_key)) for device in deployment.devices
    ]
    made = Order(
        application_id=uuid(deployment.application_id) or "",
        devices=devices,
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
        multicast_region=REGIONS.get(deployment.multicast_region),
    )
    return made, [*_problems(deployment, made), *timeout_problems(deployment.unicast_timeout)]


def _problems(deployment: pb.Deployment, made: Order) -> Iterable[Problem]:
    yield from uuid_problems("application_id", deployment.application_id)
    for index, device in enumerate(deployment.devices):
        yield from eui_problems(f"devices[{index}].dev_eui", device.dev_eui)
        yield from key_problems(f"devices[{index}].mc_root_key", device.mc_root_key)
    if made.multicast_region is None:
        regions = either(pb.Region.Name(number) for number in REGIONS)
        yield Problem("multicast_region", f"is {deployment.multicast_region}; it must be {regions}")
    if made.multicast_periodicity is None:
        yield Problem(
            "multicast_ping_slot_period",
            f"is {deployment.multicast_ping_slot_period}; it must be a periodicity, 0 to 7",
        )


def _periodicity(deployment: pb.Deployment, mc_class: MulticastClass | None) -> int | None:
    """Class C has no ping slots; what is given for them does not matter there."""
    given = deployment.multicast_ping_slot_period
    if mc_class is not MulticastClass.B:
        return 0
    return given if given in PERIODICITIES else None


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
        dev_eui=str(device.dev_eui), created_at=device.created_at, updated_at=device.updated_at
    )
    return fill(status, device.milestones)


def logs_response(rows: Sequence[LogRow]) -> pb.GetDeploymentDeviceLogsResponse:
    """Every command sent to the device and received from it, oldest first."""
    return pb.GetDeploymentDeviceLogsResponse(
        logs=[pb.DeploymentDeviceLog(**fields) for fields in rows_of(rows)]
    )
