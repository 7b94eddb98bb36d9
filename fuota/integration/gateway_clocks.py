"""When gateways have received an uplink, though their clocks are off.

An uplink that its gateway dates a minute ago has been on its way for a minute, or the gateway's clock is
behind, and it alone does not tell which. But it is by chance that an uplink is late, and all are by as much
if it is the clock: so that is off by the least lag of a gateway's uplinks, with the quickest way from it.

What all of them are measured by is the server's own clock, which has to be right.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum
from itertools import chain

import attrs
import structlog

log = structlog.get_logger(__name__)

AHEAD = timedelta(seconds=5)
"""How far a network server's clock may be ahead of ours."""
BEHIND = timedelta(days=1)
"""How old an uplink may be that a gateway has kept through an outage; what is further away is no time."""
TOLERANCE = timedelta(seconds=3)
"""What a gateway's clock may be off by, together with the way from it, and still be believed. A way that
takes as long is too slow for downlinks."""
STEADY = timedelta(seconds=3)
"""How long a gateway has to lag by as much before that is its clock. Where uplinks were kept and come at
last, each lags by less than the one before."""
LATELY = timedelta(minutes=1)
"""In which the least lag is looked for, so that a clock that was set is noticed."""
KNOWN = 10_000
"""Clocks that are remembered; those that were not heard for longest are forgotten first."""


class Source(Enum):
    """Which of its clocks a gateway tells the time by: one may be right and the other not."""

    GPS = "GPS"
    SYSTEM = "system"


@attrs.frozen
class Reception:
    """What is told of when a gateway has received an uplink, in UTC; None where nothing is."""

    gateway: str
    """Its EUI64 in hexadecimal; empty if that is not told."""
    gps: datetime | None
    system: datetime | None
    ns_time: datetime | None = None
    """When the network server had it from the gateway, by the server's clock."""


@attrs.define
class _GatewayClock:
    lag: timedelta
    """Our time less its own: the least of the minute before, and of what has come since."""
    settled: timedelta
    """The lag as it was when it has last changed by more than `TOLERANCE`, and when that was."""
    since: datetime
    least: timedelta
    """Of this minute, and when that began."""
    began: datetime
    is_off: bool = False

    def heard(self, lag: timedelta, now: datetime) -> None:
        if timedelta(0) <= now - self.began < LATELY:
            self.least = min(self.least, lag)
        else:
            self._lags(self.least, now)
            self.least, self.began = lag, now
        self._lags(min(self.lag, lag), now)

    def _lags(self, lag: timedelta, now: datetime) -> None:
        self.lag = lag
        if abs(lag - self.settled) > TOLERANCE:
            self.settled, self.since = lag, now

    def is_known(self, now: datetime) -> bool:
        return now - self.since >= STEADY


@attrs.define
class GatewayClocks:
    """What is known of the clocks of all gateways."""

    _clocks: dict[tuple[str, Source], _GatewayClock] = attrs.field(factory=dict)

    def received_at(
        self, receptions: Sequence[Reception], otherwise: datetime | None, now: datetime
    ) -> datetime:
        """When an uplink was received that has reached us at `now`.

        A clock that is right comes first, and GPS before others; then the network server's; then one that is
        known to be off, put right. One of which nothing is known yet is believed, however late the uplink is
        by it: what was kept somewhere and answers an earlier deployment must not count for the present one.
        That costs a gateway that is behind no more than it brings in its first `STEADY`, for it is known by
        all traffic. `otherwise` is what counts if no gateway tells, and `now` if nobody does.
        """
        right, by_server, put_right, unknown = (list[datetime]() for _ in range(4))
        gps = ((each, Source.GPS, each.gps) for each in receptions)
        system = ((each, Source.SYSTEM, each.system) for each in receptions)
        for reception, source, at in chain(gps, system):
            if (ns_time := _plausible(reception.ns_time, now)) is not None:
                by_server.append(ns_time)
            if at is None or abs(now - at) > BEHIND:
                continue
            if ns_time is not None:
                if min(abs(ns_time - at), abs(now - at)) <= TOLERANCE:
                    right.append(at)
                continue
            clock = self._heard(reception.gateway, source, now - at, now)
            if abs(clock.lag) <= TOLERANCE:
                right.append(at)
            elif clock.is_known(now):
                put_right.append(at + clock.lag)
            elif clock.lag > TOLERANCE:
                unknown.append(at)
        return next(chain(right, by_server, put_right, unknown), _plausible(otherwise, now) or now)

    def _heard(self, gateway: str, source: Source, lag: timedelta, now: datetime) -> _GatewayClock:
        clock = self._clocks.pop((gateway, source), None) or _GatewayClock(lag, lag, now, lag, now)
        clock.heard(lag, now)
        if gateway:  # those without a name can not be told apart
            self._clocks[gateway, source] = clock
            _say(gateway, source, clock, now)
        if len(self._clocks) > KNOWN:
            del self._clocks[next(iter(self._clocks))]
        return clock


def _say(gateway: str, source: Source, clock: _GatewayClock, now: datetime) -> None:
    """Once that it is off, and once that it is right: by a little more than that, lest it be said often."""
    is_off = abs(clock.lag) > (TOLERANCE * 2 / 3 if clock.is_off else TOLERANCE)
    if is_off == clock.is_off or not clock.is_known(now):
        return
    clock.is_off = is_off
    event = "a gateway's clock is off" if is_off else "a gateway's clock is right again"
    seconds = round(clock.lag.total_seconds(), 1)
    log.warning(event, gateway=gateway, clock=source.value, behind=seconds)


def _plausible(at: datetime | None, now: datetime) -> datetime | None:
    """By the clock of a server."""
    return at if at is not None and now - BEHIND <= at <= now + AHEAD else None
