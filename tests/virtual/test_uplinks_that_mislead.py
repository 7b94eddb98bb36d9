"""Uplinks that hold what nobody has asked, what is not true, or noise, over whole deployments."""

from datetime import timedelta
from random import Random

import attrs
import pytest
import trio
from trio.testing import MockClock

from fuota.deployment.states import Why
from fuota.device.states import (
    AskingStatus,
    Complete,
    Failed,
    JoiningGroup,
    Listening,
    Prepared,
    SettingUpFragments,
    SettingUpGroup,
    SettingUpSession,
    Waiting,
)
from fuota.lorawan import clocksync, fragmentation, multicast
from fuota.lorawan.eui import EUI64
from fuota.lorawan.fragmentation import FragSessionSetupAns, FragSessionStatusAns
from fuota.lorawan.multicast import McClassBSessionAns, McClassCSessionAns, McGroupSetupAns
from fuota.lorawan.package import Command, Package
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.radio import Radio
from fuota.uplink import Uplink
from tests.campaign import IMAGE, order, server, serving, simulated, surroundings
from tests.virtual.spoilt_uplinks import PORTS, crashed, log_of


def early(uplink: Uplink) -> list[Uplink]:
    """Answers to all that was not asked, or not of this deployment, and the uplink itself."""
    others = (
        McGroupSetupAns(mc_group_id=2, id_error=True),
        McClassCSessionAns(mc_group_id=2, dr_error=True),
        McClassBSessionAns(mc_group_id=1, time_to_start=17),
        multicast.McGroupStatusAns(ans_group_mask=0, nb_total_groups=0, items=()),
    )
    of_fragments = (
        FragSessionSetupAns(frag_index=3, not_enough_memory=True),
        FragSessionStatusAns(frag_index=3, nb_frag_received=0, missing_frag=9, not_enough_matrix_memory=True),
    )
    made = (
        multicast.package.write(*others, version=1),
        fragmentation.package.write(*of_fragments, version=1),
    )
    return [
        *(attrs.evolve(uplink, f_port=port, data=data) for port, data in zip(PORTS, made, strict=True)),
        uplink,
    ]


async def test_they_answer_what_nobody_has_asked(autojump_clock: MockClock) -> None:
    log = await log_of(simulated(3), early)
    assert len([command for command in log if command != "McGroupStatusAns"]) == 8


async def test_they_say_complete_before_anything_was_sent(autojump_clock: MockClock) -> None:
    """Of the right session, all the time: who has nothing is not believed to have it all."""
    complete = FragSessionStatusAns(frag_index=0, nb_frag_received=41, missing_frag=0)
    data = fragmentation.package.write(complete, version=1)
    devices = simulated(2, lambda number: Behaviour(wrong_root_key=number == 1))
    around = surroundings(devices)

    def promising(uplink: Uplink) -> list[Uplink]:
        begun = any(group.queue.next_f_cnt for group in around.world.chirpstack.groups.values())
        return [uplink] if begun else [attrs.evolve(uplink, f_port=201, data=data), uplink]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around, promising) as running:
            result = await running.carry_out(order(devices))
        nursery.cancel_scope.cancel()
    assert [type(result.state(device.dev_eui)) for device in devices] == [Complete, Failed]


WAY = [JoiningGroup, SettingUpGroup, SettingUpFragments, Prepared, SettingUpSession, Listening, AskingStatus]
"""Of a device whose every request is answered at once; then it is complete."""


@pytest.mark.parametrize("refusing", [False, True])
async def test_they_answer_before_they_are_asked_and_again(refusing: bool, autojump_clock: MockClock) -> None:
    """With the right ids, in every state, whatever it does not ask; only then comes the uplink itself."""
    session = McClassCSessionAns(mc_group_id=0, dr_error=refusing, time_to_start=None if refusing else 30)
    setup = FragSessionSetupAns(frag_index=0, not_enough_memory=refusing)
    status = FragSessionStatusAns(frag_index=0, nb_frag_received=0 if refusing else 41, missing_frag=0)
    asked: dict[Package, dict[type, Command]] = {
        multicast.package: {
            SettingUpGroup: McGroupSetupAns(mc_group_id=0, id_error=refusing),
            SettingUpSession: session,
        },
        fragmentation.package: {SettingUpFragments: setup, AskingStatus: status},
    }
    behaviours = [Behaviour(answer_delay=timedelta(seconds=8)), Behaviour()]  # the others wait for the first
    devices = simulated(8, lambda number: behaviours[number > 0])
    misled = set[type]()
    around = surroundings(devices, radio=Radio(uplink_interval=timedelta(seconds=5)))
    around.world.chatty, around.network.conditions.latency = True, 1

    def way(dev_eui: EUI64) -> list[type]:
        return [type(each.state) for each in around.journal.history if each.actor.dev_eui == dev_eui]

    def out_of_turn(uplink: Uplink) -> list[Uplink]:
        here = [Waiting, *way(uplink.dev_eui)][-1]
        misled.add(here)
        made = [
            attrs.evolve(
                uplink,
                f_port=package.port,
                data=package.write(*(said for state, said in each.items() if state is not here), version=1),
            )
            for package, each in asked.items()
        ]
        return [*made, uplink]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around, out_of_turn) as running:
            await running.carry_out(order(devices, multicast_timeout=8))
            assert crashed(running.tree) == []
        nursery.cancel_scope.cancel()
    for device in devices:
        assert way(device.dev_eui) == [*WAY, Complete]
        assert device.image == IMAGE
    assert {Waiting, *WAY} - misled == set()


async def test_they_are_cut_off(autojump_clock: MockClock) -> None:
    """Every beginning of each comes before it."""

    def truncated(uplink: Uplink) -> list[Uplink]:
        if uplink.f_port not in PORTS:
            return [uplink]
        return [attrs.evolve(uplink, data=uplink.data[:end]) for end in range(len(uplink.data) + 1)]

    await log_of(simulated(3), truncated)


@pytest.mark.parametrize("seed", range(5))
async def test_they_are_noise(seed: int, autojump_clock: MockClock) -> None:
    """Noise may happen to be a refusal; it never is the crash of an actor, and never claims an image."""
    random, devices = Random(seed), simulated(4, lambda number: Behaviour(wrong_root_key=True))

    def noisy(uplink: Uplink) -> list[Uplink]:
        noise = [random.randbytes(random.randrange(60)) for _ in range(5)]
        ports = (*PORTS, clocksync.package.port)
        return [*(attrs.evolve(uplink, f_port=random.choice(ports), data=data) for data in noise), uplink]

    async with server(devices, uplinks=noisy) as running:
        result = await running.carry_out(order(devices))
        assert crashed(running.tree) == []
        assert not running.world.chirpstack.groups
    assert result.why in (Why.DONE, Why.NOBODY_LEFT)
    assert Complete not in result.states()
