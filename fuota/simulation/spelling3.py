"""How the Application Server v3 spells what the simulated ChirpStack keeps.

What can not be read is an `ApiError` that names the field.
"""

from uuid import UUID

from fuota.deployment.plan import MulticastClass
from fuota.generated.chirpstack3 import multicast_group_pb2 as pb
from fuota.lorawan.eui import EUI64
from fuota.simulation.chirpstack import ApiError, Group, GroupSettings
from fuota.simulation.radio import Channel

CLASSES = {pb.CLASS_B: MulticastClass.B, pb.CLASS_C: MulticastClass.C}
PING_SLOT_PERIODS = {32 << periodicity: periodicity for periodicity in range(8)}


def group_id(field: str, text: str) -> str:
    """A group's id: a UUID in any of its spellings."""
    try:
        return str(UUID(text))
    except ValueError as error:
        raise invalid(field, f"{text!r} is no UUID") from error


def dev_eui(text: str) -> EUI64:
    try:
        return EUI64.parse(text)
    except ValueError as error:
        raise invalid("dev_eui", str(error)) from error


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
        mc_addr=int.from_bytes(_octets("mc_addr", message.mc_addr, 4), "big"),
        mc_nwk_s_key=_octets("mc_nwk_s_key", message.mc_nwk_s_key, 16),
        mc_app_s_key=_octets("mc_app_s_key", message.mc_app_s_key, 16),
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


def invalid(field: str, problem: str) -> ApiError:
    return ApiError("INVALID_ARGUMENT", f"{field}: {problem}")


def _octets(field: str, text: str, length: int) -> bytes:
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        octets = b""
    if len(octets) != length:
        raise invalid(field, f"wanted {2 * length} hexadecimal digits")
    return octets
