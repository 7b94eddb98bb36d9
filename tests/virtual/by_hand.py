"""Campaigns by hand over the simulated network."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import attrs
import trio

from fuota.clock import TrioClock
from fuota.deployment.plan import MulticastClass
from fuota.lorawan import fragmentation, gpstime, keys, multicast, parity
from fuota.lorawan.fragmentation import DataFragment, FragSessionSetupReq, FragSessionStatusReq
from fuota.lorawan.multicast import McClassBSessionReq, McClassCSessionReq, McGroupSetupReq
from fuota.lorawan.package import Command, Package
from fuota.network.port import Group, KnownGroup
from fuota.network.simulated import SimulatedNetwork
from fuota.simulation.device import PACKAGES, Device
from fuota.simulation.radio import Radio
from fuota.simulation.world import World
from fuota.uplink import Uplink

C = TypeVar("C", bound=Command)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
IMAGE = bytes(range(256)) * 8
FRAG_SIZE = 112
NB_FRAG = -(-len(IMAGE) // FRAG_SIZE)
CODED = 20
MC_KEY = bytes(range(16))
GROUP = Group(
    name="fuota-test",
    application_id="1",
    mc_class=MulticastClass.C,
    mc_addr=0x00FF0102,
    mc_nwk_s_key=keys.mc_nwk_s_key(MC_KEY, 0x00FF0102),
    mc_app_s_key=keys.mc_app_s_key(MC_KEY, 0x00FF0102),
    frequency=869_525_000,
    dr=3,
    periodicity=0,
)
FRAG_SETUP = FragSessionSetupReq(
    mc_group_bit_mask=0b0001,
    frag_index=0,
    nb_frag=NB_FRAG,
    frag_size=FRAG_SIZE,
    block_ack_delay=0,
    frag_algo=0,
    padding=NB_FRAG * FRAG_SIZE - len(IMAGE),
    descriptor=bytes(4),
)


@attrs.define
class Campaign:
    """An operator with a network, much patience and a note of all that is heard."""

    world: World
    network: SimulatedNetwork
    group: Group
    heard: list[Uplink] = attrs.field(factory=list)

    async def deliver(self, uplink: Uplink) -> None:
        self.heard.append(uplink)

    async def ask(self, package: Package, command: Command | Callable[[Device], Command]) -> None:
        for device in self.world.devices:
            made = command if isinstance(command, Command) else command(device)
            octets = package.write(made, version=1)
            await self.network.downlink(device.dev_eui, package.port, octets, unless_pending=True)

    def answers(self, device: Device, kind: type[C]) -> list[C]:
        commands = (
            command
            for uplink in self.heard
            if uplink.dev_eui == device.dev_eui and uplink.f_port in PACKAGES
            for command in PACKAGES[uplink.f_port].read("up", uplink.data, version=1).whole()
        )
        return [command for command in commands if isinstance(command, kind)]

    def known(self, group_id: str) -> KnownGroup:
        return KnownGroup(group_id, self.group.name, self.group.application_id)

    async def prepare(self) -> str:
        group_id = await self.network.ensure_group(self.group)
        for device in self.world.devices:
            await self.network.add_device(self.known(group_id), device.dev_eui)
        await self.ask(multicast.package, group_setup)
        await self.ask(fragmentation.package, FRAG_SETUP)
        await trio.sleep(60)
        return group_id

    async def arrange(self, start: datetime, time_out: int) -> None:
        await self.ask(multicast.package, session_request(self.group, start, time_out))

    async def transmit(self, group_id: str, image: bytes = IMAGE) -> None:
        fragments = [*parity.split(image, FRAG_SIZE), *parity.encode(image, FRAG_SIZE, CODED)]
        for n, fragment in enumerate(fragments, 1):
            octets = fragmentation.package.write(
                DataFragment(n=n, frag_index=0, data=fragment.tobytes()), version=1
            )
            await self.network.multicast(self.known(group_id), fragmentation.package.port, octets)

    async def run(self, *, time_out: int = 8, lead: timedelta = timedelta(minutes=2)) -> None:
        """All of it, with the status of every device at the end."""
        group_id = await self.prepare()
        start = self.world.clock.now() + lead
        if self.group.mc_class is MulticastClass.B:
            start = gpstime.next_beacon(start)
        await self.arrange(start, time_out)
        await self.world.clock.sleep_until(start)
        await self.transmit(group_id)
        await trio.sleep(600)
        await self.ask(fragmentation.package, FragSessionStatusReq(frag_index=0, participants=True))
        await trio.sleep(60)


def group_setup(device: Device) -> McGroupSetupReq:
    return McGroupSetupReq(
        mc_group_id=0,
        mc_addr=GROUP.mc_addr,
        mc_key_encrypted=keys.wrap_mc_key(device.mc_root_key, MC_KEY),
        min_mc_fcnt=0,
        max_mc_fcnt=1000,
    )


def session_request(group: Group, start: datetime, time_out: int) -> Command:
    session_time = gpstime.gps_seconds(start)
    if group.mc_class is MulticastClass.B:
        return McClassBSessionReq(
            mc_group_id=0,
            session_time=session_time,
            time_out=time_out,
            periodicity=group.periodicity,
            dl_frequency=group.frequency,
            dr=group.dr,
        )
    return McClassCSessionReq(
        mc_group_id=0, session_time=session_time, time_out=time_out, dl_frequency=group.frequency, dr=group.dr
    )


@asynccontextmanager
async def campaign(
    devices: list[Device], *, radio: Radio | None = None, group: Group = GROUP
) -> AsyncIterator[Campaign]:
    world = World(devices, clock=TrioClock(NOON), radio=radio)
    campaign = Campaign(world, SimulatedNetwork(world), group)
    with trio.fail_after(7 * 24 * 3600):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.run, campaign.deliver)
            yield campaign
            nursery.cancel_scope.cancel()
