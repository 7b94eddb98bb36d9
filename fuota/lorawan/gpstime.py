"""GPS time, in which the packages say when (TS003 section 3, TS005 section 3).

GPS seconds count from 1980-01-06 00:00:00 UTC and do not stop for leap seconds; on the wire they are
taken modulo 2^32, which first matters in February 2116.
"""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1980, 1, 6, tzinfo=UTC)

LEAP_SECONDS = tuple(
    datetime(year, month, 1, tzinfo=UTC)
    for year, month in (
        *((1981, 7), (1982, 7), (1983, 7), (1985, 7), (1988, 1), (1990, 1), (1991, 1), (1992, 7), (1993, 7)),
        *((1994, 7), (1996, 1), (1997, 7), (1999, 1), (2006, 1), (2009, 1), (2012, 7), (2015, 7), (2017, 1)),
    )
)
"""The instants that came right after a leap second (IERS Bulletin C); the next one is not announced."""

_SECOND = timedelta(seconds=1)
_BEACON_PERIOD = 128
_LEAPS = tuple((instant - EPOCH) // _SECOND + inserted for inserted, instant in enumerate(LEAP_SECONDS, 1))


def gps_seconds(at: datetime) -> int:
    """Whole GPS seconds at this instant, modulo 2^32; `ValueError` if it has no time zone."""
    return _count(at) % 2**32


def utc(seconds: int) -> datetime:
    """The instant of these GPS seconds, counted from 1980 even if they no longer fit 32 bits.

    UTC has no name here for an inserted second: it is given that of the second after it.
    """
    return EPOCH + timedelta(seconds=seconds - bisect_right(_LEAPS, seconds))


def next_beacon(at: datetime) -> datetime:
    """The first class B beacon at this instant or after it (TS001 section 13: GPS seconds divisible by 128).

    A beacon in an inserted second is passed over, for no `datetime` can say it.
    """
    whole = at if at.microsecond == 0 else at.replace(microsecond=0) + _SECOND
    seconds = -(-_count(whole) // _BEACON_PERIOD) * _BEACON_PERIOD
    beacon = utc(seconds)
    return beacon if _count(beacon) == seconds else utc(seconds + _BEACON_PERIOD)


def _count(at: datetime) -> int:
    if at.tzinfo is None:
        raise ValueError(f"wanted an instant with a time zone, got {at.isoformat()}")
    return (at - EPOCH) // _SECOND + bisect_right(LEAP_SECONDS, at)
