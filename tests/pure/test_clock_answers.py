"""Whoever asks for the time is told how wrong its clock is, once, and not for nothing."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuota.clock_answers import Recently, answer, time_correction
from fuota.lorawan import clocksync, gpstime
from fuota.lorawan.clocksync import AppTimeAns, AppTimeReq, DeviceAppTimePeriodicityAns
from fuota.lorawan.eui import EUI64
from fuota.lorawan.package import Command
from fuota.uplink import Uplink

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GPS = gpstime.gps_seconds(NOW)


def uplink(*commands: Command, data: bytes = b"", received_at: datetime = NOW) -> Uplink:
    octets = clocksync.package.write(*commands, version=1) if commands else data
    return Uplink(dev_eui=EUI64(bytes(8)), f_port=202, f_cnt=1, data=octets, received_at=received_at)


def asks(device_time: int, *, token: int = 0, required: bool = False) -> AppTimeReq:
    return AppTimeReq(device_time=device_time, token_req=token, ans_required=required)


def payload(of: Uplink) -> bytes | None:
    return answer(of).payload


def answers(payload: bytes | None) -> tuple[Command, ...]:
    assert payload is not None
    return clocksync.package.read("down", payload, 1).whole()


@pytest.mark.parametrize(
    ("device_time", "correction"),
    [
        (GPS, 0),
        (GPS - 5, 5),
        (GPS + 5, -5),
        (0, GPS),
        (2**32 - 1, GPS + 1),
        (GPS + 2**31, -(2**31)),
        (GPS + 2**31 + 1, 2**31 - 1),
    ],
)
def test_the_correction_is_the_difference_as_far_as_it_fits(device_time: int, correction: int) -> None:
    assert time_correction(NOW, device_time) == correction


def test_a_clock_that_was_never_set_is_right_at_once() -> None:
    """LoRaMac-node counts from 1970 then, which is before the GPS epoch."""
    device_time = (100 - 315_964_800) % 2**32
    assert (device_time + time_correction(NOW, device_time)) % 2**32 == GPS


def test_a_device_of_1980_in_2050_is_corrected_in_two_steps() -> None:
    then = datetime(2050, 1, 6, tzinfo=UTC)
    first = time_correction(then, 0)
    assert first == 2**31 - 1
    assert first + time_correction(then, first) == gpstime.gps_seconds(then)


def test_clocks_on_both_sides_of_2_to_the_32() -> None:
    wrap = gpstime.utc(2**32)
    assert gpstime.gps_seconds(wrap) == 0
    assert time_correction(wrap + timedelta(seconds=2), 2**32 - 1) == 3
    assert time_correction(wrap - timedelta(seconds=2), 1) == -3


@given(device_time=st.integers(0, 2**32 - 1), seconds=st.integers(0, 2**33))
def test_any_clock_is_right_after_two_corrections(device_time: int, seconds: int) -> None:
    at = gpstime.utc(seconds)
    for _ in range(2):
        device_time = (device_time + time_correction(at, device_time)) % 2**32
    assert time_correction(at, device_time) == 0


def test_a_right_clock_is_answered_only_when_it_wants_to_be() -> None:
    assert payload(uplink(asks(GPS))) is None
    assert answers(payload(uplink(asks(GPS, token=3, required=True)))) == (
        AppTimeAns(time_correction=0, token_ans=3),
    )


def test_whoever_asks_is_told_what_its_clock_is_corrected_by() -> None:
    assert answer(uplink(asks(GPS))).correction == 0
    assert answer(uplink(asks(GPS - 1, token=1), asks(GPS - 2, token=2))).correction == 2
    assert answer(uplink(data=b"\x02")).correction is None


def test_a_wrong_clock_is_always_answered() -> None:
    assert answers(payload(uplink(asks(GPS + 7, token=15)))) == (
        AppTimeAns(time_correction=-7, token_ans=15),
    )


def test_the_time_of_reception_counts() -> None:
    late = uplink(asks(GPS), received_at=NOW - timedelta(seconds=30))
    assert answers(payload(late)) == (AppTimeAns(time_correction=-30, token_ans=0),)


def test_every_command_of_the_uplink_is_read() -> None:
    periodicity = DeviceAppTimePeriodicityAns(not_supported=False, time=GPS)
    made = payload(uplink(periodicity, asks(GPS - 1, token=1), asks(GPS - 2, token=2)))
    assert answers(made) == (
        AppTimeAns(time_correction=1, token_ans=1),
        AppTimeAns(time_correction=2, token_ans=2),
    )


def test_what_follows_a_request_may_be_unreadable() -> None:
    data = clocksync.package.write(asks(GPS - 1), version=1) + b"\xff\x01"
    assert answers(payload(uplink(data=data))) == (AppTimeAns(time_correction=1, token_ans=0),)


@pytest.mark.parametrize("data", [b"", b"\x01", b"\xff" * 300])
def test_no_answer_to_what_is_no_request(data: bytes) -> None:
    assert payload(uplink(data=data)) is None


def test_a_repeated_uplink_is_known_for_a_minute() -> None:
    recently, one = Recently(), uplink(asks(GPS))
    assert not recently.repeated(one, 0)
    assert recently.repeated(one, 59)
    assert not recently.repeated(attrs.evolve(one, f_cnt=2), 59)
    assert not recently.repeated(one, 60)


def test_a_forgotten_uplink_is_answered_again() -> None:
    recently, one = Recently(), uplink(asks(GPS))
    assert not recently.repeated(one, 0)
    recently.forget(one)
    assert not recently.repeated(one, 1)


def test_the_memory_is_bounded() -> None:
    recently = Recently(most=3)
    for f_cnt in range(10):
        assert not recently.repeated(attrs.evolve(uplink(asks(GPS)), f_cnt=f_cnt), 0)
    assert not recently.repeated(attrs.evolve(uplink(asks(GPS)), f_cnt=0), 0)
    assert recently.repeated(attrs.evolve(uplink(asks(GPS)), f_cnt=9), 0)
