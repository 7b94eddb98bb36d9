import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuota.lorawan.gpstime import LEAP_SECONDS, gps_seconds, next_beacon, utc

CASES = json.loads((Path(__file__).parents[1] / "vectors/commands.json").read_text())["gps_time"]["cases"]

INSERTED = 46828800
"""The GPS second that was the first leap second; it is a multiple of 128 as well."""

instants = st.datetimes(datetime(1980, 1, 6), datetime(2116, 1, 1), timezones=st.just(UTC))


def test_the_golden_instants() -> None:
    assert len(CASES) == 10
    for case in CASES:
        at = datetime.fromtimestamp(case["unix"], UTC)
        assert at == datetime.fromisoformat(case["utc"])
        assert gps_seconds(at) == case["gps_seconds"]
        assert utc(case["gps_seconds"]) == datetime.fromtimestamp(case["back_to_unix"], UTC) == at
        if case["next_128_boundary"] != INSERTED:
            assert gps_seconds(next_beacon(at)) == case["next_128_boundary"]


def test_eighteen_leap_seconds_since_2017() -> None:
    assert len(LEAP_SECONDS) == 18
    assert list(LEAP_SECONDS) == sorted(set(LEAP_SECONDS))
    at = datetime(2026, 5, 1, tzinfo=UTC)
    assert gps_seconds(at) == int(at.timestamp()) - 315_964_782


@given(instants)
def test_there_and_back_loses_the_fraction_only(at: datetime) -> None:
    assert utc(gps_seconds(at)) == at.replace(microsecond=0)


@pytest.mark.parametrize("leap", LEAP_SECONDS)
def test_an_inserted_second_is_counted(leap: datetime) -> None:
    second = timedelta(seconds=1)
    assert gps_seconds(leap) == gps_seconds(leap - second) + 2
    assert utc(gps_seconds(leap) - 1) == utc(gps_seconds(leap)) == leap


@given(instants)
def test_the_next_beacon_is_never_past_and_less_than_two_periods_away(at: datetime) -> None:
    beacon = next_beacon(at)
    assert gps_seconds(beacon) % 128 == 0
    assert at <= beacon < at + timedelta(seconds=256)
    assert next_beacon(beacon) == beacon


def test_a_fraction_after_a_beacon_waits_for_the_next() -> None:
    beacon = next_beacon(datetime(2026, 5, 1, tzinfo=UTC))
    assert next_beacon(beacon + timedelta(microseconds=1)) == beacon + timedelta(seconds=128)
    assert next_beacon(beacon - timedelta(microseconds=1)) == beacon


def test_a_beacon_in_an_inserted_second_is_passed_over() -> None:
    assert gps_seconds(next_beacon(utc(INSERTED - 1))) == INSERTED + 128


def test_the_zone_does_not_matter_but_there_must_be_one() -> None:
    at = datetime(2017, 1, 1, tzinfo=UTC)
    assert gps_seconds(at.astimezone(timezone(timedelta(hours=9)))) == gps_seconds(at)
    with pytest.raises(ValueError, match="wanted an instant with a time zone, got 2017-01-01T00:00:00"):
        gps_seconds(at.replace(tzinfo=None))
    with pytest.raises(ValueError, match="time zone"):
        next_beacon(at.replace(tzinfo=None))


def test_thirty_two_bits_wrap_in_2116() -> None:
    wrap = utc(2**32)
    assert (wrap.year, wrap.month) == (2116, 2)
    assert gps_seconds(wrap) == 0
    assert gps_seconds(wrap - timedelta(seconds=1)) == 2**32 - 1
