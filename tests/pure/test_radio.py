"""Ping slots and pauses."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuota.deployment.plan import MulticastClass
from fuota.lorawan.gpstime import gps_seconds
from fuota.simulation.radio import BEACON_RESERVED, SLOT, Channel, Radio, next_slot

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BEACON = NOON - timedelta(seconds=gps_seconds(NOON) % 128)
MC_ADDR = 0x00FF0102


@pytest.mark.parametrize("periodicity", range(8))
def test_there_are_as_many_slots_in_a_beacon_period_as_the_periodicity_says(periodicity: int) -> None:
    slots = []
    at = BEACON
    while (at := next_slot(MC_ADDR, periodicity, at)) < BEACON + timedelta(seconds=128):
        slots.append(at)
        at += timedelta(microseconds=1)
    assert len(slots) == 2 ** (7 - periodicity)
    assert all(later - earlier == SLOT * 2 ** (5 + periodicity) for earlier, later in pairwise(slots))
    assert slots[0] >= BEACON + BEACON_RESERVED
    assert slots[-1] <= BEACON + BEACON_RESERVED + 4095 * SLOT


@given(st.integers(0, 2**32 - 1), st.integers(0, 7), st.timedeltas(timedelta(0), timedelta(days=300)))
def test_the_next_slot_is_the_next(mc_addr: int, periodicity: int, later: timedelta) -> None:
    slot = next_slot(mc_addr, periodicity, NOON + later)
    assert timedelta(0) <= slot - (NOON + later) < timedelta(seconds=2 * 128)
    assert next_slot(mc_addr, periodicity, slot) == slot


def test_slots_of_different_groups_lie_apart() -> None:
    assert len({next_slot(mc_addr, 7, BEACON) for mc_addr in range(20)}) > 15


def test_a_class_c_frame_is_followed_after_its_time_on_air() -> None:
    channel = Channel(MulticastClass.C, 869_525_000, 5, 0)
    assert Radio().pause(channel, bytes(64)) == timedelta(microseconds=118_016)
    assert Radio(fragment_interval=timedelta(seconds=2)).pause(channel, bytes(64)) == timedelta(seconds=2)
