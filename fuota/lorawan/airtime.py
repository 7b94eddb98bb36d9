"""What a data rate carries, and how long it takes: enough of the regional parameters to check a plan.

With ChirpStack v3 the region of the devices is not known, only the frequency and the data rate of a group.
The answers then are bounds: what no region on that frequency allows can not work; what one of them allows
may.
"""

from collections.abc import Mapping
from datetime import timedelta

import attrs

from fuota.lorawan.region import Region


@attrs.frozen
class LoRa:
    spreading_factor: int
    """5–12."""
    bandwidth: int
    """Hz."""


@attrs.frozen
class FSK:
    bit_rate: int
    """bit/s."""


Modulation = LoRa | FSK


@attrs.frozen
class ChannelPlan:
    """The downlinks of one region (RP002; agreed by several stacks, without a repeater)."""

    low: float
    """Hz, as `high`: downlinks lie between the two."""
    high: float
    data_rates: dict[int, tuple[Modulation, int]]
    """DR -> modulation and N, the largest FRMPayload in octets when FOpts is empty."""


def _rates(first: int, modulations: tuple[Modulation, ...], *n: int) -> dict[int, tuple[Modulation, int]]:
    return dict(enumerate(zip(modulations, n, strict=True), first))


def _lora(bandwidth: int, slowest: int, fastest: int) -> tuple[Modulation, ...]:
    return tuple(LoRa(sf, bandwidth) for sf in range(slowest, fastest - 1, -1))


_SF12_TO_7 = _lora(125_000, 12, 7)
_TO_FSK = (*_SF12_TO_7, LoRa(7, 250_000), FSK(50_000))
_COMMON = _rates(0, _TO_FSK, 51, 51, 51, 115, 242, 242, 242, 242)
_AMERICAN = _rates(8, _lora(500_000, 12, 7), 53, 129, 242, 242, 242, 242)

_ASIAN = ChannelPlan(915e6, 928e6, _rates(0, _TO_FSK, 51, 51, 115, 115, 242, 242, 242, 242))

CHANNEL_PLANS: Mapping[Region, ChannelPlan] = {
    Region.EU868: ChannelPlan(863e6, 870e6, _COMMON),
    Region.US915: ChannelPlan(902e6, 928e6, _AMERICAN),
    Region.AU915: ChannelPlan(915e6, 928e6, _AMERICAN),
    Region.AS923: _ASIAN,
    Region.AS923_2: _ASIAN,
    Region.AS923_3: _ASIAN,
    Region.AS923_4: _ASIAN,
    Region.IN865: ChannelPlan(865e6, 867e6, _COMMON),
    Region.KR920: ChannelPlan(920e6, 924e6, _rates(0, _SF12_TO_7, 51, 51, 51, 115, 242, 242)),
    Region.RU864: ChannelPlan(864e6, 870e6, _COMMON),
    Region.CN470: ChannelPlan(
        470e6,
        510e6,
        _rates(0, (*_SF12_TO_7, LoRa(7, 500_000), FSK(50_000)), 0, 23, 86, 184, 242, 242, 242, 242),
    ),
    Region.CN779: ChannelPlan(779e6, 787e6, _COMMON),
    Region.EU433: ChannelPlan(433e6, 435e6, _COMMON),
    Region.ISM2400: ChannelPlan(
        2400e6, 2484e6, _rates(0, _lora(812_500, 12, 5), 51, 115, 240, 240, 240, 240, 240, 240)
    ),
}


def max_payload(frequency: int, dr: int, region: Region | None = None) -> int | None:
    """The largest FRMPayload, in octets, that the region carries at this frequency (Hz) and data rate.

    Without a region, the largest that any carries. Frequency 0 stands for all of them (class B's default
    channels). None: no region here has both. A region's own limits (repeaters, dwell time, older editions)
    may be lower.
    """
    return max((n for _, n in _candidates(frequency, dr, region)), default=None)


def modulation(frequency: int, dr: int, region: Region | None = None) -> Modulation | None:
    """The modulation of a downlink at this frequency (Hz) and data rate; None: no region here has both.

    Regions that share a band agree; for frequency 0 it is the modulation that most regions use.
    """
    return next((modulation for modulation, _ in _candidates(frequency, dr, region)), None)


def time_on_air(modulation: Modulation, phy_payload: int, *, crc: bool = False) -> timedelta:
    """How long a frame of `phy_payload` octets (the FRMPayload's and 13 more) is on the air.

    Explicit header, coding rate 4/5; `crc` is False for LoRa downlinks and True for uplinks. From
    Semtech's formula (AN1200.13, and the SX126x data sheet for SF5 and SF6).
    """
    match modulation:
        case FSK(bit_rate):
            preamble, sync, length, check = 5, 3, 1, 2
            return timedelta(seconds=8 * (preamble + sync + length + phy_payload + check) / bit_rate)
        case LoRa(sf, bandwidth):
            short = sf < 7
            symbol = 2**sf / bandwidth
            # a symbol of 16 ms or more is sent with two bits less, against drift
            per_block = sf if symbol < 16e-3 else sf - 2
            bits = 8 * phy_payload + 16 * crc - 4 * sf + (20 if short else 28)
            blocks = -(-max(0, bits) // (4 * per_block))
            preamble_symbols = 12 + 6.25 if short else 8 + 4.25
            return timedelta(seconds=(preamble_symbols + 8 + 5 * blocks) * symbol)


def _candidates(frequency: int, dr: int, region: Region | None) -> list[tuple[Modulation, int]]:
    plans = CHANNEL_PLANS.values() if region is None else [CHANNEL_PLANS[region]]
    return [
        plan.data_rates[dr]
        for plan in plans
        if dr in plan.data_rates and (frequency == 0 or plan.low <= frequency <= plan.high)
    ]
