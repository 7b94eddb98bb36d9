"""A dispatcher between devices and a network that has nothing but downlink queues."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import attrs
import trio

from fuota.actor import Actor, Child, Me, Ref, Registry, open_tree
from fuota.device.messages import Heard
from fuota.device.messages import Message as DeviceMessage
from fuota.dispatcher import Dispatcher, Outcome, Route
from fuota.lorawan import clocksync, gpstime
from fuota.lorawan.clocksync import AppTimeAns, AppTimeReq
from fuota.lorawan.eui import EUI64
from fuota.network.port import ANYTHING, About, Group, KnownGroup, NetworkError, Queued
from fuota.ownership import Ownership
from fuota.uplink import Uplink

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE, TWO = EUI64(bytes([1] * 8)), EUI64(bytes([2] * 8))


class Queues:
    """A network that has nothing but downlink queues."""

    def __init__(self) -> None:
        self.downlinks: list[tuple[EUI64, int, bytes]] = []
        self.attempts = 0
        self.errors: list[NetworkError] = []
        """Raised one after the other, before anything works."""
        self.works = trio.Event()
        self.works.set()

    async def downlink(
        self,
        dev_eui: EUI64,
        f_port: int,
        data: bytes,
        *,
        unless_pending: bool,
        urgent: bool = False,
        about: About = ANYTHING,
    ) -> Queued:
        self.attempts += 1
        await self.works.wait()
        if self.errors:
            raise self.errors.pop(0)
        assert (unless_pending, urgent) == (True, True)
        self.downlinks.append((dev_eui, f_port, data))
        return Queued(str(len(self.downlinks)))

    async def ensure_group(self, group: Group) -> str:
        raise NotImplementedError

    async def has_group(self, group: KnownGroup) -> bool:
        raise NotImplementedError

    async def add_device(self, group: KnownGroup, dev_eui: EUI64) -> None:
        raise NotImplementedError

    async def withdraw(
        self, dev_eui: EUI64, ours: Callable[[int, bytes], bool], *, about: About = ANYTHING
    ) -> bool:
        raise NotImplementedError

    async def multicast(self, group: KnownGroup, f_port: int, data: bytes) -> None:
        raise NotImplementedError

    async def waiting(self, group: KnownGroup) -> frozenset[tuple[int, bytes]]:
        raise NotImplementedError

    async def flush(self, group: KnownGroup) -> None:
        raise NotImplementedError

    async def delete_group(self, group: Group) -> None:
        raise NotImplementedError


class Device(Actor[DeviceMessage]):
    """Keeps what it is told, and is done with an uplink when it is told to."""

    def __init__(self) -> None:
        self.told: list[DeviceMessage] = []
        self.proceeds = trio.Event()

    async def started(self, me: Me[DeviceMessage]) -> None:
        self.me = me

    async def receive(self, message: DeviceMessage) -> None:
        self.told.append(message)
        await self.proceeds.wait()
        if isinstance(message, Heard):
            message.done()

    def heard(self) -> list[Uplink]:
        return [each.uplink for each in self.told if isinstance(each, Heard)]


@attrs.define
class Field:
    """A dispatcher, its network, and devices."""

    ref: Ref[Route]
    network: Queues
    ownership: Ownership
    register: Callable[[EUI64, Ref[DeviceMessage]], object]
    spawn: Callable[[str, Callable[[], Device], int], Ref[DeviceMessage]]
    describe: Callable[[], object]

    def device(self, dev_eui: EUI64, name: str, *, room: int = 8, busy: bool = False) -> Device:
        device = Device()
        if not busy:
            device.proceeds.set()
        self.register(dev_eui, self.spawn(name, lambda: device, room))
        return device

    async def route(self, uplink: Uplink) -> Outcome:
        return await self.ref.ask(lambda reply: Route(uplink, reply), within=8)


@asynccontextmanager
async def field(*, clock_sync: bool = True) -> AsyncIterator[Field]:
    network, devices = Queues(), Registry[EUI64, DeviceMessage]()
    ownership = Ownership.sole()
    dispatcher = Dispatcher(devices, network, ownership, clock_sync=clock_sync)
    with trio.fail_after(300):
        async with open_tree([Child("dispatcher", lambda: dispatcher)]) as tree:
            ref = tree.find("/dispatcher")
            assert ref is not None
            yield Field(
                ref,
                network,
                ownership,
                devices.register,
                lambda name, make, room: tree.spawn(name, make, room=room),
                dispatcher.describe,
            )


def uplink(dev_eui: EUI64 = ONE, f_port: int = 200, f_cnt: int = 1, data: bytes = b"\x00") -> Uplink:
    return Uplink(dev_eui=dev_eui, f_port=f_port, f_cnt=f_cnt, data=data, received_at=NOW)


def clock_request(f_cnt: int = 1, *, off: int = 0, required: bool = False, token: int = 5) -> Uplink:
    asked = AppTimeReq(device_time=gpstime.gps_seconds(NOW) + off, token_req=token, ans_required=required)
    return uplink(f_port=202, f_cnt=f_cnt, data=clocksync.package.write(asked, version=1))


def clock_answer(*, correction: int, token: int = 5) -> tuple[EUI64, int, bytes]:
    answer = AppTimeAns(time_correction=correction, token_ans=token)
    return ONE, 202, clocksync.package.write(answer, version=1)
