"""What an operator asks for, as it came, and the checks that make a plan of it."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from hashlib import sha256

import attrs

from fuota.deployment.feasibility import MAX_FRAGMENTS, impossible
from fuota.deployment.plan import ClassCScheduling, MulticastClass, Plan, StatusRequest
from fuota.deployment.problem import InvalidOrder, Problem
from fuota.lorawan.airtime import CHANNEL_PLANS
from fuota.lorawan.region import Region

__all__ = ["InvalidOrder", "Order", "OrderedDevice", "Problem", "plan"]

MAX_FRAG_SIZE = 239
"""The largest payload of any region, 242 octets, less the three of DataFragment's header."""


@attrs.frozen
class OrderedDevice:
    """A device as it was named in the order."""

    dev_eui: bytes
    mc_root_key: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Order:
    """The fields of the API's `Deployment`, nothing checked; None where a value means nothing there."""

    application_id: str
    devices: Sequence[OrderedDevice]
    multicast_group_type: MulticastClass | None
    multicast_dr: int
    multicast_periodicity: int | None
    """Class B ping-slot periodicity 0–7, whatever the API's own unit; 0 for class C."""
    multicast_frequency: int
    multicast_group_id: int
    multicast_timeout: int
    unicast_timeout: timedelta
    unicast_attempt_count: int
    fragmentation_fragment_size: int
    payload: bytes = attrs.field(repr=False)
    fragmentation_redundancy: int
    fragmentation_session_index: int
    fragmentation_matrix: int
    fragmentation_block_ack_delay: int
    fragmentation_descriptor: bytes
    request_fragmentation_session_status: StatusRequest | None
    multicast_region: Region | None = None
    """None where the API does not ask (ChirpStack v3)."""
    class_c_scheduling: ClassCScheduling | None = ClassCScheduling.DELAY
    gateways: Sequence[bytes] = ()
    """EUIs."""


def plan(order: Order, *, mc_addr: int, more: Sequence[Problem] = ()) -> Plan:
    """The plan of an order.

    `more`: problems that the API has found already; of those fields nothing more is said. Raises
    `InvalidOrder` with every problem at once.
    """
    said = {problem.field for problem in more}
    problems = [*more, *(problem for problem in _problems(order) if problem.field not in said)]
    mc_class, status_request = order.multicast_group_type, order.request_fragmentation_session_status
    periodicity, scheduling = order.multicast_periodicity, order.class_c_scheduling
    if problems or mc_class is None or status_request is None or periodicity is None or scheduling is None:
        raise InvalidOrder(problems)
    made = Plan(
        application_id=order.application_id,
        mc_class=mc_class,
        mc_group_id=order.multicast_group_id,
        mc_addr=mc_addr,
        frequency=order.multicast_frequency,
        dr=order.multicast_dr,
        time_out=order.multicast_timeout,
        periodicity=periodicity,
        unicast_timeout=order.unicast_timeout,
        unicast_attempts=order.unicast_attempt_count,
        frag_index=order.fragmentation_session_index,
        frag_size=order.fragmentation_fragment_size,
        redundancy=order.fragmentation_redundancy,
        frag_algo=order.fragmentation_matrix,
        block_ack_delay=order.fragmentation_block_ack_delay,
        descriptor=order.fragmentation_descriptor or bytes(4),
        status_request=status_request,
        firmware_size=len(order.payload),
        firmware_sha256=sha256(order.payload).digest(),
        region=order.multicast_region,
        class_c_scheduling=scheduling,
        gateways=tuple(each.hex() for each in order.gateways),
    )
    if reasons := [*impossible(made)]:
        raise InvalidOrder(reasons)
    return made


def _problems(order: Order) -> Iterator[Problem]:
    """Everything that can be said of one field alone, and of the devices."""
    yield from _device_problems(order.devices)
    if order.multicast_group_type is None:
        yield Problem("multicast_group_type", "unknown; it must be CLASS_B or CLASS_C")
    yield from _range("multicast_dr", order.multicast_dr, 0, 15)
    yield from _frequency_problems(order)
    if order.multicast_region is not None:
        yield from _region_problems(order, order.multicast_region)
    if order.class_c_scheduling is None:
        yield Problem("class_c_scheduling_type", "unknown; it must be DELAY or GPS_TIME")
    for index, gateway in enumerate(order.gateways):
        if len(gateway) != 8:
            yield _length(f"gateway_ids[{index}]", gateway, 8)
        elif gateway in order.gateways[:index]:
            yield Problem(f"gateway_ids[{index}]", f"is {gateway.hex()}, which is there already")
    yield from _range("multicast_group_id", order.multicast_group_id, 0, 3)
    yield from _range("multicast_timeout", order.multicast_timeout, 0, 15)
    if not timedelta(0) < order.unicast_timeout <= timedelta(days=30):
        yield Problem("unicast_timeout", "must be more than 0 s and at most 30 days")
    yield from _range("unicast_attempt_count", order.unicast_attempt_count, 1, 1000)
    yield from _range("fragmentation_fragment_size", order.fragmentation_fragment_size, 1, MAX_FRAG_SIZE)
    if not order.payload:
        yield Problem("payload", "is empty; it must be the firmware image")
    yield from _range("fragmentation_redundancy", order.fragmentation_redundancy, 0, MAX_FRAGMENTS - 1)
    yield from _range("fragmentation_session_index", order.fragmentation_session_index, 0, 3)
    if order.fragmentation_matrix != 0:
        yield Problem(
            "fragmentation_matrix",
            f"is {order.fragmentation_matrix}; TS004 defines no algorithm but 0",
        )
    yield from _range("fragmentation_block_ack_delay", order.fragmentation_block_ack_delay, 0, 7)
    if len(order.fragmentation_descriptor) not in (0, 4):
        yield _length("fragmentation_descriptor", order.fragmentation_descriptor, 4)
    if order.request_fragmentation_session_status is None:
        yield Problem(
            "request_fragmentation_session_status",
            "unknown; it must be AFTER_FRAGMENT_ENQUEUE, AFTER_SESSION_TIMEOUT or NO_REQUEST",
        )


def _range(field: str, value: int, least: int, most: int) -> Iterator[Problem]:
    if not least <= value <= most:
        yield Problem(field, f"is {value}; it must be {least} to {most}")


def _length(field: str, value: bytes, right: int) -> Problem:
    return Problem(field, f"has {len(value)} octets; it must have {right}")


def _device_problems(devices: Sequence[OrderedDevice]) -> Iterator[Problem]:
    if not devices:
        yield Problem("devices", "is empty; at least one device is needed")
    first: dict[bytes, int] = {}
    for index, device in enumerate(devices):
        if len(device.dev_eui) != 8:
            yield _length(f"devices[{index}].dev_eui", device.dev_eui, 8)
        elif (earlier := first.setdefault(device.dev_eui, index)) != index:
            yield Problem(
                f"devices[{index}].dev_eui", f"is {device.dev_eui.hex()}, as devices[{earlier}].dev_eui is"
            )
        if len(device.mc_root_key) != 16:
            yield _length(f"devices[{index}].mc_root_key", device.mc_root_key, 16)


def _frequency_problems(order: Order) -> Iterator[Problem]:
    frequency, field = order.multicast_frequency, "multicast_frequency"
    if frequency == 0 and order.multicast_group_type is MulticastClass.B:
        return
    if frequency == 0:
        yield Problem(field, "is 0; class C needs the frequency of the downlinks in Hz")
    elif frequency % 100 or frequency >= 2**24 * 100:
        yield Problem(
            field,
            f"is {frequency} Hz; it must be a multiple of 100 Hz below 1677.7216 MHz (TS005 section 3.3)",
        )


def _region_problems(order: Order, region: Region) -> Iterator[Problem]:
    """What the devices of the region can not be tuned to."""
    plan, frequency, dr = CHANNEL_PLANS[region], order.multicast_frequency, order.multicast_dr
    if dr <= 15 and dr not in plan.data_rates:
        rates = f"{min(plan.data_rates)} to {max(plan.data_rates)}"
        yield Problem("multicast_dr", f"is {dr}; downlinks of {region.value} have data rates {rates}")
    if frequency and not plan.low <= frequency <= plan.high:
        band = f"{plan.low / 1e6:g} to {plan.high / 1e6:g} MHz"
        yield Problem(
            "multicast_frequency",
            f"is {frequency} Hz; downlinks of {region.value} (multicast_region) lie at {band}",
        )
