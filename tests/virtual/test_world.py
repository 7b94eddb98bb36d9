"""Campaigns by hand over the simulated network: what goes in at one end comes out of the decoders."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import attrs
import pytest
import trio
from trio.testing import MockClock

from fuota.clock import TrioClock
from fuota.deployment.plan import MulticastClass
from fuota.lorawan import clocksync, fragmentation, gpstime, keys, multicast, parity
from fuota.lorawan.clocksync import AppTimeAns, AppTimeReq, ForceDeviceResyncReq
from fuota.lorawan.fragmentation import (
    DataFragment,
    FragSessionSetupAns,
    FragSessionSetupReq,
    FragSessionStatusAns,
    FragSessionStatusReq,
)
from fuota.lorawan.multicast import (
    McClassBSessionAns,
    McClassBSessionReq,
    McClassCSessionAns,
    McClassCSessionReq,
    McGroupSetupAns,
    McGroupSetupReq,
)
from fuota.lorawan.package import Command, Package
from fuota.network.port import Group, KnownGroup
from fuota.network.simulated import SimulatedNetwork
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.device import PACKAGES, Device
from fuota.simulation.fleet import fleet, holdings
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


def one(behaviour: Behaviour) -> list[Device]:
    return fleet(1, behaviour=lambda _: behaviour)


async def test_a_class_c_campaign_brings_the_image(autojump_clock: MockClock) -> None:
    devices = fleet(5)
    async with campaign(devices) as at_work:
        await at_work.run()
    assert holdings(devices) == {IMAGE: [device.dev_eui for device in devices]}
    for device in devices:
        assert at_work.answers(device, McGroupSetupAns) == [McGroupSetupAns(mc_group_id=0, id_error=False)]
        assert at_work.answers(device, FragSessionSetupAns) == [FragSessionSetupAns(frag_index=0)]
        status = FragSessionStatusAns(frag_index=0, nb_frag_received=NB_FRAG, missing_frag=0)
        assert at_work.answers(device, FragSessionStatusAns) == [status]


async def test_a_class_b_campaign_brings_the_image(autojump_clock: MockClock) -> None:
    devices = fleet(3)
    group = attrs.evolve(GROUP, mc_class=MulticastClass.B, periodicity=2)
    async with campaign(devices, group=group) as at_work:
        await at_work.run(time_out=2)
    assert holdings(devices) == {IMAGE: [device.dev_eui for device in devices]}
    (answer,) = at_work.answers(devices[0], McClassBSessionAns)
    assert answer.time_to_start is not None


async def test_lost_fragments_are_repaired(autojump_clock: MockClock) -> None:
    devices = fleet(20, behaviour=lambda _: Behaviour())
    async with campaign(devices) as at_work:
        group_id = await at_work.prepare()
        start = at_work.world.clock.now() + timedelta(minutes=2)
        await at_work.arrange(start, time_out=8)
        await at_work.world.clock.sleep_until(start)
        at_work.world.radio = Radio(loss=0.2)
        await at_work.transmit(group_id)
        await trio.sleep(600)
    assert set(holdings(devices)) == {IMAGE}
    assert any(device.fragments.sessions[0].lost for device in devices)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_fragment_outside_the_window_is_not_heard(moment: str, autojump_clock: MockClock) -> None:
    devices = fleet(2)
    async with campaign(devices) as at_work:
        group_id = await at_work.prepare()
        start = at_work.world.clock.now() + timedelta(minutes=5)
        await at_work.arrange(start, time_out=4)
        if moment == "after":
            await at_work.world.clock.sleep_until(start + timedelta(seconds=16))
        await at_work.transmit(group_id)
        await trio.sleep(600)
    assert set(holdings(devices)) == {None}
    assert devices[0].fragments.sessions[0].decoder.nb_received == 0


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(silent=True),
        Behaviour(uplink_loss=1.0),
        Behaviour(downlink_loss=1.0),
        Behaviour(wrong_root_key=True),
        Behaviour(memory=len(IMAGE)),
        Behaviour(clock_offset=timedelta(hours=1)),
        Behaviour(clock_offset=timedelta(hours=-1)),
        Behaviour(ignores=frozenset({FragSessionSetupReq})),
        Behaviour(refuses={McGroupSetupReq: McGroupSetupAns(mc_group_id=0, id_error=True)}),
    ],
    ids=lambda behaviour: repr(attrs.asdict(behaviour, filter=lambda f, value: value != f.default))[:60],
)
async def test_it_does_not_get_the_image(behaviour: Behaviour, autojump_clock: MockClock) -> None:
    spoilt, sound = fleet(2, behaviour=lambda number: Behaviour() if number else behaviour)
    async with campaign([spoilt, sound]) as at_work:
        await at_work.run()
    assert (spoilt.image, sound.image) == (None, IMAGE)


async def test_a_refusal_says_what_it_is_told_to(autojump_clock: MockClock) -> None:
    refusal = FragSessionSetupAns(frag_index=0, wrong_descriptor=True, not_enough_memory=True)
    (device,) = devices = one(Behaviour(refuses={FragSessionSetupReq: refusal}))
    async with campaign(devices) as at_work:
        await at_work.prepare()
        assert at_work.answers(device, FragSessionSetupAns) == [refusal]


async def test_too_little_room_to_repair_ends_the_session(autojump_clock: MockClock) -> None:
    (device,) = devices = one(Behaviour(downlink_loss=0.0, max_lost=2))
    async with campaign(devices) as at_work:
        group_id = await at_work.prepare()
        start = at_work.world.clock.now() + timedelta(minutes=2)
        await at_work.arrange(start, time_out=8)
        await at_work.world.clock.sleep_until(start)
        at_work.world.radio = Radio(loss=0.5)
        await at_work.transmit(group_id)
        await trio.sleep(600)
        at_work.world.radio = Radio()
        await at_work.ask(fragmentation.package, FragSessionStatusReq(frag_index=0, participants=True))
        await trio.sleep(60)
        (status,) = at_work.answers(device, FragSessionStatusAns)
    assert status.not_enough_matrix_memory
    assert device.image is None


@pytest.mark.parametrize("off", [3600, -7200])
async def test_a_wrong_clock_shows_and_can_be_put_right(off: int, autojump_clock: MockClock) -> None:
    (device,) = devices = one(Behaviour(clock_offset=timedelta(seconds=off)))
    async with campaign(devices) as at_work:
        await at_work.prepare()
        start = at_work.world.clock.now() + timedelta(hours=2)
        await at_work.arrange(start, time_out=8)
        await trio.sleep(60)
        (uplink,) = [
            uplink for uplink in at_work.heard if uplink.data[:1] == b"\x04" and uplink.f_port == 200
        ]
        (answer,) = at_work.answers(device, McClassCSessionAns)
        assert answer.time_to_start == pytest.approx(
            (start - uplink.received_at).total_seconds() - off, abs=1
        )

        await at_work.ask(clocksync.package, ForceDeviceResyncReq(nb_transmissions=3))
        await trio.sleep(15)
        request = at_work.answers(device, AppTimeReq)[0]
        (uplink,) = [uplink for uplink in at_work.heard if uplink.f_port == 202][:1]
        correction = gpstime.gps_seconds(uplink.received_at) - request.device_time
        assert correction == -off
        await at_work.ask(
            clocksync.package, AppTimeAns(time_correction=correction, token_ans=request.token_req)
        )
        await trio.sleep(60)
        assert len(at_work.answers(device, AppTimeReq)) <= 3  # it stops once corrected
        await at_work.arrange(start, time_out=8)
        await trio.sleep(60)
    assert device.time.offset == timedelta(0)


async def test_several_answers_share_an_uplink(autojump_clock: MockClock) -> None:
    (device,) = devices = fleet(1)
    async with campaign(devices) as at_work:
        commands = (group_setup(device), session_request(GROUP, NOON + timedelta(hours=1), 4))
        await at_work.network.downlink(
            device.dev_eui, 200, multicast.package.write(*commands, version=1), unless_pending=False
        )
        await trio.sleep(60)
        (uplink,) = [uplink for uplink in at_work.heard if uplink.f_port == 200]
    answers = multicast.package.read("up", uplink.data, version=1).whole()
    assert [type(answer) for answer in answers] == [McGroupSetupAns, McClassCSessionAns]


async def test_class_c_frames_follow_each_other_at_the_pace_of_their_airtime(
    autojump_clock: MockClock,
) -> None:
    devices = fleet(1)
    async with campaign(devices, radio=Radio(fragment_interval=timedelta(seconds=3))) as at_work:
        group_id = await at_work.prepare()
        await at_work.transmit(group_id)
        queue = at_work.world.chirpstack.group(group_id).queue
        await trio.sleep(1)
        before = len(queue.items)
        await trio.sleep(30)
        assert before - len(queue.items) == 10


async def test_the_same_seed_brings_the_same_fortune(autojump_clock: MockClock) -> None:
    async def fortune() -> list[tuple[str, int, bytes]]:
        devices = fleet(5, seed=7)
        async with campaign(devices, radio=Radio(loss=0.3)) as at_work:
            await at_work.run()
            return sorted((str(heard.dev_eui), heard.f_cnt, heard.data) for heard in at_work.heard)

    assert await fortune() == await fortune()


async def test_loss_is_no_more_and_no_less_than_asked_for(autojump_clock: MockClock) -> None:
    devices = fleet(50)
    async with campaign(devices, radio=Radio(loss=0.3)) as at_work:
        await trio.sleep(1000)
    sent = sum(station.f_cnt for station in at_work.world.stations.values())
    assert len(at_work.heard) / sent == pytest.approx(0.7, abs=0.03)
