"""Identifiers of devices."""

from functools import total_ordering

import attrs


@total_ordering
@attrs.frozen(cache_hash=True, repr=False)
class EUI64:
    """A DevEUI: eight octets, the most significant first, as it is printed on the device.

    Raises `ValueError` for anything but eight octets.
    """

    octets: bytes = attrs.field()

    @octets.validator
    def _eight(self, _: object, octets: bytes) -> None:
        if not isinstance(octets, bytes):
            raise ValueError(f"DevEUI: wanted 8 octets, got {octets!r}")
        if len(octets) != 8:
            raise ValueError(f"DevEUI: wanted 8 octets, got {len(octets)}: {octets.hex()!r}")

    @classmethod
    def parse(cls, text: str) -> "EUI64":
        """From 16 hexadecimal digits, upper or lower case, without separators; else `ValueError`."""
        # fromhex also skips white space: 16 characters that give eight octets hold none.
        try:
            octets = bytes.fromhex(text)
        except ValueError:
            octets = b""
        if len(text) != 16 or len(octets) != 8:
            raise ValueError(f"DevEUI: wanted 16 hexadecimal digits, got {text!r}")
        return cls(octets)

    def __lt__(self, other: "EUI64") -> bool:
        # Written out because attrs' own compares tuples and classes, at ten times the cost.
        return self.octets < other.octets

    def __str__(self) -> str:
        """16 lower-case hexadecimal digits."""
        return self.octets.hex()

    def __repr__(self) -> str:
        return f"EUI64({self.octets.hex()})"
