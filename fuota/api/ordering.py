"""What clients of `fuota.v1.DeploymentService` order, and what is wrong with it in their own words."""

import re
from collections.abc import Callable, Iterator, Sequence

import attrs

from fuota.api.answers import duration, timeout_problems
from fuota.api.spelling import either, eui_problems, octets
from fuota.deployment.order import Order, OrderedDevice, Problem
from fuota.deployment.plan import ClassCScheduling, MulticastClass, StatusRequest
from fuota.generated.fuota_v1 import deployment_pb2 as pb
from fuota.lorawan.region import Region

CLASSES = {pb.GROUP_CLASS_B: MulticastClass.B, pb.GROUP_CLASS_C: MulticastClass.C}
REGIONS = {pb.Region.Value(f"REGION_{region.value}"): region for region in Region}
SCHEDULING = {
    pb.CLASS_C_SCHEDULING_TYPE_UNSPECIFIED: ClassCScheduling.DELAY,
    pb.CLASS_C_SCHEDULING_TYPE_DELAY: ClassCScheduling.DELAY,
    pb.CLASS_C_SCHEDULING_TYPE_GPS_TIME: ClassCScheduling.GPS_TIME,
}
STATUS_REQUESTS = {
    pb.STATUS_REQUEST_AFTER_FRAGMENT_ENQUEUE: StatusRequest.AFTER_FRAGMENT_ENQUEUE,
    pb.STATUS_REQUEST_AFTER_SESSION_TIMEOUT: StatusRequest.AFTER_SESSION_TIMEOUT,
    pb.STATUS_REQUEST_NO_REQUEST: StatusRequest.NO_REQUEST,
}

FIELDS = {
    "application_id": "plan.application_id",
    "multicast_group_type": "plan.multicast.group_class",
    "multicast_group_id": "plan.multicast.group_id",
    "multicast_frequency": "plan.multicast.frequency",
    "multicast_dr": "plan.multicast.dr",
    "multicast_timeout": "plan.multicast.session_timeout",
    "multicast_periodicity": "plan.multicast.ping_slot_periodicity",
    "multicast_region": "plan.multicast.region",
    "class_c_scheduling_type": "plan.multicast.class_c_scheduling_type",
    "gateway_ids": "plan.multicast.gateway_ids",
    "unicast_timeout": "plan.unicast.timeout",
    "unicast_attempt_count": "plan.unicast.attempts",
    "fragmentation_fragment_size": "plan.fragmentation.fragment_size",
    "fragmentation_redundancy": "plan.fragmentation.redundancy",
    "fragmentation_session_index": "plan.fragmentation.session_index",
    "fragmentation_matrix": "plan.fragmentation.matrix",
    "fragmentation_block_ack_delay": "plan.fragmentation.block_ack_delay",
    "fragmentation_descriptor": "plan.fragmentation.session_descriptor",
    "request_fragmentation_session_status": "plan.status_request",
    "payload": "firmware",
}
"""A field of `Order` -> the same of a CreateDeploymentRequest."""

WORD = re.compile(r"[a-z_]+")


@attrs.frozen
class Terms:
    """What an order may and must say beside one generation of ChirpStack."""

    application_id: Callable[[str], str | None]
    """An id in its usual spelling; None if it is none."""
    kind: str
    """Of ids, in words."""
    choosing: bool
    """Whether the order chooses the group's region, its gateways and how they are scheduled."""


def order(request: pb.CreateDeploymentRequest, terms: Terms) -> tuple[Order, Sequence[Problem]]:
    """What is asked for, and what `Order` does not show to be wrong with it."""
    plan = request.plan
    multicast, fragmentation = plan.multicast, plan.fragmentation
    made = Order(
        application_id=terms.application_id(plan.application_id) or "",
        devices=[OrderedDevice(octets(each.dev_eui), each.mc_root_key) for each in request.devices],
        multicast_group_type=CLASSES.get(multicast.group_class),
        multicast_dr=multicast.dr,
        multicast_periodicity=multicast.ping_slot_periodicity,
        multicast_frequency=multicast.frequency,
        multicast_group_id=multicast.group_id,
        multicast_timeout=multicast.session_timeout,
        unicast_timeout=duration(plan.unicast.timeout),
        unicast_attempt_count=plan.unicast.attempts,
        fragmentation_fragment_size=fragmentation.fragment_size,
        payload=request.firmware,
        fragmentation_redundancy=fragmentation.redundancy,
        fragmentation_session_index=fragmentation.session_index,
        fragmentation_matrix=fragmentation.matrix,
        fragmentation_block_ack_delay=fragmentation.block_ack_delay,
        fragmentation_descriptor=fragmentation.session_descriptor,
        request_fragmentation_session_status=STATUS_REQUESTS.get(plan.status_request),
        multicast_region=REGIONS.get(multicast.region),
        class_c_scheduling=SCHEDULING.get(multicast.class_c_scheduling_type),
        gateways=[octets(gateway) for gateway in multicast.gateway_ids],
    )
    return made, [
        *_problems(request, made, terms),
        *_multicast_problems(multicast),
        *_choice_problems(multicast, terms),
        *timeout_problems(plan.unicast.timeout),
    ]


def in_their_words(problem: Problem) -> Problem:
    """The same with the names that the fields have in a CreateDeploymentRequest."""
    return Problem(*(WORD.sub(_named, text) for text in (problem.field, problem.text)))


def _named(word: re.Match[str]) -> str:
    return FIELDS.get(word[0], word[0])


def _problems(request: pb.CreateDeploymentRequest, made: Order, terms: Terms) -> Iterator[Problem]:
    plan = request.plan
    if not made.application_id:
        yield Problem("application_id", f"is {plan.application_id[:64]!r}; it must be {terms.kind}")
    for index, device in enumerate(request.devices):
        yield from eui_problems(f"devices[{index}].dev_eui", device.dev_eui)
    if made.request_fragmentation_session_status is None:
        yield Problem(
            "request_fragmentation_session_status",
            f"is {plan.status_request}; it must be STATUS_REQUEST_AFTER_FRAGMENT_ENQUEUE, "
            "STATUS_REQUEST_AFTER_SESSION_TIMEOUT or STATUS_REQUEST_NO_REQUEST",
        )


def _multicast_problems(multicast: pb.Multicast) -> Iterator[Problem]:
    if multicast.group_class not in CLASSES:
        kinds = "GROUP_CLASS_B or GROUP_CLASS_C"
        yield Problem("multicast_group_type", f"is {multicast.group_class}; it must be {kinds}")
    if not multicast.HasField("dr"):
        yield Problem("multicast_dr", "is missing; it must be 0 to 15")
    if not multicast.HasField("session_timeout"):
        yield Problem("multicast_timeout", "is missing; it must be 0 to 15")
    periodic = multicast.HasField("ping_slot_periodicity")
    if multicast.group_class == pb.GROUP_CLASS_B:
        if not periodic:
            yield Problem("multicast_periodicity", "is missing, which class B needs; it must be 0 to 7")
        elif multicast.ping_slot_periodicity > 7:
            yield Problem("multicast_periodicity", f"is {multicast.ping_slot_periodicity}; it must be 0 to 7")
    elif periodic:
        yield Problem("multicast_periodicity", "is of class B alone; it must be unset")


def _choice_problems(multicast: pb.Multicast, terms: Terms) -> Iterator[Problem]:
    if multicast.region not in REGIONS and (multicast.region or terms.choosing):
        regions = either(pb.Region.Name(number) for number in REGIONS)
        yield Problem("multicast_region", f"is {multicast.region}; it must be {regions}")
    scheduled = multicast.class_c_scheduling_type
    if scheduled not in SCHEDULING:
        kinds = "CLASS_C_SCHEDULING_TYPE_DELAY or CLASS_C_SCHEDULING_TYPE_GPS_TIME"
        yield Problem("class_c_scheduling_type", f"is {scheduled}; it must be {kinds}")
    elif scheduled and not terms.choosing:
        yield Problem("class_c_scheduling_type", "needs ChirpStack 4; it must be unset")
    elif scheduled and multicast.group_class == pb.GROUP_CLASS_B:
        yield Problem("class_c_scheduling_type", "is of class C alone; it must be unset")
    if multicast.gateway_ids and not terms.choosing:
        yield Problem("gateway_ids", "needs ChirpStack 4; it must be empty")
    for index, gateway in enumerate(multicast.gateway_ids):
        yield from eui_problems(f"gateway_ids[{index}]", gateway)
