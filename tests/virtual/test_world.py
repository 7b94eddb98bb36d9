"""What goes in at one end of the simulated network comes out of the decoders, but for what is lost on air."""

from datetime import timedelta

import attrs
import pytest
import trio
from trio.testing import MockClock

from fuota.deployment.plan import MulticastClass
from fuota.lorawan.fragmentation import FragSessionSetupAns, FragSessionStatusAns
from fuota.lorawan.multicast import McClassBSessionAns, McGroupSetupAns
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.fleet import fleet, holdings
from fuota.simulation.radio import Radio
from tests.virtual.by_hand import GROUP, IMAGE, NB_FRAG, campaign


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
