"""Devices whose downlinks are dropped, or are on air late; and a network that tells of it or does not."""

from collections import Counter
from datetime import timedelta
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from fuota.deployment.states import ArrangingSession, Transmitting
from fuota.device.effects import Ask
from fuota.device.messages import HandedOver
from fuota.device.request import REMEMBERED, Request
from fuota.device.states import (
    AskingStatus,
    Complete,
    Failed,
    Reason,
    SettingUpFragments,
    SettingUpGroup,
    SettingUpSession,
    State,
)
from fuota.fate import Dropped, Fate, OnAir
from fuota.journal.memory import MemoryJournal
from fuota.lorawan import multicast
from fuota.lorawan.eui import EUI64
from fuota.lorawan.fragmentation import FragSessionSetupReq, FragSessionStatusReq
from fuota.lorawan.multicast import McClassCSessionReq, McGroupSetupReq, McGroupStatusReq
from fuota.network.port import Queued, Unreachable
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.radio import Radio
from fuota.uplink import Uplink
from tests.campaign import IMAGE, START, Result, order, server, serving, simulated, surroundings

OFTEN = Radio(uplink_interval=timedelta(seconds=5))
SELDOM = Radio(uplink_interval=timedelta(seconds=9))
LATE = Behaviour(answer_delay=timedelta(seconds=4))
"""Within a patience of ten seconds from when it is asked, but not from when the network is told to ask."""


async def carried_out(
    behaviour: Behaviour, radio: Radio, patience: int, attempts: int, *, told: bool
) -> Result:
    devices = simulated(3, lambda _: behaviour)
    async with server(devices, radio=radio, told=told) as running:
        result = await running.carry_out(
            order(devices, unicast_timeout=timedelta(seconds=patience), unicast_attempt_count=attempts)
        )
    if result.states() == {Complete}:
        assert {device.image for device in devices} == {IMAGE}
    return result


async def test_what_is_dropped_is_asked_again_at_once(autojump_clock: MockClock) -> None:
    told = await carried_out(Behaviour(dropped=2), OFTEN, 60, 3, told=True)
    untold = await carried_out(Behaviour(dropped=2), OFTEN, 60, 3, told=False)
    assert told.states() == untold.states() == {Complete}
    asked = [result.at - result.status.created_at for result in (told, untold)]
    assert asked[1] - asked[0] > timedelta(seconds=90)  # two waits of a minute, less the devices' pauses


async def test_a_device_of_which_every_request_is_dropped_has_not_failed_to_answer(
    autojump_clock: MockClock,
) -> None:
    result = await carried_out(Behaviour(dropped=1000), OFTEN, 60, 3, told=True)
    assert {device.state for device in result.status.devices} == {
        Failed(Reason.NOT_SENT, "McGroupSetupReq, the last time: too large")
    }


@pytest.mark.parametrize(("interval", "patience", "attempts"), [(60, 140, 3), (600, 1500, 5)])
async def test_one_that_does_not_agree_is_given_up_in_the_end_where_attempts_begin_on_air(
    interval: int, patience: int, attempts: int, autojump_clock: MockClock
) -> None:
    """In the second round it is alone. An attempt lasts longer than ordered: for that the start is put off
    once, and there is more time for each then."""
    silent = Behaviour(ignores=frozenset({McClassCSessionReq}))
    devices = simulated(10, lambda number: silent if number == 0 else Behaviour())
    journal, radio = MemoryJournal(), Radio(uplink_interval=timedelta(seconds=interval))
    async with server(devices, radio=radio, journal=journal, told=True) as running:
        result = await running.carry_out(
            order(devices, unicast_timeout=timedelta(seconds=patience), unicast_attempt_count=attempts)
        )
    states = [transition.state for transition in journal.history]
    assert {state.session.number for state in states if isinstance(state, Transmitting)} == {1}
    assert {state.session.number for state in states if isinstance(state, ArrangingSession)} == {1, 2, 3}
    assert Counter(type(device.state) for device in result.status.devices) == {Complete: 9, Failed: 1}


async def test_patience_begins_when_the_request_is_on_air(autojump_clock: MockClock) -> None:
    result = await carried_out(LATE, SELDOM, 10, 1, told=True)
    assert result.states() == {Complete}


async def test_without_word_of_it_when_the_network_has_the_request(autojump_clock: MockClock) -> None:
    result = await carried_out(LATE, SELDOM, 10, 1, told=False)
    failed = [device.state for device in result.status.devices if isinstance(device.state, Failed)]
    assert failed
    assert {state.reason for state in failed} == {Reason.NO_ANSWER}


async def test_though_the_call_that_put_it_into_the_queue_was_not_answered(autojump_clock: MockClock) -> None:
    """It is found there when the call is made again."""
    devices = simulated(3, lambda _: LATE)
    async with server(devices, radio=SELDOM) as running:
        downlink, unsaid = running.network.downlink, Counter[EUI64]()

        async def once_unsaid(dev_eui: EUI64, f_port: int, data: bytes, **how: Any) -> Queued:
            queued = await downlink(dev_eui, f_port, data, **how)
            unsaid[dev_eui] += 1
            if unsaid[dev_eui] % 2:
                raise Unreachable("UNAVAILABLE", "connection reset by peer")
            assert queued.already
            return queued

        running.network.downlink = once_unsaid  # type: ignore[method-assign]
        result = await running.carry_out(
            order(devices, unicast_timeout=timedelta(seconds=10), unicast_attempt_count=1)
        )
    assert result.states() == {Complete}
    assert set(unsaid) == {device.dev_eui for device in devices}


async def test_though_the_process_that_put_it_into_the_queue_has_died(autojump_clock: MockClock) -> None:
    """It waits there still when it is asked for again, and patience begins with that."""
    devices = simulated(3, lambda _: LATE)
    around = surroundings(devices, radio=attrs.evolve(SELDOM, loss=1.0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around) as running:
            deployment_id = await running.orders.take(
                order(devices, unicast_timeout=timedelta(seconds=10), unicast_attempt_count=1)
            )
            await trio.sleep(1)
        async with serving(around) as running:
            await trio.sleep(10)
            waiting = [len(around.world.chirpstack.queue(device.dev_eui).items) for device in devices]
            assert waiting == [1, 1, 1]
            around.world.radio = SELDOM
            result = await running.end_of(deployment_id)
        nursery.cancel_scope.cancel()
    assert result.states() == {Complete}


REQUESTS: dict[type[State], tuple[int, int]] = {
    SettingUpGroup: (200, McGroupSetupReq.cid),
    SettingUpFragments: (201, FragSessionSetupReq.cid),
    SettingUpSession: (200, McClassCSessionReq.cid),
    AskingStatus: (201, FragSessionStatusReq.cid),
}
"""What each state asks: port and CID."""


@pytest.mark.parametrize("away", ["process", "network"])
@pytest.mark.parametrize("state", REQUESTS, ids=lambda state: state.__name__)
async def test_the_last_one_that_is_dropped_may_be_asked_again_when_something_was_away(
    state: type[State], away: str, autojump_clock: MockClock
) -> None:
    """The answer to the one before it may have come just then."""
    devices = simulated(1)
    around = surroundings(devices)
    downlink, asked = around.network.downlink, 0

    async def dropping(dev_eui: EUI64, f_port: int, data: bytes, **how: Any) -> Queued:
        nonlocal asked
        queued = await downlink(dev_eui, f_port, data, **how)
        asked += (f_port, data[0]) == REQUESTS[state]
        if asked == 2 and (f_port, data[0]) == REQUESTS[state]:
            around.world.chirpstack.queue(dev_eui).items.clear()
            await around.tell_of(Dropped(dev_eui=dev_eui, item=queued.item, reason="too large"))
        return queued

    def lost(uplink: Uplink) -> list[Uplink]:
        return [] if asked in (1, 2) else [uplink]

    around.network.downlink = dropping  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around, lost) as running:
            deployment_id = await running.orders.take(order(devices, unicast_attempt_count=2))
            while not any(getattr(each.state, "dropped", "") for each in around.journal.history):  # noqa: ASYNC110
                await trio.sleep(0.1)
            if away == "network":
                around.network.conditions.outage(timedelta(seconds=40))
                result = await running.end_of(deployment_id)
        if away == "process":
            await trio.sleep(5)
            async with serving(around, lost) as running:
                result = await running.end_of(deployment_id)
        nursery.cancel_scope.cancel()
    assert asked >= 3
    assert result.states() == {Complete}


async def test_a_frame_counter_that_is_given_again_is_not_dropped_again(autojump_clock: MockClock) -> None:
    """ChirpStack 3 gives that of what it has dropped to what comes next."""
    devices, asked = simulated(1), 0
    async with server(devices, told=False) as running:
        downlink = running.network.downlink

        async def dropped_once(dev_eui: EUI64, f_port: int, data: bytes, **how: Any) -> Queued:
            nonlocal asked
            asked += 1
            if asked == 1:  # and the event is quicker than the answer to the call
                for ref in running.services.devices[dev_eui]:
                    ref.offer(Dropped(dev_eui=dev_eui, item="7", reason="too large"))
                await trio.sleep(0.1)
            else:
                await downlink(dev_eui, f_port, data, **how)
            return Queued("7")

        running.network.downlink = dropped_once  # type: ignore[method-assign]
        result = await running.carry_out(order(devices))
    assert result.states() == {Complete}
    assert asked == 5


def test_an_event_may_be_quicker_than_the_answer_to_the_call_and_counts_once() -> None:
    dev_eui, request = EUI64(bytes(8)), Request()
    ask = Ask(multicast.package, McGroupStatusReq(req_group_mask=1), False, START, timedelta(seconds=9))

    def taken(item: str) -> Fate | None:
        return request.taken(HandedOver(ask, item, anew=True), 0.0)

    def settled(item: str) -> bool:
        return request.settled(OnAir(dev_eui=dev_eui, item=item))

    request.begin(ask)
    assert not settled("7")
    assert taken("7") == OnAir(dev_eui=dev_eui, item="7")
    assert settled("7")
    assert not settled("7")
    assert taken("8") is None
    request.end()
    assert not any(map(settled, ["9", "8"])), "nothing is asked any more"
    for number in range(REMEMBERED):
        settled(f"1{number}")
    assert taken("7") is None
