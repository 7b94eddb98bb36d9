"""From commands to bytes and back.

Everything in the LoRaWAN packages is little-endian, and bit 0 is the least significant one. So what
follows the CID of a command is one integer, read from its low end, and a field of it is a width. A
`Layout` is the list of these widths for one command in one version of its package.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, Protocol, TypeVar

import attrs

Direction = Literal["up", "down"]
T = TypeVar("T", bound=attrs.AttrsInstance)

Seen = Mapping[str, Any]
"""The fields of a command before the one in question; None stands for one that is absent."""

ROW = "row"
"""The key of a field's `Row` in its attrs metadata."""


class Unreadable(ValueError):
    """Bytes that are not what the package says they should be."""

    def __init__(
        self, package: str, version: int, direction: Direction, *, field: str, wanted: str, left: bytes
    ) -> None:
        some = (left[:16].hex() or "nothing") + "…" * (len(left) > 16)
        super().__init__(f"{package} v{version} {direction}: {field} wants {wanted}, left: {some}")
        self.package = package
        self.version = version
        self.direction: Direction = direction
        self.field = field
        """`CID`, or a field behind the name of its command: `McClassCSessionAns.time_to_start`."""
        self.wanted = wanted
        self.left = left
        """The octets from that field to the end of the payload."""


class Unwritable(ValueError):
    """A command that says what its bytes can not say."""


class Kind(Protocol):
    """How the values of a field are said in bits."""

    def width(self, seen: Seen, left: int) -> int:
        """In bits; `left` is what is left of the payload, in bits too."""

    def read(self, raw: int, bits: int) -> Any:
        """The value of a field of this width."""

    def write(self, value: Any, seen: Seen) -> tuple[int, int]:
        """Raw value and width; `ValueError` says what is wrong and what would be right."""


@attrs.frozen
class Row:
    """A field as the specification's tables have it, all versions in one; `fields` explains the words."""

    kind: Kind
    rfu: int = 0
    since: int = 1
    live: int = 1
    last: int | None = None
    when: Callable[[Seen], bool] | None = None
    even_if: Callable[[bytes], bool] | None = None

    def insists(self, left: bytes) -> bool:
        return self.even_if is not None and self.even_if(left)


class Layout(Generic[T]):
    """How `cls`, an attrs class whose fields have rows, lies in the octets after its CID."""

    def __init__(self, cls: type[T], package: str, version: int, direction: Direction) -> None:
        self.cls = cls
        self._source = (package, version, direction)
        self._rows: list[tuple[str, Row]] = []
        rows: list[tuple[str, Row]] = [(field.name, field.metadata[ROW]) for field in attrs.fields(cls)]
        for name, row in sorted(rows, key=lambda named: named[1].last == version):
            if version >= max(row.since, row.live):
                self._rows.append((name, row))
            elif version >= row.since:
                self._reserve(row.kind.width({}, 0) + row.rfu)

    def _reserve(self, bits: int) -> None:
        name, row = self._rows.pop()
        self._rows.append((name, attrs.evolve(row, rfu=row.rfu + bits)))

    @property
    def names(self) -> list[str]:
        """Of the fields that there are in this version."""
        return [name for name, _ in self._rows]

    @property
    def bits(self) -> int:
        """Its width, if that is always the same."""
        return sum(row.kind.width({}, 0) + row.rfu for _, row in self._rows)

    def read(self, payload: bytes, start: int) -> tuple[T, int]:
        """The command whose fields begin at octet `start`, and the octet after it; or `Unreadable`."""
        raw = int.from_bytes(payload[start:], "little")
        size = 8 * (len(payload) - start)
        at = 0
        seen: dict[str, Any] = {}
        for name, row in self._rows:
            kind = row.kind
            if row.when is not None and not row.when(seen) and not row.insists(payload[start + at // 8 :]):
                seen[name] = None
                continue
            bits = kind.width(seen, size - at)
            end = at + bits + row.rfu
            if end > size:
                raise self._unreadable(name, bits, payload[start + at // 8 :])
            seen[name] = kind.read((raw >> at) & ((1 << bits) - 1), bits)
            at = end
        return self.cls(**seen), start + at // 8

    def write(self, values: T) -> bytes:
        """The octets after the CID; or `Unwritable`."""
        raw = 0
        at = 0
        seen: dict[str, Any] = {}
        for name, row in self._rows:
            value = seen[name] = getattr(values, name)
            if row.when is not None and value is None and not row.when(seen):
                continue
            try:
                if row.when is not None and row.even_if is None and not row.when(seen):
                    raise ValueError(f"is {value!r}; it must be absent here")
                low, bits = row.kind.write(value, seen)
            except ValueError as wrong:
                raise Unwritable(f"{self.cls.__name__}.{name} {wrong}") from None
            raw |= low << at
            at += bits + row.rfu
        return raw.to_bytes(at // 8, "little")

    def _unreadable(self, name: str, bits: int, left: bytes) -> Unreadable:
        octets = -(-bits // 8)
        wanted = f"{octets} octet{'s' if octets > 1 else ''}"
        return Unreadable(*self._source, field=f"{self.cls.__name__}.{name}", wanted=wanted, left=left)
