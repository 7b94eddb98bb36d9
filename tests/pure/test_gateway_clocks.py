"""What gateways' clocks are off by is learned from how late their uplinks seem to be."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from structlog.testing import capture_logs

from fuota.integration.gateway_clocks import KNOWN, LATELY, STEADY, TOLERANCE, GatewayClocks, Reception

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
GATEWAY, OTHER = "0016c001ff10a235", "0016c001ff10a236"
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
WAY = 0.2 * SECOND
"""From a gateway to us."""


def heard(
    clocks: GatewayClocks, at: datetime, off: timedelta, *, late: timedelta = WAY, gateway: str = GATEWAY
) -> timedelta:
    """By how much an uplink that was received at `at` is dated wrongly."""
    return clocks.received_at([Reception(gateway, None, at + off)], None, at + late) - at


def after(seconds: Iterable[float]) -> list[datetime]:
    return [NOW + each * SECOND for each in seconds]


@pytest.mark.parametrize("off", [-23 * HOUR, -HOUR, -60 * SECOND, -30 * SECOND, -4 * SECOND])
def test_a_clock_that_is_behind_is_known_after_a_few_seconds(off: timedelta) -> None:
    clocks = GatewayClocks()
    assert heard(clocks, NOW, off) == off, "one uplink may be late"
    assert heard(clocks, NOW + SECOND, off) == off
    for at in after([4, 5, 70, 200, 5000, 5001]):
        assert heard(clocks, at, off) == WAY
    assert heard(clocks, NOW + 5002 * SECOND, off, late=HOUR) == WAY, "by this gateway's clock it is late"


@pytest.mark.parametrize("off", [4 * SECOND, 60 * SECOND, HOUR])
def test_a_clock_that_is_ahead_is_never_believed(off: timedelta) -> None:
    clocks = GatewayClocks()
    for at in after([0, 1, 70]):
        assert heard(clocks, at, off) == WAY


@pytest.mark.parametrize("off", [-2.5 * SECOND, 0 * SECOND, 2.5 * SECOND])
def test_one_that_is_off_by_little_is_believed(off: timedelta) -> None:
    clocks = GatewayClocks()
    for at in after(range(0, 300, 7)):
        assert heard(clocks, at, off) == off


def test_what_is_late_through_a_gateway_whose_clock_is_right_keeps_its_date() -> None:
    clocks = GatewayClocks()
    heard(clocks, NOW, 0 * SECOND)
    for late in (4 * SECOND, 60 * SECOND, 3 * HOUR):
        assert heard(clocks, NOW + 10 * SECOND, 0 * SECOND, late=late) == timedelta(0)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("spacing", [0.5, 10, 120])
@pytest.mark.parametrize("pace", [0.01, 0.1])
def test_what_a_gateway_has_kept_for_hours_keeps_its_date(known: bool, spacing: float, pace: float) -> None:
    """It comes at once when the gateway is on line again, also if that is the first that is heard of it."""
    clocks = GatewayClocks()
    if known:
        heard(clocks, NOW - HOUR, 0 * SECOND)
    online = NOW + 3 * HOUR
    kept = after(each * spacing for each in range(int(10_000 / spacing)))
    for place, at in enumerate(kept):
        comes = online + min(spacing * pace, pace) * place * SECOND
        assert heard(clocks, at, 0 * SECOND, late=comes - at) == timedelta(0)


def test_the_process_was_suspended() -> None:
    """What came meanwhile is read at once when it wakes up."""
    clocks = GatewayClocks()
    for at in after([0, 50]):
        heard(clocks, at, 0 * SECOND)
    woken = NOW + 300 * SECOND
    for at in after(range(100, 290, 10)):
        assert heard(clocks, at, 0 * SECOND, late=woken - at) == timedelta(0)
    assert heard(clocks, woken, 0 * SECOND) == timedelta(0)


@pytest.mark.parametrize("interval", [1, 20, 50])
@pytest.mark.parametrize("before", [0, -HOUR.total_seconds(), 40])
@pytest.mark.parametrize("then", [0, -60, -HOUR.total_seconds(), 40])
def test_a_clock_that_is_set_is_noticed_within_two_minutes_of_uplinks(
    before: float, then: float, interval: int
) -> None:
    clocks = GatewayClocks()
    for at in after(range(0, 500, interval)):
        heard(clocks, at, before * SECOND)
    set_at = NOW + 500 * SECOND
    for seconds in range(0, 600, interval):
        wrong = heard(clocks, set_at + seconds * SECOND, then * SECOND)
        known = seconds * SECOND > 2 * LATELY + interval * SECOND + STEADY
        assert not known or abs(wrong) <= TOLERANCE, seconds


def test_the_way_is_not_always_as_quick() -> None:
    clocks, random = GatewayClocks(), Random(1)
    ways = [(at, random.choice([0.1, 0.5, 2, 9]) * SECOND) for at in after(range(600))]
    for at, late in sorted(ways, key=sum_of):
        wrong = heard(clocks, at, -HOUR, late=late)
        assert at < NOW + 30 * SECOND or timedelta(0) <= wrong <= SECOND


def sum_of(way: tuple[datetime, timedelta]) -> datetime:
    return way[0] + way[1]


def test_one_that_waited_first_does_not_count_for_the_clock() -> None:
    clocks = GatewayClocks()
    assert heard(clocks, NOW, 0 * SECOND, late=8 * SECOND) == timedelta(0)
    assert heard(clocks, NOW + 9 * SECOND, 0 * SECOND) == timedelta(0)
    assert heard(clocks, NOW + 20 * SECOND, 0 * SECOND, late=8 * SECOND) == timedelta(0)


def test_a_gateway_whose_clock_is_right_is_preferred() -> None:
    clocks = GatewayClocks()
    for at in after([0, 5]):
        heard(clocks, at, -60 * SECOND)
        heard(clocks, at, 0 * SECOND, gateway=OTHER)
    at = NOW + 10 * SECOND
    both = [Reception(GATEWAY, None, at - 60 * SECOND), Reception(OTHER, None, at)]
    new = Reception("0016c001ff10a237", None, at - 600 * SECOND)
    assert clocks.received_at([new, *both], None, at + WAY) == at
    assert clocks.received_at([new, both[0]], None, at + WAY) == at + WAY, "known to be off, before not known"


def test_a_gateways_gps_and_its_other_clock_are_two() -> None:
    clocks = GatewayClocks()
    for at in after([0, 5, 10]):
        told = Reception(GATEWAY, at, at - 60 * SECOND)
        assert clocks.received_at([told], None, at + WAY) == at
    assert heard(clocks, NOW + 15 * SECOND, -60 * SECOND) == WAY, "without its GPS"


@pytest.mark.parametrize("off", [-HOUR, -4 * SECOND, 4 * SECOND, HOUR])
def test_the_network_servers_clock_is_asked_where_it_is_told(off: timedelta) -> None:
    at, by_server = NOW, NOW + 0.1 * SECOND
    told = Reception(GATEWAY, None, at + off, by_server)
    assert GatewayClocks().received_at([told], None, NOW + 0.5 * SECOND) == by_server
    gps = Reception(GATEWAY, at + off, at, by_server)
    assert GatewayClocks().received_at([gps], None, NOW + 0.5 * SECOND) == at, (
        "one of the gateway's two is right"
    )
    little = Reception(GATEWAY, None, at - 2 * SECOND, by_server)
    assert GatewayClocks().received_at([little], None, NOW + 0.5 * SECOND) == at - 2 * SECOND
    by_one_that_is_off = Reception(GATEWAY, None, at, NOW - 60 * SECOND)
    assert GatewayClocks().received_at([by_one_that_is_off], None, NOW + 0.5 * SECOND) == at
    absurd = Reception(GATEWAY, None, at, datetime(1970, 1, 1, tzinfo=UTC))
    assert GatewayClocks().received_at([absurd], None, NOW + 0.5 * SECOND) == at


def test_gateways_without_a_name_are_not_taken_for_one() -> None:
    clocks = GatewayClocks()
    for at in after([0, 5, 10]):
        assert heard(clocks, at, -60 * SECOND, gateway="") == -60 * SECOND


def test_what_is_remembered_is_bounded_and_those_that_are_heard_stay() -> None:
    clocks = GatewayClocks()
    for number in range(2 * KNOWN):
        heard(clocks, NOW, 0 * SECOND, gateway=f"{number:016x}")
        if number % 1000 == 0:
            heard(clocks, NOW + number / 1000 * SECOND, -60 * SECOND)
    assert len(clocks._clocks) == KNOWN
    assert heard(clocks, NOW + 60 * SECOND, -60 * SECOND) == WAY


def test_it_is_said_once() -> None:
    clocks = GatewayClocks()
    with capture_logs() as said:
        for at in after(range(0, 300, 5)):
            heard(clocks, at, -60 * SECOND)
        for at in after(range(300, 600, 5)):
            heard(clocks, at, 0 * SECOND)
    assert [(each["event"], each["log_level"], each["behind"]) for each in said] == [
        ("a gateway's clock is off", "warning", 60.2),
        ("a gateway's clock is right again", "warning", 0.2),
    ]
    assert {(each["gateway"], each["clock"]) for each in said} == {(GATEWAY, "system")}


def test_one_that_is_off_by_just_what_is_tolerated_is_not_spoken_of_all_the_time() -> None:
    clocks, random = GatewayClocks(), Random(2)
    with capture_logs() as said:
        for at in after(range(0, 6000, 5)):
            heard(clocks, at, -2.8 * SECOND, late=random.uniform(0.05, 0.6) * SECOND)
    assert len(said) <= 1
