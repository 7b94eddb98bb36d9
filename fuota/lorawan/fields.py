"""The words in which commands are declared.

    @package.command("down", 0x02)
    class FragSessionSetupReq(Command):
        mc_group_bit_mask: int = u(4)
        frag_index: int = u(2, rfu=2)
        ...

reads as the specification's table does, the lowest bit first: four bits of McGroupBitMask, two of
FragIndex, two reserved ones. Beside the width, a field may say:

- `rfu`: so many reserved bits follow it; they are ignored when read and 0 when written;
- `since`: the first version that has it;
- `live`: the version that gave it bits which were reserved before;
- `last`: the version in which it comes after all other fields;
- `when`: there only if this is true of the fields before it, and None otherwise;
- `even_if`: nevertheless there if this is true of the octets that are left, for devices which differ.
"""

from collections.abc import Callable
from typing import Any, ClassVar, TypedDict, TypeVar, Unpack, dataclass_transform

import attrs

from fuota.lorawan.kinds import Number, Octets, Records, Signed
from fuota.lorawan.wire import ROW, Kind, Layout, Row, Seen

T = TypeVar("T")


class Remarks(TypedDict, total=False):
    """What a field may say beside its width."""

    rfu: int
    since: int
    live: int
    last: int
    when: Callable[[Seen], bool]
    even_if: Callable[[bytes], bool]


def u(
    bits: int,
    *,
    least: int = 0,
    most: int | None = None,
    unit: int = 1,
    make: Callable[[int], Any] = int,
    default: Any = attrs.NOTHING,
    **remarks: Unpack[Remarks],
) -> Any:
    """An unsigned integer.

    `least` and `most` bound what is written; one step on the wire counts for `unit`; `make` gives what
    is read its type.
    """
    largest = ((1 << bits) - 1) * unit if most is None else most
    return _field(Number(bits, least, largest, unit, make), default, remarks)


def i(bits: int, *, default: Any = attrs.NOTHING, **remarks: Unpack[Remarks]) -> Any:
    """A signed integer in two's complement."""
    return _field(Signed(bits), default, remarks)


def flag(**remarks: Unpack[Remarks]) -> Any:
    """One bit, a bool that is False unless it is said to be True."""
    return _field(Number(1, 0, 1, 1, bool), False, remarks)


def octets(length: int | None = None, *, default: Any = attrs.NOTHING, **remarks: Unpack[Remarks]) -> Any:
    """An octet string in its natural order; without a length it is all that is left, at least one octet."""
    return _field(Octets(length), default, remarks)


def records(of: type[attrs.AttrsInstance], count: Callable[[Seen], int], **remarks: Unpack[Remarks]) -> Any:
    """A tuple of records of the class `of`; how many, the fields before it say."""
    return _field(Records(Layout(of, of.__name__, 1, "up"), count), attrs.NOTHING, remarks)


def _field(kind: Kind, default: Any, remarks: Remarks) -> Any:
    return attrs.field(default=default, metadata={ROW: Row(kind, **remarks)})


def record(cls: type[T]) -> type[T]:
    """The class decorator of records, and of what several commands have in common."""
    return attrs.frozen(kw_only=True)(cls)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(u, i, octets, records))
class Fields:
    """Base of everything that is declared in these words: frozen attrs classes, built by keyword."""

    __slots__ = ()
    __attrs_attrs__: ClassVar[Any]
