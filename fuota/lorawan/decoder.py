"""Forward error correction of data blocks (TS004, FragAlgo 0): the decoder, as a device runs it."""

import numpy as np
import numpy.typing as npt

from fuota.lorawan.matrix import MAX_FRAGMENTS, parity_lines


class Decoder:
    """Rebuilds one block from its fragments, taken in any order, as soon as that is possible at all.

    The block has `nb_frag` uncoded fragments of `frag_size` octets; `version` is the major version of TS004.
    With `in_order` it drops what the deployed stacks drop: an uncoded fragment after a later or a coded one.

    A coded fragment is an equation: the XOR of some pieces. The known ones are taken out of it; what is left
    is reduced by the equations before it and kept under its last unknown piece. Once there is an equation for
    every unknown piece they are solved, first piece first.
    """

    def __init__(self, nb_frag: int, frag_size: int, *, version: int = 1, in_order: bool = False) -> None:
        self.nb_frag = nb_frag
        self.frag_size = frag_size
        self.nb_received = 0
        """Fragments received: uncoded, coded and repeated ones (NbFragReceived)."""
        self.missing = nb_frag
        """The least number of further fragments that can complete the block (MissingFrag)."""
        self._version = version
        self._in_order = in_order
        self._highest = 0
        self._pieces = np.zeros((nb_frag, frag_size), np.uint8)  # an unknown one is zero
        self._known = np.zeros(nb_frag, np.bool_)
        # Octets, and above them a bit for each unknown piece; so the bit length, the key, tells the last one.
        self._equations: dict[int, int] = {}

    @property
    def complete(self) -> bool:
        return self.missing == 0

    def receive(self, n: int, fragment: bytes) -> bool:
        """Take fragment N; true if the block is complete.

        Raises:
            ValueError: N is not 1 … MAX_FRAGMENTS, or the fragment is not of FragSize.
        """
        if not 1 <= n <= MAX_FRAGMENTS:
            raise ValueError(f"n: 1 to {MAX_FRAGMENTS}, not {n}")
        if len(fragment) != self.frag_size:
            raise ValueError(f"fragment {n}: {self.frag_size} octets, not {len(fragment)}")
        self.nb_received += 1
        late = n < self._highest and n <= self.nb_frag
        self._highest = max(self._highest, n)
        if self.complete or (late and self._in_order):
            return self.complete
        octets = np.frombuffer(fragment, np.uint8)
        if n > self.nb_frag:
            self._add(parity_lines(self.nb_frag, n - self.nb_frag, 1, self._version)[0], octets)
        elif self._equations:
            self._add(np.arange(1, self.nb_frag + 1) == n, octets)
        elif not self._known[n - 1]:
            self._learn(n - 1, octets)
            self.missing -= 1
        if self.complete:
            self._solve()
        return self.complete

    def block(self) -> bytes:
        """The block, with its padding.

        Raises:
            ValueError: it is not complete.
        """
        if not self.complete:
            raise ValueError(f"block: {self.missing} more fragments are needed")
        return self._pieces.tobytes()

    def _learn(self, column: int, octets: npt.NDArray[np.uint8]) -> None:
        self._pieces[column] = octets
        self._known[column] = True

    def _add(self, line: npt.NDArray[np.bool_], octets: npt.NDArray[np.uint8]) -> None:
        unknown = np.packbits(line & ~self._known, bitorder="little")
        equation = int.from_bytes(self._take_out(line, octets).tobytes() + unknown.tobytes(), "little")
        while (length := equation.bit_length()) > 8 * self.frag_size:
            if length not in self._equations:
                self._equations[length] = equation
                self.missing -= 1
                break
            equation ^= self._equations[length]

    def _solve(self) -> None:
        size = self.frag_size
        for length, equation in sorted(self._equations.items()):
            octets = np.frombuffer(equation.to_bytes(size + -(-self.nb_frag // 8), "little"), np.uint8)
            line = np.unpackbits(octets[size:], count=self.nb_frag, bitorder="little").astype(np.bool_)
            self._learn(length - 8 * size - 1, self._take_out(line, octets[:size]))

    def _take_out(self, line: npt.NDArray[np.bool_], octets: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        known = np.empty_like(octets)
        np.bitwise_xor.reduce(self._pieces[line], axis=0, out=known)
        return octets ^ known
