"""A simulated device's clock, and its side of clock synchronisation (TS003)."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import attrs

from fuota.lorawan.clocksync import (
    AppTimeAns,
    AppTimeReq,
    DeviceAppTimePeriodicityAns,
    DeviceAppTimePeriodicityReq,
    ForceDeviceResyncReq,
)
from fuota.lorawan.gpstime import gps_seconds, utc
from fuota.lorawan.package import Command
from fuota.simulation.answer import Answer

RETRY = timedelta(seconds=10)
"""Between two AppTimeReq of a forced resynchronisation."""


@attrs.define
class Timekeeping:
    """The time as the device has it, and how it is corrected."""

    offset: timedelta
    """What the clock is ahead of the true time."""
    _token: int = attrs.field(default=0, init=False)

    def gps(self, now: datetime) -> int:
        """GPS seconds by the device's clock at the true time `now`."""
        return gps_seconds(now + self.offset)

    def instant(self, gps: int) -> datetime:
        """The true time at which the device's clock will show these GPS seconds."""
        return utc(gps) - self.offset

    def obey(self, command: Command) -> Iterator[Answer]:
        """What the device sends because of `command`."""
        match command:
            case AppTimeAns(time_correction=correction, token_ans=token) if token == self._token:
                self.offset += timedelta(seconds=correction)
                self._token = (self._token + 1) % 16
            case ForceDeviceResyncReq(nb_transmissions=transmissions):
                token = self._token
                for transmission in range(transmissions):
                    yield Answer(
                        lambda at: self._request(at) if self._token == token else None, transmission * RETRY
                    )
            case DeviceAppTimePeriodicityReq():
                yield Answer(lambda at: DeviceAppTimePeriodicityAns(not_supported=True, time=self.gps(at)))

    def _request(self, at: datetime) -> AppTimeReq:
        # AnsRequired: neither device stack that was run ever asks for an answer that would correct nothing
        return AppTimeReq(device_time=self.gps(at), token_req=self._token, ans_required=False)
