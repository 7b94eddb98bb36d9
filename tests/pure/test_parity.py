"""The encoder: against bytes made by other implementations, and against the letter of the specification."""

import hashlib
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuota.lorawan.matrix import MAX_FRAGMENTS, parity_lines
from fuota.lorawan.parity import encode, split

FEC = json.loads((Path(__file__).parents[1] / "vectors/fec.json").read_text())
VERSIONS = {"1.0.0": 1, "2.0.0": 2}

versions = st.sampled_from([1, 2])


def payload(rule: dict[str, Any]) -> bytes:
    if rule["rule"] == "affine":
        return bytes((i * rule["mul"] + rule["add"]) % 256 for i in range(rule["length"]))
    octets, x = bytearray(), rule["seed"]
    for _ in range(rule["length"]):
        x = (x * 1103515245 + 12345) % 2**31
        octets.append(x >> 16 & 255)
    return bytes(octets)


def states(seed: int) -> Iterator[int]:
    """The generator, by the letter."""
    while True:
        seed = seed // 2 + ((seed & 1) ^ (seed >> 5 & 1)) * 2**22
        yield seed


def line(m: int, k: int, version: int) -> list[int]:
    """The columns of a line, by the letter."""
    modulus = m + 1 if m & (m - 1) == 0 else m
    draws = (r for r in (x % modulus for x in states(1 + 1001 * k)) if r < m)
    if version == 1:
        return sorted(set(islice(draws, m // 2)))
    columns: set[int] = set()
    while len(columns) < m // 2:
        columns.add(next(draws))
    return sorted(columns)


def columns(m: int, k: int, version: int) -> list[int]:
    found: list[int] = np.flatnonzero(parity_lines(m, k, 1, version)[0]).tolist()
    return found


def sha256(fragments: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(fragments.tobytes()).hexdigest()


@pytest.mark.parametrize(
    "case", FEC["encode"], ids=lambda case: f"{case['ts004_version']}-{case['nb_frag']}x{case['frag_size']}"
)
def test_the_fragments_other_servers_make(case: dict[str, Any]) -> None:
    block, size, count = payload(case["payload"]), case["frag_size"], case["redundancy"]
    uncoded, coded = split(block, size), encode(block, size, count, version=VERSIONS[case["ts004_version"]])
    assert hashlib.sha256(block).hexdigest() == case["sha256_payload"]
    assert uncoded.shape == (case["nb_frag"], size)
    assert uncoded.size - len(block) == case["padding"]
    assert coded.shape == (count, size)
    for one in [*case["coded_fragments_head"], case["last_coded_fragment"]]:
        assert coded[one["n"] - case["nb_frag"] - 1].tobytes().hex() == one["hex"]
    assert sha256(uncoded) == case["sha256_uncoded_fragments"]
    assert sha256(coded) == case["sha256_coded_fragments"]
    assert sha256(np.concatenate([uncoded, coded])) == case["sha256_all_fragments"]


@pytest.mark.parametrize("case", FEC["parity_lines"], ids=lambda case: f"{case['m']}-{case['n']}")
def test_the_lines_of_devices(case: dict[str, Any]) -> None:
    for version, columns_of in (1, "columns_1_0_0"), (2, "columns_2_0_0"):
        assert columns(case["m"], case["n"], version) == case[columns_of]


@pytest.mark.parametrize("case", FEC["prbs23"], ids=lambda case: str(case["seed"]))
def test_the_generator_these_tests_compare_with(case: dict[str, Any]) -> None:
    assert list(islice(states(case["seed"]), len(case["next"]))) == case["next"]


@given(st.integers(1, 700), st.integers(1, MAX_FRAGMENTS), versions)
def test_any_line_is_that_of_the_letter(m: int, k: int, version: int) -> None:
    assert columns(m, k, version) == line(m, k, version)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("m", [1, 2, 3, 4, 255, 256, 257, 8192, MAX_FRAGMENTS])
@pytest.mark.parametrize("k", [1, 8380, 8381, MAX_FRAGMENTS])
def test_the_ends_of_the_ranges(m: int, k: int, version: int) -> None:
    assert columns(m, k, version) == line(m, k, version)


def test_every_seed_carries_as_the_letter_says() -> None:
    m, draws = 401, 200
    x = 1 + 1001 * np.arange(1, MAX_FRAGMENTS + 1)
    lines = np.zeros((len(x), m), np.bool_)
    for _ in range(draws):
        x = x // 2 + ((x & 1) ^ (x >> 5 & 1)) * 2**22
        lines[np.arange(len(x)), x % m] = True
    assert (parity_lines(m, 1, MAX_FRAGMENTS) == lines).all()


@pytest.mark.parametrize("case", FEC["literal_2_0_0_seed"]["lines"], ids=lambda case: str(case["m"]))
def test_the_literal_seed_of_version_2(case: dict[str, Any]) -> None:
    m, n = case["m"], case["fragment_number"]
    one_each = np.packbits(np.eye(m, dtype=np.uint8), axis=1)  # so that a coded fragment shows its line
    for literal, columns_of in (False, "columns_deployed"), (True, "columns_literal"):
        coded = encode(one_each.tobytes(), one_each.shape[1], 1, version=2, first=n - m, literal_seed=literal)
        assert np.flatnonzero(np.unpackbits(coded[0])).tolist() == case[columns_of]


@given(
    st.binary(min_size=1, max_size=900),
    st.integers(1, 30),
    st.integers(1, 9000),
    st.integers(0, 150),
    versions,
)
def test_a_coded_fragment_is_the_sum_of_its_line(
    block: bytes, size: int, first: int, count: int, version: int
) -> None:
    pieces = split(block, size).astype(np.int64)
    lines = parity_lines(len(pieces), first, count, version)
    bits = lines @ (pieces[:, :, None] >> np.arange(8) & 1).reshape(len(pieces), -1) % 2
    sums = (bits.reshape(count, size, 8) << np.arange(8)).sum(axis=2)
    assert (encode(block, size, count, first=first, version=version) == sums).all()


@pytest.mark.parametrize(("m", "size", "count"), [(3000, 255, 70), (4, 255, 5000), (16383, 9, 66)])
def test_more_can_be_made_at_any_time(m: int, size: int, count: int) -> None:
    block = payload({"rule": "lcg", "seed": 3, "length": m * size})
    together = encode(block, size, count)
    apart = [encode(block, size, min(60, count + 1 - k), first=k) for k in range(1, count + 1, 60)]
    assert (np.concatenate(apart) == together).all()


def test_no_coded_fragments() -> None:
    assert encode(b"block", 2, 0).shape == (0, 2)
    for version in 1, 2:
        assert parity_lines(8, 1, 0, version).shape == (0, 8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: split(b"", 1), "block: 1 to 16383 fragments of 1 octets, not 0"),
        (lambda: encode(bytes(16384), 1, 0), "block: 1 to 16383 fragments of 1 octets, not 16384"),
        (lambda: encode(b"block", 0, 1), "frag_size: 1 to 255 octets, not 0"),
        (lambda: encode(b"block", 256, 1), "frag_size: 1 to 255 octets, not 256"),
        (lambda: encode(b"block", 1, -1), "coded fragments: 0 or more, not -1"),
        (lambda: encode(b"block", 1, 1, first=0), "parity lines: 1 to 16383, not 0 to 0"),
        (lambda: encode(b"block", 1, 2, first=16383), "parity lines: 1 to 16383, not 16383 to 16384"),
        (lambda: encode(b"block", 1, 1, version=3), "version: major version 1 or 2 of TS004, not 3"),
        (lambda: parity_lines(0, 1, 1), "m: 1 to 16383 uncoded fragments, not 0"),
    ],
)
def test_what_can_not_be_encoded(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        call()
