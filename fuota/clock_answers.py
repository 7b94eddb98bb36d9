"""What a device that asks for the time is told (TS003); pure."""

from datetime import datetime

import attrs
import structlog

from fuota.lorawan import clocksync, gpstime
from fuota.lorawan.clocksync import AppTimeAns, AppTimeReq
from fuota.lorawan.eui import EUI64
from fuota.uplink import Uplink

log = structlog.get_logger(__name__)

VERSION = 2
"""The commands used here are the same in all versions of the package."""

_ERA = 2**32
_WRAPPED = _ERA - 2**30
"""Seconds; two clocks that differ by more are rather on the two sides of a multiple of 2^32."""


@attrs.frozen
class Answer:
    """What an uplink on port 202 is answered."""

    payload: bytes | None
    """With an answer for each AppTimeReq that is due one; None if none is."""
    correction: int | None
    """What is added to the device's clock, in seconds, by the last of them; None if it has not asked."""


def answer(uplink: Uplink) -> Answer:
    """An answer is due when it is asked for (AnsRequired) or the device's clock is wrong."""
    reading = clocksync.package.read("up", uplink.data, VERSION)
    if reading.error is not None:
        log.info("unreadable on port 202", dev_eui=str(uplink.dev_eui), error=str(reading.error))
    requests = [command for command in reading.commands if isinstance(command, AppTimeReq)]
    corrections = [time_correction(uplink.received_at, request.device_time) for request in requests]
    answers = [
        AppTimeAns(time_correction=correction, token_ans=request.token_req)
        for request, correction in zip(requests, corrections, strict=True)
        if correction or request.ans_required
    ]
    payload = clocksync.package.write(*answers, version=VERSION) if answers else None
    return Answer(payload, corrections[-1] if corrections else None)


def time_correction(received_at: datetime, device_time: int) -> int:
    """Seconds to add to a device's clock that showed `device_time` when its uplink was received.

    Both clocks count GPS seconds modulo 2^32, so next to a multiple of it they may be near each other and
    yet differ by almost 2^32. So too much to take away is added up to that, which is right at once: a clock
    that has never been set often counts from 1970, and is before the GPS epoch then. Too much to add becomes
    the most that can be, and the device asks again (TS003 2.0.0).
    """
    difference = gpstime.gps_seconds(received_at) - device_time
    if abs(difference) > _WRAPPED:
        difference -= _ERA if difference > 0 else -_ERA
    if difference < -(2**31):
        difference += _ERA
    return min(2**31 - 1, difference)


@attrs.define
class Recently:
    """The uplinks of the last minute, of which each is answered once; the oldest are forgotten first."""

    seconds: float = 60.0
    most: int = 10_000
    _seen: dict[tuple[EUI64, int, bytes], float] = attrs.field(factory=dict)

    def repeated(self, uplink: Uplink, now: float) -> bool:
        """Whether this uplink was here before; if not, it is from now on. `now`: seconds of any clock."""
        while self._seen and self._seen[oldest := next(iter(self._seen))] <= now - self.seconds:
            del self._seen[oldest]
        key = (uplink.dev_eui, uplink.f_cnt, uplink.data)
        if key in self._seen:
            return True
        if len(self._seen) >= self.most:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = now
        return False

    def forget(self, uplink: Uplink) -> None:
        """It was not answered after all."""
        self._seen.pop((uplink.dev_eui, uplink.f_cnt, uplink.data), None)
