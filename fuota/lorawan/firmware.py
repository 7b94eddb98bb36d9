"""TS006, firmware management: which image a device runs, which it has received, and when it reboots."""

from enum import IntEnum

from fuota.lorawan.fields import flag, u
from fuota.lorawan.package import Command, Package
from fuota.lorawan.wire import Seen

package = Package("firmware", identifier=4, port=203, versions=(1,))


class UpImageStatus(IntEnum):
    """What the device holds beside the image that it runs."""

    NO_IMAGE = 0
    CORRUPT = 1
    """Or badly signed."""
    OTHER_HARDWARE = 2
    VALID = 3


@package.command("down", 0x01)
class DevVersionReq(Command):
    """Which versions are these?"""


@package.command("up", 0x01)
class DevVersionAns(Command):
    """The vendor defines what the numbers mean."""

    fw_version: int = u(32)
    hw_version: int = u(32)


@package.command("down", 0x02)
class DevRebootTimeReq(Command):
    """Reboot then; the last such request holds, of either kind."""

    reboot_time: int = u(32)
    """GPS seconds modulo 2^32; 0 means now, which is not answered, FFFFFFFF not at all."""


@package.command("up", 0x02)
class DevRebootTimeAns(Command):
    reboot_time: int = u(32)
    """Seconds from this uplink to the reboot; 0 if the device can not, FFFFFFFF if it will not any more."""


@package.command("down", 0x03)
class DevRebootCountdownReq(Command):
    """Reboot after so many seconds."""

    countdown: int = u(24)
    """0 means now, which is not answered, FFFFFF not at all."""


@package.command("up", 0x03)
class DevRebootCountdownAns(Command):
    countdown: int = u(24)
    """Seconds that are left; 0 if the device can not, FFFFFF if it will not any more."""


@package.command("down", 0x04)
class DevUpgradeImageReq(Command):
    """Is there an image to upgrade to?"""


def _valid(ans: Seen) -> bool:
    return bool(ans["up_image_status"] == UpImageStatus.VALID)


@package.command("up", 0x04)
class DevUpgradeImageAns(Command):
    up_image_status: UpImageStatus = u(2, rfu=6, make=UpImageStatus)
    next_firmware_version: int | None = u(32, when=_valid, default=None)
    """Of the valid image, None if there is none."""


@package.command("down", 0x05)
class DevDeleteImageReq(Command):
    firmware_to_delete_version: int = u(32)


@package.command("up", 0x05)
class DevDeleteImageAns(Command):
    error_no_valid_image: bool = flag()
    error_invalid_version: bool = flag(rfu=6)
