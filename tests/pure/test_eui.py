import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuota.lorawan.eui import EUI64


def test_it_is_printed_as_sixteen_lower_case_digits() -> None:
    eui = EUI64.parse("70B3D57ED0001234")
    assert str(eui) == "70b3d57ed0001234"
    assert eui.octets == bytes.fromhex("70b3d57ed0001234")
    assert repr(eui) == "EUI64(70b3d57ed0001234)"


@given(st.binary(min_size=8, max_size=8))
def test_text_and_octets_say_the_same(octets: bytes) -> None:
    eui = EUI64(octets)
    assert EUI64.parse(str(eui)) == eui
    assert EUI64.parse(str(eui).upper()) == eui
    assert hash(EUI64.parse(str(eui))) == hash(eui)


@given(st.lists(st.binary(min_size=8, max_size=8)))
def test_the_order_is_that_of_the_numbers(octets: list[bytes]) -> None:
    assert [eui.octets for eui in sorted(map(EUI64, octets))] == sorted(octets)
    assert all(EUI64(a) <= EUI64(b) for a, b in zip(sorted(octets), sorted(octets)[1:], strict=False))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "70b3d57ed000123",
        "70b3d57ed00012345",
        "70b3d57ed000123g",
        "70-b3-d5-7e-d0-00",
        "70 b3 d5 7e d0 0",
        "7 0b3d57ed000123",
        " 70b3d57ed00012 ",
        "٧0b3d57ed0001234",
    ],
)
def test_other_text_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="DevEUI: wanted 16 hexadecimal digits, got"):
        EUI64.parse(text)


@pytest.mark.parametrize("octets", [b"", b"1234567", b"123456789", "12345678", 7, None])
def test_other_octets_are_refused_by_name(octets: bytes) -> None:
    with pytest.raises(ValueError, match="DevEUI: wanted 8 octets, got"):
        EUI64(octets)
