"""Forward error correction of data blocks (TS004, FragAlgo 0): the encoder.

A block is padded with zero octets and cut into m uncoded fragments (NbFrag). Coded fragment k, sent as
N = m + k, is the XOR of those uncoded fragments whose column is set in line k of the parity matrix; so more
can be made at any time.
"""

import numpy as np
import numpy.typing as npt

from fuota.lorawan.matrix import MAX_FRAGMENTS, check, columns, parity_lines

Fragments = npt.NDArray[np.uint8]
"""Shape (number of fragments, FragSize). `tobytes()` of a row is what one DataFragment carries."""

_FEW = 64  # up to so many lines it is quicker to XOR single pieces than to tabulate sums of eight
_SCRATCH = 1 << 20  # octets that a second-level cache holds


def split(block: bytes, frag_size: int) -> Fragments:
    """The uncoded fragments 1 … m of `block`, the last one padded with zero octets.

    Raises:
        ValueError: `frag_size` is not 1 … 255, or `block` makes no fragment or more than MAX_FRAGMENTS.
    """
    return _pieces(block, frag_size, _nb_frag(block, frag_size))


def encode(
    block: bytes, frag_size: int, coded: int, *, version: int = 1, first: int = 1, literal_seed: bool = False
) -> Fragments:
    """The coded fragments k = first … first + coded - 1 of `block`, to be sent as N = m + k.

    `version` is the major version of TS004 that the device speaks. `literal_seed` numbers the lines by N
    instead of k: the letter of TS004-2.0.0 Annex A.5, which the deployed stacks do not follow.

    The largest sessions take some tenths of a second: for a worker thread, from where it lets others run.

    Raises:
        ValueError: as `split` and `parity_lines`.
    """
    m = _nb_frag(block, frag_size)
    first += m if literal_seed else 0
    check(m, first, coded, version)
    fragments = np.empty((coded, frag_size), np.uint8)
    if coded <= _FEW:
        add, step = _add_pieces, 1 + _SCRATCH // (frag_size * m)
        pieces = _pieces(block, frag_size, m + 1)
    else:
        add, step = _add_sums, 2048
        pieces = _pieces(block, frag_size, -(-m // 8) * 8)
    for start in range(0, coded, step):
        add(pieces, m, first + start, version, fragments[start : start + step])
    return fragments


def _nb_frag(block: bytes, frag_size: int) -> int:
    if not 1 <= frag_size <= 255:
        raise ValueError(f"frag_size: 1 to 255 octets, not {frag_size}")
    m = -(-len(block) // frag_size)
    if not 1 <= m <= MAX_FRAGMENTS:
        raise ValueError(f"block: 1 to {MAX_FRAGMENTS} fragments of {frag_size} octets, not {m}")
    return m


def _pieces(block: bytes, frag_size: int, count: int) -> Fragments:
    return np.frombuffer(block.ljust(count * frag_size, b"\0"), np.uint8).reshape(count, frag_size)


def _add_pieces(pieces: Fragments, m: int, first: int, version: int, out: Fragments) -> None:
    """With piece m, which is zero, in place of the repeats in a line of version 1."""
    lines = columns(m, first, len(out), version)
    if version == 1 and m > 1:
        lines.sort(axis=1)
        flat = lines.ravel()
        repeated = flat[1:] == flat[:-1]
        repeated[m // 2 - 1 :: m // 2] = False  # the first of a line repeats nothing
        np.copyto(flat[1:], m, where=repeated)
    chosen = pieces.take(lines.T, axis=0)  # draws first: one XOR then serves all lines
    np.bitwise_xor.reduce(chosen, axis=0, out=out)


def _add_sums(pieces: Fragments, m: int, first: int, version: int, out: Fragments) -> None:
    """Method of Four Russians: tabulate the sums of any of eight neighbours, and let octets of lines pick."""
    count, size = out.shape
    some = 1 + _SCRATCH // (8 * m)
    blocks = [
        parity_lines(m, k, min(some, first + count - k), version) for k in range(first, first + count, some)
    ]
    octets = np.concatenate([np.packbits(lines, axis=1, bitorder="little") for lines in blocks]).T
    groups = pieces.reshape(-1, 8, size)
    at_once = min(len(groups), 1 + _SCRATCH // (size * max(count, 256)))
    sums = np.zeros((at_once, 256, size), np.uint8)
    chosen = np.empty((at_once, count, size), np.uint8)
    picked = np.empty_like(out)
    out[:] = 0
    for start in range(0, len(groups), at_once):
        group = groups[start : start + at_once]
        n = len(group)
        for bit in range(8):
            np.bitwise_xor(sums[:n, : 1 << bit], group[:, bit, None], out=sums[:n, 1 << bit : 2 << bit])
        picks = octets[start : start + n] + np.arange(0, 256 * n, 256)[:, None]
        sums.reshape(-1, size).take(picks, axis=0, out=chosen[:n], mode="clip")
        np.bitwise_xor.reduce(chosen[:n], axis=0, out=picked)
        out ^= picked
