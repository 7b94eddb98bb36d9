"""Simulated devices behave as they are told to, in whole campaigns by hand."""

from datetime import timedelta

import attrs
import pytest
import trio
from trio.testing import MockClock

from fuota.lorawan import clocksync, fragmentation, gpstime, multicast
from fuota.lorawan.clocksync import AppTimeAns, AppTimeReq, ForceDeviceResyncReq
from fuota.lorawan.fragmentation import (
    FragSessionSetupAns,
    FragSessionSetupReq,
    FragSessionStatusAns,
    FragSessionStatusReq,
)
from fuota.lorawan.multicast import McClassCSessionAns, McGroupSetupAns, McGroupSetupReq
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.device import Device
from fuota.simulation.fleet import fleet
from fuota.simulation.radio import Radio
from tests.virtual.by_hand import GROUP, IMAGE, NOON, campaign, group_setup, session_request


def one(behaviour: Behaviour) -> list[Device]:
    return fleet(1, behaviour=lambda _: behaviour)


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
