"""TS005, remote multicast setup: groups of devices, and the sessions in which they listen.

McGroupID is 0–3. Session times are GPS seconds modulo 2^32; frequencies are in Hz here and in steps of
100 Hz on the wire, which reaches up to 1677.7215 MHz.
"""

from fuota.lorawan.fields import Fields, flag, octets, record, records, u
from fuota.lorawan.package import Command, Package
from fuota.lorawan.wire import Seen

package = Package("multicast", identifier=2, port=200, versions=(1, 2))


@package.command("down", 0x01)
class McGroupStatusReq(Command):
    """Tell of these groups. LoRaMac-node takes the mask for another command: do not send it to everyone."""

    req_group_mask: int = u(4, rfu=4)
    """Bit i stands for McGroupID i."""


@record
class McGroup(Fields):
    """One group that a device has."""

    mc_group_id: int = u(2, rfu=6)
    mc_addr: int = u(32)


def _answered(ans: Seen) -> int:
    mask: int = ans["ans_group_mask"]
    return mask.bit_count()


@package.command("up", 0x01)
class McGroupStatusAns(Command):
    ans_group_mask: int = u(4)
    """The groups in `items`; fewer than were asked for if the uplink had no room for them."""
    nb_total_groups: int = u(3, rfu=1)
    items: tuple[McGroup, ...] = records(McGroup, count=_answered)


@package.command("down", 0x02)
class McGroupSetupReq(Command):
    """Section 4 says how `mc_key_encrypted` is made; see `keys`."""

    mc_group_id: int = u(2, rfu=6)
    mc_addr: int = u(32)
    mc_key_encrypted: bytes = octets(16)
    min_mc_fcnt: int = u(32)
    """The next FCnt of the group."""
    max_mc_fcnt: int = u(32)
    """The group ends here; stacks differ in whether this one still counts."""


@package.command("up", 0x02)
class McGroupSetupAns(Command):
    mc_group_id: int = u(2)
    id_error: bool = flag(rfu=5)


@package.command("down", 0x03)
class McGroupDeleteReq(Command):
    mc_group_id: int = u(2, rfu=6)


@package.command("up", 0x03)
class McGroupDeleteAns(Command):
    mc_group_id: int = u(2)
    mc_group_undefined: bool = flag(rfu=5)


@package.command("down", 0x04)
class McClassCSessionReq(Command):
    mc_group_id: int = u(2, rfu=6)
    session_time: int = u(32)
    time_out: int = u(4, rfu=4)
    """The session lasts 2^TimeOut seconds."""
    dl_frequency: int = u(24, unit=100)
    dr: int = u(8)


@package.command("down", 0x05)
class McClassBSessionReq(Command):
    mc_group_id: int = u(2, rfu=6)
    session_time: int = u(32)
    """A multiple of 128, the beacon period."""
    time_out: int = u(4)
    """The session lasts 2^TimeOut beacon periods."""
    periodicity: int = u(3, rfu=1)
    """There are 2^(7 - Periodicity) ping slots in a beacon period."""
    dl_frequency: int = u(24, unit=100)
    """0 for the region's own class B channels."""
    dr: int = u(8)


def _no_error(ans: Seen) -> bool:
    errors = ("dr_error", "freq_error", "mc_group_undefined", "start_missed", "future_errors")
    return not any(ans[error] for error in errors)


@record
class SessionAns(Command):
    """Both session requests are answered alike.

    Version 1 knows three errors, but stacks in the field set the fourth in it, and leave TimeToStart out
    then: so any bit that is an error in version 2 is one in both.
    """

    mc_group_id: int = u(2)
    dr_error: bool = flag()
    freq_error: bool = flag()
    mc_group_undefined: bool = flag()
    start_missed: bool = flag()
    future_errors: int = u(2, default=0)
    """Bits that mean errors nobody has defined yet."""
    time_to_start: int | None = u(24, when=_no_error, default=None)
    """Seconds from this uplink to the session; None with an error, FFFFFF if the device can not tell."""


@package.command("up", 0x04)
class McClassCSessionAns(SessionAns):
    """The answer to McClassCSessionReq."""


@package.command("up", 0x05)
class McClassBSessionAns(SessionAns):
    """The answer to McClassBSessionReq."""
