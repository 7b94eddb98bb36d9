import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuota.lorawan.airtime import (
    CHANNEL_PLANS,
    FSK,
    LoRa,
    Modulation,
    max_payload,
    modulation,
    time_on_air,
)
from fuota.lorawan.region import Region

FOLDER = Path(__file__).parents[1] / "vectors"
CASES = json.loads((FOLDER / "airtime.json").read_text())["cases"]
TABLES = json.loads((FOLDER / "regions.json").read_text())["regions"]

DOWNLINKS = {
    "EU868": 869_525_000,
    "US915": 923_300_000,
    "AU915": 927_500_000,
    "AS923": 923_200_000,
    "IN865": 866_550_000,
    "KR920": 921_900_000,
    "RU864": 869_100_000,
    "CN470": 505_300_000,
    "CN779": 786_000_000,
    "EU433": 434_665_000,
    "ISM2400": 2_423_000_000,
}
"""A frequency of each region that its devices are reached on."""


def named(modulation: Modulation) -> str:
    match modulation:
        case LoRa(spreading_factor, bandwidth):
            return f"SF{spreading_factor} BW{bandwidth / 1000:g}"
        case FSK(bit_rate):
            return f"FSK {bit_rate // 1000} kbit/s"


def test_time_on_air_as_the_device_stacks_compute_it() -> None:
    assert len(CASES) == 100
    for case in CASES:
        lora = LoRa(case["sf"], case["bandwidth_hz"])
        taken = time_on_air(lora, case["phy_payload_octets"], crc=case["payload_crc"])
        assert taken == timedelta(microseconds=case["time_on_air_us"]), case


def test_time_on_air_of_fsk_is_that_of_its_bits() -> None:
    assert time_on_air(FSK(50_000), 13) == timedelta(seconds=24 * 8 / 50_000)


@given(
    st.sampled_from([LoRa(7, 125_000), LoRa(12, 125_000), LoRa(5, 812_500), FSK(50_000)]), st.integers(1, 254)
)
def test_more_octets_never_take_less_time(rate: Modulation, octets: int) -> None:
    assert timedelta(0) < time_on_air(rate, octets) <= time_on_air(rate, octets + 1)


def test_every_region_is_there() -> None:
    assert set(CHANNEL_PLANS) == set(Region)
    assert {region.value for region in Region if "_" not in region.value} == {
        table["region"] for table in TABLES
    }
    for other in (Region.AS923_2, Region.AS923_3, Region.AS923_4):
        assert CHANNEL_PLANS[other] == CHANNEL_PLANS[Region.AS923]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table["region"])
def test_a_region_is_as_the_stacks_have_it(table: dict[str, Any]) -> None:
    plan = CHANNEL_PLANS[Region(table["region"])]
    assert plan.low <= DOWNLINKS[table["region"]] <= plan.high
    assert {dr: (named(rate), n) for dr, (rate, n) in plan.data_rates.items()} == {
        row["dr"]: (row["modulation"], max(n for n in row["n"].values() if n is not None))
        for row in table["data_rates"]
    }


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table["region"])
def test_what_a_region_carries_is_never_refused(table: dict[str, Any]) -> None:
    frequency = DOWNLINKS[table["region"]]
    for row in table["data_rates"]:
        largest, rate = max_payload(frequency, row["dr"]), modulation(frequency, row["dr"])
        assert largest is not None
        assert rate is not None
        assert largest >= row["n_no_repeater"]
        assert named(rate) == row["modulation"]
        known = Region(table["region"])
        assert max_payload(frequency, row["dr"], known) == max(n for n in row["n"].values() if n is not None)
        assert modulation(frequency, row["dr"], known) == rate


def test_regions_that_share_a_band_share_the_modulation() -> None:
    for plan in CHANNEL_PLANS.values():
        for other in CHANNEL_PLANS.values():
            if plan.low <= other.high and other.low <= plan.high:
                for dr in plan.data_rates.keys() & other.data_rates.keys():
                    assert plan.data_rates[dr][0] == other.data_rates[dr][0]


@pytest.mark.parametrize(
    ("frequency", "dr", "largest", "rate"),
    [
        (868_100_000, 0, 51, LoRa(12, 125_000)),
        (868_100_000, 3, 115, LoRa(9, 125_000)),
        (868_100_000, 5, 242, LoRa(7, 125_000)),
        (868_100_000, 8, None, None),
        (923_300_000, 8, 53, LoRa(12, 500_000)),
        (923_300_000, 2, 115, LoRa(10, 125_000)),
        (903_900_000, 2, None, None),
        (500_300_000, 0, 0, LoRa(12, 125_000)),
        (0, 0, 51, LoRa(12, 125_000)),
        (0, 13, 242, LoRa(7, 500_000)),
        (0, 14, None, None),
        (100_000_000, 0, None, None),
    ],
)
def test_bounds(frequency: int, dr: int, largest: int | None, rate: Modulation | None) -> None:
    assert max_payload(frequency, dr) == largest
    assert modulation(frequency, dr) == rate
