"""The decoder: where it completes, compared with an ideal one and with the code of real devices."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuota.lorawan.decoder import Decoder
from fuota.lorawan.matrix import parity_lines
from fuota.lorawan.parity import encode, split

DECODE = json.loads((Path(__file__).parents[1] / "vectors/decode.json").read_text())
VERSIONS = {"1.0.0": 1, "2.0.0": 2}
CASES = [
    pytest.param(case, name, id=f"{case['id']}-{name}")
    for case in DECODE["cases"]
    for name in case["results"]
]


def payload(rule: dict[str, Any]) -> bytes:
    if rule["rule"] == "affine":
        return bytes((i * rule["mul"] + rule["add"]) % 256 for i in range(rule["length"]))
    octets, x = bytearray(), rule["seed"]
    for _ in range(rule["length"]):
        x = (x * 1103515245 + 12345) % 2**31
        octets.append(x >> 16 & 255)
    return bytes(octets)


def numbers(ranges: str) -> list[int]:
    ends = [[int(end) for end in part.split("-")] for part in ranges.split(",")]
    return [n for first, *last in ends for n in range(first, (last or [first])[0] + 1)]


def fragments(block: bytes, size: int, coded: int, version: int) -> list[bytes]:
    """Fragment N at index N - 1."""
    return [row.tobytes() for row in (*split(block, size), *encode(block, size, coded, version=version))]


def rank(nb_frag: int, received: list[int], version: int) -> int:
    """Of the equations received, counted with no help from the decoder."""
    rows: dict[int, int] = {}
    for n in received:
        row = 1 << (n - 1)
        if n > nb_frag:
            row = sum(1 << c for c in parity_lines(nb_frag, n - nb_frag, 1, version)[0].nonzero()[0].tolist())
        while row and row.bit_length() in rows:
            row ^= rows[row.bit_length()]
        if row:
            rows[row.bit_length()] = row
    return len(rows)


@pytest.mark.parametrize(("case", "name"), CASES)
@pytest.mark.parametrize("in_order", [False, True])
def test_where_a_block_completes(case: dict[str, Any], name: str, in_order: bool) -> None:
    version, results = VERSIONS[name], case["results"][name]
    block, received = payload(case["payload"]), numbers(case["received"])
    sent = fragments(block, case["frag_size"], case["redundancy"], version)
    decoder = Decoder(case["nb_frag"], case["frag_size"], version=version, in_order=in_order)
    position = next((i for i, n in enumerate(received, 1) if decoder.receive(n, sent[n - 1])), None)
    if in_order:
        assert {device["ended_at_position"] for device in results["devices"].values()} == {position}
        assert all(device["block_correct"] is decoder.complete for device in results["devices"].values())
    else:
        assert position == results["ideal_completes_at_position"]
    assert decoder.nb_received == (position or len(received))
    if position:
        assert decoder.block()[: len(block)] == block
        assert not any(decoder.block()[len(block) :])


@given(
    block=st.binary(min_size=1, max_size=600),
    size=st.integers(1, 20),
    version=st.sampled_from([1, 2]),
    order=st.randoms(use_true_random=False),
    loss=st.floats(0, 1),
)
def test_it_completes_exactly_when_the_rank_suffices(
    block: bytes, size: int, version: int, order: random.Random, loss: float
) -> None:
    sent = fragments(block, size, 20, version)
    received = [n for n in range(1, len(sent) + 1) if order.random() >= loss]
    received += order.choices(received, k=5) if received else []
    order.shuffle(received)
    nb_frag = len(sent) - 20
    decoder = Decoder(nb_frag, size, version=version)
    for i, n in enumerate(received, 1):
        decoder.receive(n, sent[n - 1])
        assert decoder.missing == nb_frag - rank(nb_frag, received[:i], version)
    if decoder.complete:
        assert decoder.block() == b"".join(sent[:nb_frag])


def test_what_comes_after_completion_changes_nothing() -> None:
    decoder = Decoder(2, 1)
    assert [decoder.receive(n, fragment) for n, fragment in [(2, b"b"), (1, b"a"), (1, b"x"), (3, b"y")]] == [
        False,
        True,
        True,
        True,
    ]
    assert (decoder.block(), decoder.nb_received) == (b"ab", 4)


def test_a_repeated_equation_is_worth_nothing() -> None:
    decoder = Decoder(2, 1)
    column = parity_lines(2, 1, 1)[0].argmax()
    for _ in range(3):
        decoder.receive(3, b"\0")
        assert decoder.missing == 1
    assert decoder.receive(2 - int(column), b"z")
    assert decoder.block() == (b"\0z" if column == 0 else b"z\0")


@pytest.mark.parametrize(
    ("n", "fragment", "message"),
    [
        (0, b"ab", "n: 1 to 16383, not 0"),
        (16384, b"ab", "n: 1 to 16383, not 16384"),
        (1, b"a", "fragment 1: 2 octets, not 1"),
        (9, b"abc", "fragment 9: 2 octets, not 3"),
    ],
)
def test_what_can_not_be_received(n: int, fragment: bytes, message: str) -> None:
    decoder = Decoder(4, 2)
    with pytest.raises(ValueError, match=f"^{message}$"):
        decoder.receive(n, fragment)
    assert (decoder.nb_received, decoder.missing) == (0, 4)


def test_no_block_before_it_is_complete() -> None:
    decoder = Decoder(3, 2)
    decoder.receive(3, b"ef")
    with pytest.raises(ValueError, match="block: 2 more fragments are needed"):
        decoder.block()
