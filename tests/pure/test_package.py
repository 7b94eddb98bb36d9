"""What holds for every command, package and version; strategies come from the declarations."""

from typing import Any

import attrs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fuota.lorawan import clocksync, firmware, fragmentation, multicast
from fuota.lorawan.kinds import Number, Octets, Records, Signed
from fuota.lorawan.package import Command, Package, PackageVersionAns
from fuota.lorawan.wire import ROW, Direction, Row, Unreadable, Unwritable

PACKAGES = (clocksync.package, fragmentation.package, multicast.package, firmware.package)
WAYS: list[tuple[Package, Direction, int]] = [
    (package, direction, version)
    for package in PACKAGES
    for version in package.versions
    for direction in ("up", "down")
]
DIALECTS = [
    (package, version, cls) for package, way, version in WAYS for cls in package.commands(way, version)
]

FRAGMENT = fragmentation.DataFragment(n=1, frag_index=0, data=bytes(3))


def values(row: Row, seen: dict[str, Any]) -> st.SearchStrategy[Any]:
    match row.kind:
        case Number(_, least, most, unit, make):
            return st.integers(-(-least // unit), most // unit).map(lambda steps: make(steps * unit))
        case Signed(bits):
            return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)
        case Octets(None):
            return st.binary(min_size=1, max_size=240)
        case Octets(int(length)):
            return st.binary(min_size=length, max_size=length)
        case Records(layout, count):
            return st.lists(fields(layout.cls, 1), min_size=count(seen), max_size=count(seen)).map(tuple)
    raise AssertionError(f"no strategy for {row.kind}")


@st.composite
def fields(draw: st.DrawFn, cls: type[Any], version: int) -> Any:
    """An instance with every field that this version has, and the defaults of the others."""
    seen: dict[str, Any] = {}
    for field in attrs.fields(cls):
        row: Row = field.metadata[ROW]
        if version >= max(row.since, row.live) and (row.when is None or row.when(seen)):
            seen[field.name] = draw(values(row, seen))
        else:
            seen[field.name] = field.default
    return cls(**seen)


def belonging(command: Command, package: Package) -> Command:
    """A PackageVersionAns speaks of the package it comes in."""
    if isinstance(command, PackageVersionAns):
        return PackageVersionAns(
            package_identifier=package.identifier, package_version=command.package_version
        )
    return command


@st.composite
def commands(draw: st.DrawFn, package: Package, direction: Direction, version: int) -> Command:
    cls = draw(st.sampled_from(package.commands(direction, version)))
    command: Command = draw(fields(cls, version))
    return belonging(command, package)


@pytest.mark.parametrize(
    ("package", "version", "cls"), DIALECTS, ids=lambda it: getattr(it, "__name__", None)
)
@settings(max_examples=50)
@given(data=st.data())
def test_every_command_is_read_as_it_was_written(
    package: Package, version: int, cls: type[Command], data: st.DataObject
) -> None:
    command = belonging(data.draw(fields(cls, version)), package)
    payload = package.write(command, version=version)
    assert payload[0] == cls.cid
    assert package.read(cls.direction, payload, version).whole() == (command,)


@given(st.data())
def test_commands_stay_apart_in_one_payload(data: st.DataObject) -> None:
    package, direction, version = data.draw(st.sampled_from(WAYS))
    some = data.draw(st.lists(commands(package, direction, version), min_size=1, max_size=4))
    assume(not any(command.alone for command in some))
    payload = package.write(*some, version=version)
    assert package.read(direction, payload, version).whole() == tuple(some)


@given(st.data())
def test_what_was_read_before_the_end_is_kept(data: st.DataObject) -> None:
    package, direction, version = data.draw(st.sampled_from(WAYS))
    first = data.draw(commands(package, direction, version))
    second = data.draw(commands(package, direction, version))
    assume(not first.alone and getattr(first, "session_does_not_exist", False) is False)
    head = package.write(first, version=version)
    tail = package.write(second, version=version)
    cut = data.draw(st.integers(0, len(tail) - 1))
    reading = package.read(direction, head + tail[:cut], version)
    assert reading.commands[0] == first
    if cut == 0:
        assert reading.error is None
    elif not second.alone:
        assert reading.commands == (first,)
        assert reading.rest == tail[:cut]
        with pytest.raises(Unreadable):
            reading.whole()


@given(st.sampled_from(WAYS), st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_with_the_one_error(
    way: tuple[Package, Direction, int], payload: bytes
) -> None:
    package, direction, version = way
    reading = package.read(direction, payload, version)
    assert payload.endswith(reading.rest)
    if reading.error is None:
        assert reading.rest == b""
        assert reading.whole() == reading.commands != ()
    else:
        assert reading.error.package == package.name
        assert reading.error.version == version
        assert reading.error.direction == direction
        with pytest.raises(Unreadable):
            reading.whole()


@given(st.sampled_from(WAYS), st.binary(max_size=60))
def test_what_was_read_says_the_same_when_it_is_written(
    way: tuple[Package, Direction, int], payload: bytes
) -> None:
    package, direction, version = way
    reading = package.read(direction, payload, version)
    for command in reading.commands:
        if getattr(command, "session_does_not_exist", False) and direction == "up":
            continue  # which of its two forms an answer has depends on what comes after it
        try:
            written = package.write(command, version=version)
        except Unwritable:
            assert isinstance(command, fragmentation.FragSessionSetupReq | fragmentation.DataFragment)
        else:
            assert package.read(direction, written, version).whole() == (command,)


@given(st.integers(0, 255))
def test_reserved_bits_are_ignored_and_written_as_zero(octet: int) -> None:
    read = multicast.package.read("up", bytes((0x02, octet)), 1).whole()
    assert multicast.package.write(*read, version=1) == bytes((0x02, octet & 0b111))


@given(st.integers(1, 240), st.binary(max_size=20))
def test_a_fragment_keeps_the_zeros_at_its_end(zeros: int, data: bytes) -> None:
    fragment = fragmentation.DataFragment(n=1, frag_index=0, data=(data + bytes(zeros))[:240])
    payload = fragmentation.package.write(fragment, version=1)
    assert payload == b"\x08\x01\x00" + fragment.data
    assert fragmentation.package.read("down", payload, 1).whole() == (fragment,)


@pytest.mark.parametrize(
    ("hex_payload", "numbers", "others"),
    [
        ("0104", (None, None, None), 0),
        ("010405", (None, None, None), 0),
        ("0106000000", (0, 0, 0), 0),
        ("0104050001", (5, 0, 1), 0),
        ("0104030006", (3, 0, 6), 0),
        ("01040500010307", (5, 0, 1), 1),
        ("01040304", (None, None, None), 1),
        ("010403040200", (None, None, None), 2),
        ("0104000302", (None, None, None), 1),
    ],
)
def test_an_answer_about_no_session_is_read_in_either_form(
    hex_payload: str, numbers: tuple[int | None, ...], others: int
) -> None:
    reading = fragmentation.package.read("up", bytes.fromhex(hex_payload), 2)
    status, *rest = reading.commands
    assert isinstance(status, fragmentation.FragSessionStatusAns)
    assert status.session_does_not_exist
    assert (status.nb_frag_received, status.frag_index, status.missing_frag) == numbers
    assert len(rest) == others


def test_what_version_1_does_not_have_is_left_out_of_it() -> None:
    setup: Any = fragmentation.FragSessionSetupReq(
        mc_group_bit_mask=1,
        frag_index=0,
        nb_frag=9,
        frag_size=8,
        block_ack_delay=0,
        frag_algo=0,
        ack_reception=True,
        padding=3,
        descriptor=b"abcd",
        session_cnt=7,
        mic=b"wxyz",
    )
    first = fragmentation.package.write(setup, version=1)
    assert first.hex() == "0201090008000361626364"
    assert fragmentation.package.read("down", first, 1).whole() == (
        attrs.evolve(setup, ack_reception=False, session_cnt=None, mic=None),
    )
    assert fragmentation.package.write(setup, version=2).hex() == "020109000840036162636407007778797a"
