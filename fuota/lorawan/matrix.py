"""The parity matrix of forward error correction (TS004, FragAlgo 0; Annex A), of both versions.

Line k tells which of the m uncoded fragments are XORed into coded fragment k: ⌊m/2⌋ columns, drawn by a
generator whose seed is made from k. A column drawn again counts in TS004-1.0.0, but not in 2.0.0.

The generator is a shift register, and so linear: with A for one step, A^23 = 1 + A^5, and squared
A^(23q) = 1 + A^(5q) for every power of two q. Hence x[t] = x[t - 23q] ^ x[t - 18q]: one operation nearly
doubles what is known of the sequences of all lines, and nothing is drawn one by one.
"""

import functools
import math

import numpy as np
import numpy.typing as npt

MAX_FRAGMENTS = 16383
"""The largest NbFrag and the largest N: a DataFragment has 14 bits for it (TS004)."""

Columns = npt.NDArray[np.uint32]

_HEAD = 128  # states of each line that are kept: all that a session of 256 fragments needs
_SETTLED = 16  # from this state on every line is below 2^23, where the generator is linear


def parity_lines(m: int, first: int, count: int, version: int = 1) -> npt.NDArray[np.bool_]:
    """Lines k = first … first + count - 1 of the matrix for `m` uncoded fragments: shape (count, m).

    Column c, from 0, stands for uncoded fragment c + 1.

    Raises:
        ValueError: `m` or a k is not 1 … MAX_FRAGMENTS, `count` is negative, `version` is not 1 or 2.
    """
    check(m, first, count, version)
    lines = np.zeros((count, m), np.bool_)
    lines.ravel()[_flat(columns(m, first, count, version), m)] = True
    return lines


def check(m: int, first: int, count: int, version: int) -> None:
    """Raise the errors of `parity_lines`."""
    if not 1 <= m <= MAX_FRAGMENTS:
        raise ValueError(f"m: 1 to {MAX_FRAGMENTS} uncoded fragments, not {m}")
    if count < 0:
        raise ValueError(f"coded fragments: 0 or more, not {count}")
    if first < 1 or first + count - 1 > MAX_FRAGMENTS:
        raise ValueError(f"parity lines: 1 to {MAX_FRAGMENTS}, not {first} to {first + count - 1}")
    if version not in (1, 2):
        raise ValueError(f"version: major version 1 or 2 of TS004, not {version}")


def columns(m: int, first: int, count: int, version: int) -> Columns:
    """The ⌊m/2⌋ draws that make up each line, in version 1 with repeats: shape (count, m // 2). Unchecked."""
    # Modulo a power of two the draws would show the register's pattern.
    modulus = m + 1 if m & (m - 1) == 0 else m
    if m == 1 or (version == 1 and modulus == m):
        return _draws(modulus, first, count, m // 2)
    choose = _valid if version == 1 else _distinct
    drawn = 7 * m // 10 + 2 * math.isqrt(m) + 2  # it takes 0.69 m on average to draw half of the columns
    while (chosen := choose(_draws(modulus, first, count, drawn), m)) is None:
        drawn *= 2
    return chosen


def _valid(draws: Columns, m: int) -> Columns | None:
    """The first ⌊m/2⌋ draws of each line that are columns at all; None if a line has fewer."""
    valid = draws < m
    so_far = valid.cumsum(axis=1)
    if (so_far[:, -1] < m // 2).any():
        return None
    return draws[valid & (so_far <= m // 2)].reshape(-1, m // 2)


def _distinct(draws: Columns, m: int) -> Columns | None:
    """The first ⌊m/2⌋ different columns of each line; None if a line has fewer."""
    count, half, never = len(draws), m // 2, draws.size
    earliest = np.empty(count * (m + 1), np.uint32)
    earliest.fill(never)
    np.minimum.at(earliest, _flat(draws, m + 1), _times(never))
    times = earliest.reshape(count, m + 1)[:, :m]
    times.partition(half - 1, axis=1)
    try:
        return draws.take(times[:, :half].T).T  # as the encoder will read it
    except IndexError:  # which "never" is
        return None


@functools.lru_cache(maxsize=4)
def _times(count: int) -> Columns:
    """When each of so many draws is made. (To count anew is a twentieth of the coding of a small session.)"""
    times = np.arange(count, dtype=np.uint32)
    times.flags.writeable = False
    return times


def _flat(draws: Columns, width: int) -> npt.NDArray[np.intp]:
    """Where these columns lie in an array of `width` columns, line after line."""
    starts = np.arange(0, len(draws) * width, width, dtype=np.uint32)  # the draws' type: twice as quick
    return (draws + starts[:, None]).ravel().astype(np.intp)


def _draws(modulus: int, first: int, count: int, drawn: int) -> Columns:
    states = _states(first, count, drawn)
    multiples = states // modulus  # numpy vectorises this, but not %
    multiples *= modulus
    states -= multiples
    return states


def _states(first: int, count: int, drawn: int) -> Columns:
    """States 1 … drawn of the generators of lines first … first + count - 1: shape (count, drawn)."""
    heads = _heads()[first - 1 : first - 1 + count]
    if drawn <= _HEAD:
        return heads[:, :drawn].copy()
    states = np.empty((count, drawn), np.uint32)
    states[:, :_HEAD] = heads
    _go_on(states, _HEAD)
    return states


@functools.cache
def _heads() -> Columns:
    """The first states of all lines: by the letter of Annex A, which adds, so that seeds above 2^23 carry."""
    heads = np.empty((MAX_FRAGMENTS, _HEAD), np.uint32)
    x = 1 + 1001 * np.arange(1, MAX_FRAGMENTS + 1, dtype=np.uint32)
    for t in range(_SETTLED + 23):
        x = (x >> 1) + (((x ^ x >> 5) & 1) << 22)
        heads[:, t] = x
    _go_on(heads, _SETTLED + 23)
    heads.flags.writeable = False
    return heads


def _go_on(states: Columns, known: int) -> None:
    """Fill in what follows the first `known` states."""
    while known < states.shape[1]:
        q = 1 << ((known - _SETTLED) // 23).bit_length() - 1
        new = min(18 * q, states.shape[1] - known)
        a, b = known - 23 * q, known - 18 * q
        np.bitwise_xor(states[:, a : a + new], states[:, b : b + new], out=states[:, known : known + new])
        known += new
