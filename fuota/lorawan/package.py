"""LoRaWAN application packages: the commands there are, and payloads that hold some of them.

Business code knows one class per command. The version of a package matters only here, where bytes are
read and written.
"""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import attrs

from fuota.lorawan.fields import Fields, record, u
from fuota.lorawan.wire import Direction, Layout, Unreadable, Unwritable

MAX_PAYLOAD = 255
"""Octets; no LoRaWAN frame has room for more."""


class Command(Fields):
    """What a device and a server say to each other. Its class is called what the specification calls it."""

    __slots__ = ()

    cid: ClassVar[int]
    direction: ClassVar[Direction]
    alone: ClassVar[bool]
    """Whether it must be the only command of its payload."""


C = TypeVar("C", bound=Command)
_Layouts = dict[tuple[Direction, int], Layout[Command]]


def command(direction: Direction, cid: int, *, alone: bool = False) -> Callable[[type[C]], type[C]]:
    """The class decorator of a command that belongs to no package, or to all of them."""

    def made(cls: type[C]) -> type[C]:
        cls = record(cls)
        cls.direction, cls.cid, cls.alone = direction, cid, alone
        return cls

    return made


@command("down", 0x00)
class PackageVersionReq(Command):
    """Which package is this, and in which version?"""


@command("up", 0x00)
class PackageVersionAns(Command):
    """The same in every package; read only where `package_identifier` is the package's own."""

    package_identifier: int = u(8)
    package_version: int = u(8)


@attrs.frozen
class Reading:
    """What could be read of a payload."""

    commands: tuple[Command, ...]
    """In the order in which they are to be executed."""
    rest: bytes
    """What could not be read, from the CID of the first command that was not."""
    error: Unreadable | None
    """Why it could not be read; None if there is no rest."""

    def whole(self) -> tuple[Command, ...]:
        """The commands if all could be read, and otherwise the error, raised."""
        if self.error is not None:
            raise self.error
        return self.commands


class Package:
    """One package, such as TS004 in all its versions.

    `identifier` is its PackageIdentifier, `port` the FPort that is recommended for it, `versions` are
    the values of PackageVersion. Another version is a `ValueError`.
    """

    def __init__(self, name: str, *, identifier: int, port: int, versions: tuple[int, ...]) -> None:
        self.name = name
        self.identifier = identifier
        self.port = port
        self.versions = versions
        self._commands: dict[int, _Layouts] = {v: {} for v in versions}
        self._add(PackageVersionReq)
        self._add(PackageVersionAns)

    def command(
        self, direction: Direction, cid: int, *, since: int = 1, alone: bool = False
    ) -> Callable[[type[C]], type[C]]:
        """The class decorator of a command of this package, which has it from version `since` on."""

        def added(cls: type[C]) -> type[C]:
            cls = command(direction, cid, alone=alone)(cls)
            self._add(cls, since)
            return cls

        return added

    def commands(self, direction: Direction, version: int) -> tuple[type[Command], ...]:
        """The classes of the commands that go this way."""
        return tuple(layout.cls for (way, _), layout in self._layouts(version).items() if way == direction)

    def fields(self, command: Command, version: int) -> dict[str, Any]:
        """What the command says in this version, by name; without what is absent."""
        names = self._layout(command, version).names
        named = ((name, getattr(command, name)) for name in names)
        return {name: value for name, value in named if value is not None}

    def read(self, direction: Direction, payload: bytes, version: int) -> Reading:
        """The commands of a payload, one behind the other, up to the first that can not be read.

        An unknown command ends the reading, for its length is unknown as well. An empty payload can
        not be read, nor one that is too long to have come by radio.
        """
        layouts = self._layouts(version)
        commands: list[Command] = []
        at = 0
        try:
            if not 0 < len(payload) <= MAX_PAYLOAD:
                raise self._unreadable(direction, version, "payload", f"1 to {MAX_PAYLOAD} octets", payload)
            while at < len(payload):
                layout = layouts.get((direction, payload[at]))
                if layout is None:
                    raise self._unreadable(direction, version, "CID", "a known command", payload[at:])
                read, after = layout.read(payload, at + 1)
                if isinstance(read, PackageVersionAns) and read.package_identifier != self.identifier:
                    field, wanted = "PackageVersionAns.package_identifier", str(self.identifier)
                    raise self._unreadable(direction, version, field, wanted, payload[at + 1 :])
                commands.append(read)
                at = after
        except Unreadable as error:
            return Reading(tuple(commands), payload[at:], error)
        return Reading(tuple(commands), b"", None)

    def write(self, *commands: Command, version: int) -> bytes:
        """The payload that holds these commands; `Unwritable` if there is none.

        A field that this version does not have is left out.
        """
        if len({each.direction for each in commands}) > 1:
            raise Unwritable(f"{self.name}: a payload goes up or down, not both")
        if len(commands) > 1 and (alone := [each for each in commands if each.alone]):
            raise Unwritable(f"{type(alone[0]).__name__} must be the only command of its payload")
        payload = b"".join(bytes((each.cid,)) + self._layout(each, version).write(each) for each in commands)
        if len(payload) > MAX_PAYLOAD:
            raise Unwritable(
                f"{self.name}: the payload has {len(payload)} octets; it must have at most {MAX_PAYLOAD}"
            )
        return payload

    def _layout(self, each: Command, version: int) -> Layout[Command]:
        layout = self._layouts(version).get((each.direction, each.cid))
        if layout is None or layout.cls is not type(each):
            raise Unwritable(f"{type(each).__name__} is no command of {self.name} v{version}")
        return layout

    def _layouts(self, version: int) -> _Layouts:
        layouts = self._commands.get(version)
        if layouts is None:
            raise ValueError(
                f"{self.name} has the versions {', '.join(map(str, self.versions))}, not {version}"
            )
        return layouts

    def _unreadable(
        self, direction: Direction, version: int, field: str, wanted: str, left: bytes
    ) -> Unreadable:
        return Unreadable(self.name, version, direction, field=field, wanted=wanted, left=left)

    def _add(self, cls: type[Command], since: int = 1) -> None:
        for version, layouts in self._commands.items():
            if version >= since:
                layouts[cls.direction, cls.cid] = Layout(cls, self.name, version, cls.direction)
