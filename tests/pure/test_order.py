"""What is refused, and in which words."""

from datetime import timedelta
from hashlib import sha256
from typing import Any

import attrs
import pytest

from fuota.deployment.order import InvalidOrder, Order, OrderedDevice, Problem, plan
from fuota.deployment.plan import MulticastClass, StatusRequest
from fuota.lorawan.region import Region

ORDER = Order(
    application_id="1",
    devices=[OrderedDevice(bytes(range(8)), bytes(16)), OrderedDevice(bytes(range(1, 9)), bytes(16))],
    multicast_group_type=MulticastClass.C,
    multicast_dr=5,
    multicast_periodicity=0,
    multicast_frequency=868_100_000,
    multicast_group_id=0,
    multicast_timeout=6,
    unicast_timeout=timedelta(seconds=60),
    unicast_attempt_count=1,
    fragmentation_fragment_size=50,
    payload=bytes(1001),
    fragmentation_redundancy=5,
    fragmentation_session_index=0,
    fragmentation_matrix=0,
    fragmentation_block_ack_delay=1,
    fragmentation_descriptor=bytes([1, 2, 3, 4]),
    request_fragmentation_session_status=StatusRequest.AFTER_SESSION_TIMEOUT,
)


def test_a_good_order_becomes_a_plan() -> None:
    made = plan(ORDER, mc_addr=0x01020304)
    assert (made.nb_frag, made.padding, made.fragments) == (21, 49, 26)
    assert made.firmware_sha256 == sha256(bytes(1001)).digest()
    assert made.window == timedelta(seconds=64)


def test_an_empty_descriptor_is_four_zeros() -> None:
    assert plan(attrs.evolve(ORDER, fragmentation_descriptor=b""), mc_addr=0).descriptor == bytes(4)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("devices", {"devices": []}),
        ("devices[1].dev_eui", {"devices": [ORDER.devices[0], OrderedDevice(bytes(7), bytes(16))]}),
        ("devices[0].mc_root_key", {"devices": [OrderedDevice(bytes(8), bytes(15))]}),
        ("devices[2].dev_eui", {"devices": [*ORDER.devices, ORDER.devices[0]]}),
        ("multicast_group_type", {"multicast_group_type": None}),
        ("multicast_dr", {"multicast_dr": 16}),
        ("multicast_frequency", {"multicast_frequency": 868_100_050}),
        ("multicast_frequency", {"multicast_frequency": 0}),
        ("multicast_frequency", {"multicast_frequency": 2_403_000_000}),
        ("multicast_group_id", {"multicast_group_id": 4}),
        ("multicast_timeout", {"multicast_timeout": 16}),
        ("unicast_timeout", {"unicast_timeout": timedelta(0)}),
        ("unicast_timeout", {"unicast_timeout": timedelta(seconds=-1)}),
        ("unicast_attempt_count", {"unicast_attempt_count": 0}),
        ("fragmentation_fragment_size", {"fragmentation_fragment_size": 0}),
        ("fragmentation_fragment_size", {"fragmentation_fragment_size": 256}),
        ("payload", {"payload": b""}),
        ("fragmentation_session_index", {"fragmentation_session_index": 4}),
        ("fragmentation_matrix", {"fragmentation_matrix": 1}),
        ("fragmentation_block_ack_delay", {"fragmentation_block_ack_delay": 8}),
        ("fragmentation_descriptor", {"fragmentation_descriptor": bytes(3)}),
        ("class_c_scheduling_type", {"class_c_scheduling": None}),
        ("gateway_ids[1]", {"gateways": [bytes(8), bytes(7)]}),
        ("gateway_ids[2]", {"gateways": [bytes(8), bytes([1] * 8), bytes(8)]}),
        ("request_fragmentation_session_status", {"request_fragmentation_session_status": None}),
    ],
)
def test_each_bad_field_is_named(field: str, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidOrder) as caught:
        plan(attrs.evolve(ORDER, **change), mc_addr=0)
    assert [problem.field for problem in caught.value.problems] == [field]
    assert field in str(caught.value)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    bad = attrs.evolve(ORDER, multicast_dr=99, payload=b"", multicast_group_id=7)
    with pytest.raises(InvalidOrder) as caught:
        plan(bad, mc_addr=0, more=[Problem("application_id", "is 0")])
    assert {problem.field for problem in caught.value.problems} == {
        "application_id",
        "multicast_dr",
        "payload",
        "multicast_group_id",
    }


@pytest.mark.parametrize(
    ("field", "numbers", "change"),
    [
        (
            "payload",
            "20000",
            {"payload": bytes(20_000), "fragmentation_fragment_size": 1, "multicast_timeout": 15},
        ),
        (
            "fragmentation_redundancy",
            "16384",
            {"payload": bytes(16_000), "fragmentation_fragment_size": 1, "fragmentation_redundancy": 384},
        ),
        ("fragmentation_fragment_size", "48", {"multicast_dr": 0}),
        ("multicast_timeout", "1 s", {"multicast_timeout": 0}),
        (
            "unicast_attempt_count",
            "194 days",
            {"unicast_attempt_count": 7, "unicast_timeout": timedelta(days=30)},
        ),
        ("multicast_dr", "0 to 7", {"multicast_region": Region.EU868, "multicast_dr": 8}),
        ("multicast_dr", "8 to 13", {"multicast_region": Region.US915, "multicast_frequency": 923_300_000}),
        ("multicast_frequency", "902 to 928 MHz", {"multicast_region": Region.US915, "multicast_dr": 8}),
        (
            "fragmentation_fragment_size",
            "112",
            {
                "multicast_region": Region.KR920,
                "multicast_frequency": 921_900_000,
                "multicast_dr": 3,
                "fragmentation_fragment_size": 113,
            },
        ),
    ],
)
def test_an_impossible_plan_is_refused_with_numbers(field: str, numbers: str, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidOrder) as caught:
        plan(attrs.evolve(ORDER, **change), mc_addr=0)
    problems = {problem.field: problem.text for problem in caught.value.problems}
    assert field in problems
    assert numbers in problems[field]


def test_a_region_decides_what_its_frequency_alone_does_not() -> None:
    """At 923.3 MHz data rate 2 carries 115 octets in AS923, and 51 in KR920."""
    order = attrs.evolve(
        ORDER, multicast_frequency=923_300_000, multicast_dr=2, fragmentation_fragment_size=112
    )
    for region in (None, Region.AS923, Region.AS923_2, Region.AS923_3, Region.AS923_4):
        assert plan(attrs.evolve(order, multicast_region=region), mc_addr=0).region is region
    with pytest.raises(InvalidOrder, match="at most 48"):
        plan(attrs.evolve(order, multicast_region=Region.KR920), mc_addr=0)


def test_in_class_b_the_channels_may_be_left_to_the_region() -> None:
    in_b = attrs.evolve(
        ORDER, multicast_group_type=MulticastClass.B, multicast_frequency=0, multicast_region=Region.IN865
    )
    assert plan(in_b, mc_addr=0).frequency == 0
    with pytest.raises(InvalidOrder, match="at most 48"):
        plan(attrs.evolve(in_b, multicast_dr=2), mc_addr=0)


def test_class_b_has_so_many_ping_slots() -> None:
    in_b = attrs.evolve(ORDER, multicast_group_type=MulticastClass.B, multicast_frequency=0)
    assert plan(attrs.evolve(in_b, multicast_periodicity=7, multicast_timeout=5), mc_addr=0).fragments <= 32
    for time_out, opens in ((4, "16 ping slots in 2048 s"), (0, "1 ping slot in 128 s")):
        with pytest.raises(InvalidOrder) as caught:
            plan(attrs.evolve(in_b, multicast_periodicity=7, multicast_timeout=time_out), mc_addr=0)
        (problem,) = caught.value.problems
        needed = "26 fragments need one each; it must be at least 5"
        assert problem == Problem("multicast_timeout", f"{time_out} opens {opens}; {needed}")


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("0 opens a window of 1 s; 26 fragments are 3.1 s on air; it must be at least 2", {}),
        (
            "0 opens a window of 1 s; 1 fragment is 2.5 s on air; it must be at least 2",
            {
                "payload": bytes(40),
                "fragmentation_fragment_size": 40,
                "fragmentation_redundancy": 0,
                "multicast_dr": 0,
            },
        ),
        (
            "15 opens a window of 32768 s; 16005 fragments are 39465.0 s on air; "
            "not even 15 would do: the image is too large for the data rate",
            {
                "payload": bytes(640_000),
                "fragmentation_fragment_size": 40,
                "multicast_dr": 0,
                "multicast_timeout": 15,
            },
        ),
    ],
)
def test_a_window_that_is_too_short_is_told_which_would_do(text: str, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidOrder) as caught:
        plan(attrs.evolve(ORDER, **{"multicast_timeout": 0, **change}), mc_addr=0)
    assert Problem("multicast_timeout", text) in caught.value.problems


def test_keys_and_firmware_are_not_shown() -> None:
    assert "mc_root_key" not in repr(ORDER)
    assert "payload" not in repr(ORDER)
