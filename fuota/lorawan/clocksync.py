"""TS003, application layer clock synchronisation: a device asks, and is told how wrong its clock is.

Times are GPS seconds modulo 2^32.
"""

from fuota.lorawan.fields import flag, i, u
from fuota.lorawan.package import Command, Package

package = Package("clocksync", identifier=1, port=202, versions=(1, 2))


@package.command("up", 0x01)
class AppTimeReq(Command):
    """The device's clock says `device_time`; is it right?"""

    device_time: int = u(32)
    token_req: int = u(4)
    ans_required: bool = flag(rfu=3)
    """Whether an answer is due even if the clock is right."""


@package.command("down", 0x01)
class AppTimeAns(Command):
    """Add `time_correction` to the clock."""

    time_correction: int = i(32)
    """Seconds; what does not fit is sent as the nearest number that does (2.0.0)."""
    token_ans: int = u(4, rfu=4)
    """TokenReq of the request; a device ignores any other."""


@package.command("down", 0x02)
class DeviceAppTimePeriodicityReq(Command):
    """Ask for the time every 128 · 2^Period seconds, give or take 30."""

    period: int = u(4, rfu=4)


@package.command("up", 0x02)
class DeviceAppTimePeriodicityAns(Command):
    not_supported: bool = flag(rfu=7)
    time: int = u(32)
    """The device's clock at present."""


@package.command("down", 0x03)
class ForceDeviceResyncReq(Command):
    """Send AppTimeReq, up to so many times. Version 2 calls it ForceDeviceResyncCmd; it has no answer."""

    nb_transmissions: int = u(3, rfu=5)
