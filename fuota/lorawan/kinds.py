"""The kinds of fields: how values are said in bits."""

from collections.abc import Callable
from typing import Any

import attrs

from fuota.lorawan.wire import Layout, Seen


@attrs.frozen
class Number:
    """An unsigned integer that counts in `unit`s."""

    bits: int
    least: int
    most: int
    unit: int
    make: Callable[[int], Any]

    def width(self, seen: Seen, left: int) -> int:
        return self.bits

    def read(self, raw: int, bits: int) -> Any:
        return self.make(raw * self.unit)

    def write(self, value: Any, seen: Seen) -> tuple[int, int]:
        if not (isinstance(value, int) and self.least <= value <= self.most):
            raise ValueError(f"is {value!r}; it must be {self.least} to {self.most}")
        raw, rest = divmod(value, self.unit)
        if rest:
            raise ValueError(f"is {value}; it must be a multiple of {self.unit}")
        return raw, self.bits


@attrs.frozen
class Signed:
    """An integer in two's complement."""

    bits: int

    def width(self, seen: Seen, left: int) -> int:
        return self.bits

    def read(self, raw: int, bits: int) -> int:
        return raw - (raw >> (bits - 1) << bits)

    def write(self, value: Any, seen: Seen) -> tuple[int, int]:
        limit = 1 << (self.bits - 1)
        if not (isinstance(value, int) and -limit <= value < limit):
            raise ValueError(f"is {value!r}; it must be {-limit} to {limit - 1}")
        return value % (1 << self.bits), self.bits


@attrs.frozen
class Octets:
    """An octet string in its natural order: of this length, or all that is left and at least one octet."""

    length: int | None

    def width(self, seen: Seen, left: int) -> int:
        return max(8, left) if self.length is None else 8 * self.length

    def read(self, raw: int, bits: int) -> bytes:
        # the width, not the value, says how many: what ends in 00 keeps it
        return raw.to_bytes(bits // 8, "little")

    def write(self, value: Any, seen: Seen) -> tuple[int, int]:
        if not isinstance(value, bytes):
            raise ValueError(f"is {value!r}; it must be octets")
        if len(value) != (self.length or max(1, len(value))):
            raise ValueError(f"has {len(value)} octets; it must have {self.length or 'at least 1'}")
        return int.from_bytes(value, "little"), 8 * len(value)


@attrs.frozen
class Records:
    """So many records of one layout as the fields before say."""

    layout: Layout[Any]
    count: Callable[[Seen], int]

    def width(self, seen: Seen, left: int) -> int:
        return self.layout.bits * self.count(seen)

    def read(self, raw: int, bits: int) -> tuple[Any, ...]:
        octets = raw.to_bytes(bits // 8, "little")
        return tuple(self.layout.read(octets, at)[0] for at in range(0, len(octets), self.layout.bits // 8))

    def write(self, value: Any, seen: Seen) -> tuple[int, int]:
        cls = self.layout.cls
        if not (isinstance(value, tuple) and all(isinstance(record, cls) for record in value)):
            raise ValueError(f"is {value!r}; it must be a tuple of {cls.__name__}")
        if len(value) != self.count(seen):
            raise ValueError(f"has {len(value)} records; it must have {self.count(seen)}")
        octets = b"".join(map(self.layout.write, value))
        return int.from_bytes(octets, "little"), 8 * len(octets)
