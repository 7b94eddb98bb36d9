"""How the Application Server v3 spells what the simulated ChirpStack keeps.

What can not be read is an `ApiError` that names the field.
"""

from fuota.deployment.plan import MulticastClass
from fuota.generated.chirpstack3 import multicast_group_pb2 as pb
from fuota.simulation.chirpstack import Group, GroupSettings
from fuota.simulation.radio import Channel
from fuota.simulation.spelling import dev_eui, group_id, invalid, octets

__all__ = ["dev_eui", "group_id", "multicast_group", "settings"]

CLASSES = {pb.CLASS_B: MulticastClass.B, pb.CLASS_C: MulticastClass.C}
PING_SLOT_PERIODS = {32 << periodicity: periodicity for periodicity in range(8)}


def settings(message: pb.MulticastGroup) -> GroupSettings:
    """The group that is to be made."""
    if message.group_type not in CLASSES:
        raise invalid("group_type", f"{message.group_type} is neither CLASS_B nor CLASS_C")
    mc_class = CLASSES[message.group_type]
    periodicity = 0
    if mc_class is MulticastClass.B:
        if message.ping_slot_period not in PING_SLOT_PERIODS:
            raise invalid(
                "ping_slot_period", f"{message.ping_slot_period} is not one of {[*PING_SLOT_PERIODS]}"
            )
        periodicity = PING_SLOT_PERIODS[message.ping_slot_period]
    return GroupSettings(
        name=message.name,
        application_id=str(message.application_id),
        channel=Channel(mc_class, message.frequency, message.dr, periodicity),
        mc_addr=int.from_bytes(octets("mc_addr", message.mc_addr, 4), "big"),
        mc_nwk_s_key=octets("mc_nwk_s_key", message.mc_nwk_s_key, 16),
        mc_app_s_key=octets("mc_app_s_key", message.mc_app_s_key, 16),
    )


def multicast_group(group: Group) -> pb.MulticastGroup:
    """The group as it is told."""
    of, channel = group.settings, group.settings.channel
    class_b = channel.mc_class is MulticastClass.B
    return pb.MulticastGroup(
        id=group.id,
        name=of.name,
        mc_addr=f"{of.mc_addr:08x}",
        mc_nwk_s_key=of.mc_nwk_s_key.hex(),
        mc_app_s_key=of.mc_app_s_key.hex(),
        f_cnt=group.queue.next_f_cnt,
        group_type=pb.CLASS_B if class_b else pb.CLASS_C,
        dr=channel.dr,
        frequency=channel.frequency,
        ping_slot_period=32 << channel.periodicity if class_b else 0,
        application_id=int(of.application_id),
    )
