"""A device that is silent, refuses or is unknown fails alone, and says why."""

import pytest
from trio.testing import MockClock

from fuota.deployment.plan import MulticastClass
from fuota.deployment.states import Why
from fuota.device.states import Complete, Failed, Reason, State
from fuota.journal.port import Milestone
from fuota.lorawan.fragmentation import FragSessionSetupAns, FragSessionSetupReq, FragSessionStatusReq
from fuota.lorawan.multicast import (
    McClassBSessionAns,
    McClassBSessionReq,
    McClassCSessionAns,
    McClassCSessionReq,
    McGroupSetupAns,
    McGroupSetupReq,
)
from fuota.network.port import KnownGroup
from fuota.simulation.behaviour import Behaviour
from tests.campaign import order, server, simulated


def reason(state: State) -> Reason:
    assert isinstance(state, Failed)
    return state.reason


async def test_when_nobody_was_heard_to_agree_nothing_is_sent(autojump_clock: MockClock) -> None:
    devices = simulated(2, lambda _: Behaviour(ignores=frozenset({McClassCSessionReq})))
    async with server(devices) as running:
        result = await running.carry_out(order(devices))
        assert not running.world.chirpstack.groups
    assert result.why is Why.NOBODY_LEFT
    assert {reason(result.state(device.dev_eui)) for device in devices} == {Reason.NO_ANSWER}


REFUSALS: list[tuple[Behaviour, Reason]] = [
    (Behaviour(silent=True), Reason.NO_ANSWER),
    (Behaviour(memory=100), Reason.FRAGMENTATION_REFUSED),
    (
        Behaviour(refuses={McGroupSetupReq: McGroupSetupAns(mc_group_id=0, id_error=True)}),
        Reason.GROUP_REFUSED,
    ),
    *[
        (
            Behaviour(refuses={FragSessionSetupReq: FragSessionSetupAns(frag_index=0, **{bit: True})}),
            Reason.FRAGMENTATION_REFUSED,
        )
        for bit in (
            "encoding_unsupported",
            "not_enough_memory",
            "frag_session_index_not_supported",
            "wrong_descriptor",
        )
    ],
    *[
        (
            Behaviour(refuses={McClassCSessionReq: McClassCSessionAns(mc_group_id=0, **{bit: True})}),
            Reason.SESSION_REFUSED,
        )
        for bit in ("dr_error", "freq_error", "mc_group_undefined")
    ],
    (
        Behaviour(refuses={McClassCSessionReq: McClassCSessionAns(mc_group_id=0, start_missed=True)}),
        Reason.START_MISSED,
    ),
    (Behaviour(ignores=frozenset({FragSessionStatusReq})), Reason.NO_ANSWER),
    (Behaviour(wrong_root_key=True), Reason.INCOMPLETE),
]


@pytest.mark.parametrize(("behaviour", "expected"), REFUSALS)
async def test_one_bad_device_fails_alone_with_a_reason(
    behaviour: Behaviour, expected: Reason, autojump_clock: MockClock
) -> None:
    devices = simulated(3, lambda number: behaviour if number == 1 else Behaviour())
    async with server(devices) as running:
        result = await running.carry_out(order(devices))
    bad = result.state(devices[1].dev_eui)
    assert reason(bad) is expected
    assert bad.detail
    assert {type(result.state(device.dev_eui)) for device in (devices[0], devices[2])} == {Complete}


@pytest.mark.parametrize("bit", ["dr_error", "freq_error", "mc_group_undefined"])
async def test_one_that_refuses_class_b_fails_alone(bit: str, autojump_clock: MockClock) -> None:
    refusal = McClassBSessionAns(mc_group_id=0, **{bit: True})
    refusing = Behaviour(refuses={McClassBSessionReq: refusal})
    devices = simulated(3, lambda number: refusing if number == 1 else Behaviour())
    async with server(devices) as running:
        result = await running.carry_out(
            order(devices, multicast_group_type=MulticastClass.B, multicast_timeout=1)
        )
    assert reason(result.state(devices[1].dev_eui)) is Reason.SESSION_REFUSED
    assert {type(result.state(device.dev_eui)) for device in (devices[0], devices[2])} == {Complete}


async def test_a_device_the_network_does_not_know_fails_alone(autojump_clock: MockClock) -> None:
    devices = simulated(3)
    async with server(devices[:2]) as running:
        result = await running.carry_out(order(devices))
    assert reason(result.state(devices[2].dev_eui)) is Reason.UNKNOWN_DEVICE
    assert {type(result.state(device.dev_eui)) for device in devices[:2]} == {Complete}


async def test_when_nobody_is_left_nothing_is_multicast(autojump_clock: MockClock) -> None:
    devices = simulated(3, lambda _: Behaviour(silent=True))
    sent: list[bytes] = []
    async with server(devices) as running:
        multicast = running.network.multicast

        async def counted(group: KnownGroup, f_port: int, data: bytes) -> None:
            sent.append(data)
            await multicast(group, f_port, data)

        running.network.multicast = counted  # type: ignore[method-assign]
        result = await running.carry_out(order(devices))
        assert not running.world.chirpstack.groups
    assert result.why is Why.NOBODY_LEFT
    assert not sent
    assert Milestone.ENQUEUE not in result.status.milestones
