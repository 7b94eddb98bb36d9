"""A simulated end device: class A, and a listener to multicast groups when it is told to be.

It has no clock and does no I/O: the true time is an argument of whatever is done with it, octets go in
and octets come out. Its own idea of the time may be wrong.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from random import Random

import attrs

from fuota.lorawan import clocksync, fragmentation, multicast
from fuota.lorawan.eui import EUI64
from fuota.lorawan.package import Command, Package, PackageVersionAns, PackageVersionReq
from fuota.simulation.answer import Answer
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.frames import Payload
from fuota.simulation.memberships import Memberships
from fuota.simulation.radio import Channel
from fuota.simulation.reassembly import Reassembly
from fuota.simulation.timekeeping import Timekeeping

PACKAGES: dict[int, Package] = {
    package.port: package for package in (multicast.package, fragmentation.package, clocksync.package)
}
VERSION = 1
UPLINK_ROOM = 51
"""Octets that fit into an uplink at any data rate of most regions; more answers than that take several."""


@attrs.define(kw_only=True, eq=False)
class Device:
    """One device with its keys, its memory and its habits."""

    dev_eui: EUI64
    mc_root_key: bytes = attrs.field(repr=False)
    """What the server should be given."""
    behaviour: Behaviour = attrs.field(factory=Behaviour)
    random: Random = attrs.field(factory=Random, repr=False)
    time: Timekeeping = attrs.field(init=False)
    groups: Memberships = attrs.field(init=False)
    fragments: Reassembly = attrs.field(init=False)
    _outbox: list[tuple[datetime, Package, Answer]] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.time = Timekeeping(self.behaviour.clock_offset)
        other_key = bytes(octet ^ 0xFF for octet in self.mc_root_key)
        own_key = other_key if self.behaviour.wrong_root_key else self.mc_root_key
        self.groups = Memberships(own_key, self.time, self.behaviour)
        self.fragments = Reassembly(self.behaviour, self.random)

    @property
    def image(self) -> bytes | None:
        """The data block that was received last, as a whole and without its padding."""
        blocks = self.fragments.blocks
        return blocks[next(reversed(blocks))] if blocks else None

    @property
    def next_uplink(self) -> datetime | None:
        """When the device wants to send; None if it has nothing to say."""
        return min(due for due, _, _ in self._outbox) if self._outbox else None

    def take(self, payload: Payload, now: datetime, *, group_id: int | None = None) -> None:
        """Execute a downlink that came by unicast, or by the group with this McGroupID."""
        for command in _read(payload):
            for answer in self._answers(command, payload.f_port, group_id, now):
                due = now + self.behaviour.answer_delay + answer.delay
                self._outbox.append((due, PACKAGES[payload.f_port], answer))

    def hear(self, frame: bytes, channel: Channel, now: datetime) -> None:
        """Take a multicast frame from the air, if the device listens and the frame is for it."""
        heard = self.groups.hear(frame, channel, now)
        if heard is None:
            return
        group_id, payload = heard
        if payload.f_port == fragmentation.package.port:  # all other packages are unicast only
            self.take(payload, now, group_id=group_id)

    def send(self, now: datetime) -> Payload | None:
        """The uplink that is due: all answers for one port that are due and fit. None: there is none."""
        f_port, data = 0, b""
        waiting = []
        for entry in sorted(self._outbox, key=lambda entry: entry[0]):
            due, package, answer = entry
            if due > now or f_port not in (0, package.port):
                waiting.append(entry)
            elif (command := answer.at(now)) and type(command) not in self.behaviour.loses:
                octets = package.write(command, version=VERSION)
                if f_port and len(data) + len(octets) > UPLINK_ROOM:
                    waiting.append(entry)
                else:
                    f_port, data = package.port, data + octets
        self._outbox = waiting
        return Payload(f_port, data) if f_port else None

    def _answers(
        self, command: Command, f_port: int, group_id: int | None, now: datetime
    ) -> Iterable[Answer]:
        behaviour, kind = self.behaviour, type(command)
        if behaviour.silent or kind in behaviour.ignores:
            return ()
        if kind in behaviour.refuses:
            return (Answer(behaviour.refuses[kind]),)
        if isinstance(command, PackageVersionReq):
            identifier = PACKAGES[f_port].identifier
            answer = PackageVersionAns(package_identifier=identifier, package_version=VERSION)
            return (Answer(answer),) if group_id is None else ()
        if f_port == fragmentation.package.port:
            return self.fragments.obey(command, group_id)
        if f_port == multicast.package.port:
            return self.groups.obey(command, now)
        return self.time.obey(command)


@lru_cache(maxsize=64)  # all members of a group read the same fragments
def _read(payload: Payload) -> tuple[Command, ...]:
    package = PACKAGES.get(payload.f_port)
    return () if package is None else tuple(package.read("down", payload.data, version=VERSION).commands)
