"""What an uplink of a device says to one of its deployments."""

from collections.abc import Mapping
from datetime import datetime

import attrs
import structlog

from fuota.device.agreement import CLOCK_TOLERANCE
from fuota.device.effects import VERSION, Assignment
from fuota.device.record import concerns
from fuota.lorawan import fragmentation, multicast
from fuota.lorawan.package import Command, Package
from fuota.uplink import Uplink

log = structlog.get_logger(__name__)

PACKAGES: Mapping[int, Package] = {each.port: each for each in (multicast.package, fragmentation.package)}

REMEMBERED = 4
"""Uplinks by which one that is delivered again is known: the network may post each several times."""


@attrs.frozen
class Said:
    """The commands that concern the deployment; `repeated`: the uplink was delivered before."""

    package: Package
    commands: tuple[Command, ...]
    repeated: bool


@attrs.define
class Hearing:
    """Reads uplinks, and says once what is wrong with one."""

    _assignment: Assignment
    _recent: tuple[tuple[int, int, bytes], ...] = ()

    def read(self, uplink: Uplink, now: datetime) -> Said:
        """An order that is dated later than now was dated by a clock that has been set back since."""
        package = PACKAGES[uplink.f_port]
        key = (uplink.f_cnt, uplink.f_port, uplink.data)
        repeated = key in self._recent
        self._recent = (*self._recent, key)[-REMEMBERED:]
        if uplink.received_at < min(self._assignment.ordered_at, now) - CLOCK_TOLERANCE:
            if not repeated:
                log.warning(
                    "uplink older than its deployment; or a gateway's clock is behind",
                    dev_eui=str(uplink.dev_eui),
                    received_at=f"{uplink.received_at:%Y-%m-%dT%H:%M:%SZ}",
                )
            return Said(package, (), repeated)
        reading = package.read("up", uplink.data, VERSION)
        if reading.error is not None and not repeated:
            log.warning("unreadable uplink", dev_eui=str(uplink.dev_eui), error=str(reading.error))
        plan = self._assignment.plan
        return Said(package, tuple(each for each in reading.commands if concerns(plan, each)), repeated)
