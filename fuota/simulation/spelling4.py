"""How ChirpStack 4 spells what the simulated ChirpStack keeps.

What can not be read is an `ApiError` that names the field.
"""

from uuid import UUID

from fuota.deployment.plan import ClassCScheduling, MulticastClass
from fuota.generated.chirpstack4 import common_pb2
from fuota.generated.chirpstack4 import multicast_group_pb2 as pb
from fuota.lorawan.region import Region
from fuota.simulation.chirpstack import Group, GroupSettings
from fuota.simulation.radio import Channel
from fuota.simulation.spelling import dev_eui, eui, group_id, invalid, octets

__all__ = ["dev_eui", "eui", "group_id", "multicast_group", "settings"]

CLASSES = {pb.CLASS_B: MulticastClass.B, pb.CLASS_C: MulticastClass.C}
SCHEDULINGS = {pb.DELAY: ClassCScheduling.DELAY, pb.GPS_TIME: ClassCScheduling.GPS_TIME}
REGIONS = {common_pb2.Region.Value(region.value): region for region in Region}


def settings(message: pb.MulticastGroup, exponents: bool = False) -> GroupSettings:
    """The group that is to be made. `exponents`: see `ApiConditions`."""
    if message.group_type not in CLASSES:
        raise invalid("group_type", f"{message.group_type} is neither CLASS_B nor CLASS_C")
    if message.region not in REGIONS:
        raise invalid("region", f"{message.region} is none")
    if message.class_c_scheduling_type not in SCHEDULINGS:
        raise invalid("class_c_scheduling_type", f"{message.class_c_scheduling_type} is none")
    mc_class = CLASSES[message.group_type]
    periodicity = message.class_b_ping_slot_periodicity if mc_class is MulticastClass.B else 0
    if exponents and mc_class is MulticastClass.B:
        periodicity = 7 - periodicity
    if not 0 <= periodicity <= 7:
        raise invalid("class_b_ping_slot_periodicity", "it is more than 7")
    return GroupSettings(
        name=message.name,
        application_id=_uuid("application_id", message.application_id),
        channel=Channel(mc_class, message.frequency, message.dr, periodicity),
        mc_addr=int.from_bytes(octets("mc_addr", message.mc_addr, 4), "big"),
        mc_nwk_s_key=octets("mc_nwk_s_key", message.mc_nwk_s_key, 16),
        mc_app_s_key=octets("mc_app_s_key", message.mc_app_s_key, 16),
        region=REGIONS[message.region],
        class_c_scheduling=SCHEDULINGS[message.class_c_scheduling_type],
    )


def multicast_group(group: Group, exponents: bool = False) -> pb.MulticastGroup:
    """The group as it is told."""
    of, channel = group.settings, group.settings.channel
    exponent = 7 - channel.periodicity if channel.mc_class is MulticastClass.B else 0
    return pb.MulticastGroup(
        id=group.id,
        name=of.name,
        application_id=of.application_id,
        region=region(of),
        mc_addr=f"{of.mc_addr:08x}",
        mc_nwk_s_key=of.mc_nwk_s_key.hex(),
        mc_app_s_key=of.mc_app_s_key.hex(),
        f_cnt=group.queue.next_f_cnt,
        group_type=group_type(of),
        dr=channel.dr,
        frequency=channel.frequency,
        class_c_scheduling_type=scheduling(of),
        class_b_ping_slot_periodicity=exponent if exponents else channel.periodicity,
        class_b_ping_slot_period=32 << exponent if exponents else 0,
    )


def group_type(of: GroupSettings) -> pb.MulticastGroupType.ValueType:
    return pb.CLASS_B if of.channel.mc_class is MulticastClass.B else pb.CLASS_C


def scheduling(of: GroupSettings) -> pb.MulticastGroupSchedulingType.ValueType:
    return pb.GPS_TIME if of.class_c_scheduling is ClassCScheduling.GPS_TIME else pb.DELAY


def region(of: GroupSettings) -> common_pb2.Region.ValueType:
    return common_pb2.Region.Value((of.region or Region.EU868).value)


def _uuid(field: str, text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError as error:
        raise invalid(field, f"{text!r} is no UUID") from error
