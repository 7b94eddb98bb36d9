"""One start for the whole fleet, and clocks that are off."""

from datetime import timedelta

import pytest
import trio
from trio.testing import MockClock

from fuota.deployment.plan import MulticastClass
from fuota.deployment.states import ArrangingSession, Transmitting
from fuota.device.standing import OFTEN
from fuota.device.states import Complete, CorrectingClock, Reason, SettingUpSession
from fuota.dispatcher import Counts
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import Milestone
from fuota.lorawan import clocksync
from fuota.lorawan.clocksync import ForceDeviceResyncReq
from fuota.lorawan.multicast import McClassCSessionReq
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.frames import Payload
from fuota.simulation.radio import Radio
from tests.campaign import IMAGE, order, server, serving, simulated, surroundings


async def test_devices_do_not_wait_for_each_other(autojump_clock: MockClock) -> None:
    """A device that answers late holds up nobody before the barrier of the session's start."""
    slow = Behaviour(answer_delay=timedelta(seconds=25))
    devices = simulated(4, lambda number: slow if number == 0 else Behaviour())
    async with server(devices) as running:
        result = await running.carry_out(order(devices, unicast_timeout=timedelta(seconds=60)))
    prepared = {each.dev_eui: each.milestones[Milestone.FRAG_SESSION_SETUP] for each in result.status.devices}
    late = prepared.pop(devices[0].dev_eui)
    assert late - max(prepared.values()) > timedelta(seconds=20)
    assert result.states() == {Complete}


async def test_one_start_for_all_that_no_retry_moves(autojump_clock: MockClock) -> None:
    deaf = Behaviour(downlink_loss=0.4)
    devices = simulated(6, lambda number: deaf)
    async with server(devices, radio=Radio(uplink_interval=timedelta(seconds=5))) as running:
        result = await running.carry_out(
            order(devices, unicast_attempt_count=10, fragmentation_redundancy=120, multicast_timeout=8)
        )
        starts = set()
        for device in devices:
            rows = await running.journal.logs(result.status.id, device.dev_eui)
            assert rows is not None
            starts |= {row.fields["session_time"] for row in rows if row.command == "McClassCSessionReq"}
    assert len(starts) == 1
    assert result.states() == {Complete}


@pytest.mark.parametrize("off", [-5, -4, -3, 3, 4, 5])
async def test_a_clock_that_is_taken_for_right_loses_no_fragment(off: int, autojump_clock: MockClock) -> None:
    """And no coded one could repair it."""
    devices = simulated(2, lambda number: Behaviour(clock_offset=timedelta(seconds=off * number)))
    async with server(devices) as running:
        result = await running.carry_out(order(devices, multicast_timeout=7, fragmentation_redundancy=0))
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


async def test_a_clock_that_is_off_is_corrected(autojump_clock: MockClock) -> None:
    wrong = Behaviour(clock_offset=timedelta(seconds=-90))
    devices = simulated(3, lambda number: wrong if number == 0 else Behaviour())
    async with server(devices) as running:
        result = await running.carry_out(order(devices, unicast_attempt_count=5))
    assert result.states() == {Complete}


async def test_a_device_whose_clock_stays_wrong_is_not_counted_on(
    autojump_clock: MockClock,
) -> None:
    stubborn = Behaviour(clock_offset=timedelta(seconds=-90), ignores=frozenset({ForceDeviceResyncReq}))
    devices = simulated(3, lambda number: stubborn if number == 0 else Behaviour())
    async with server(devices) as running:
        result = await running.carry_out(order(devices))
    failed = result.state(devices[0].dev_eui)
    assert failed.reason is Reason.CLOCK_OFF
    assert "clock is off by -9" in failed.detail
    assert {type(result.state(device.dev_eui)) for device in devices[1:]} == {Complete}


async def test_a_device_that_is_heard_late_is_not_taken_for_one_whose_clock_is_off(
    autojump_clock: MockClock,
) -> None:
    late = Behaviour(early_time_to_start=True, answer_delay=timedelta(seconds=20))
    devices = simulated(3, lambda number: late if number == 1 else Behaviour())
    async with server(devices) as running:
        result = await running.carry_out(order(devices, unicast_timeout=timedelta(seconds=60)))
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


@pytest.mark.parametrize(("attempts", "session"), [(8, 1), (2, 1), (1, OFTEN)])
async def test_a_device_whose_clock_stays_wrong_does_not_put_off_the_start(
    attempts: int, session: int, autojump_clock: MockClock
) -> None:
    """Or a few times, where the only attempt leaves no time to put it right."""
    stubborn = Behaviour(clock_offset=timedelta(hours=1), ignores=frozenset({ForceDeviceResyncReq}))
    devices, journal = simulated(3, lambda number: stubborn if number == 0 else Behaviour()), MemoryJournal()
    async with server(devices, journal=journal) as running:
        await running.carry_out(order(devices, unicast_attempt_count=attempts))
    states = [transition.state for transition in journal.history]
    assert {state.session.number for state in states if isinstance(state, Transmitting)} == {session}


@pytest.mark.parametrize(
    ("attempts", "interval", "patience", "delay"),
    [(1, 30, 60, 15), (1, 30, 40, 15), (1, 10, 12, 0), (3, 30, 20, 15)],
)
async def test_nor_does_it_cost_a_device_its_attempts_that_its_clock_is_wrong(
    attempts: int, interval: int, patience: int, delay: int, autojump_clock: MockClock
) -> None:
    """There is no time before the start to put it right and to ask again, or not for the answer."""
    ahead = Behaviour(clock_offset=timedelta(minutes=1), answer_delay=timedelta(seconds=delay))
    devices = simulated(20, lambda _: ahead)
    async with server(devices, radio=Radio(uplink_interval=timedelta(seconds=interval))) as running:
        asked = order(devices, unicast_attempt_count=attempts, unicast_timeout=timedelta(seconds=patience))
        result = await running.carry_out(asked)
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


async def test_an_only_attempt_leaves_time_to_put_a_clock_right_where_each_call_takes_long(
    autojump_clock: MockClock,
) -> None:
    """It takes two uplinks, and two calls between them."""
    ahead = Behaviour(clock_offset=timedelta(seconds=90))
    devices = simulated(20, lambda number: ahead if number % 2 else Behaviour())
    radio = Radio(uplink_interval=timedelta(seconds=5))
    async with server(devices, radio=radio, told=False) as running:
        running.network.conditions.latency = 4.9
        asked = order(
            devices,
            multicast_group_type=MulticastClass.B,
            multicast_timeout=2,
            unicast_attempt_count=1,
            unicast_timeout=timedelta(seconds=8),
        )
        result = await running.carry_out(asked)
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


async def test_clocks_are_put_right_while_silent_devices_are_asked_again_and_again(
    autojump_clock: MockClock,
) -> None:
    """A request waits behind those to others for longer than an answer to AppTimeReq is worth anything."""
    kinds = [Behaviour(clock_offset=timedelta(seconds=-8))] * 5 + [Behaviour(silent=True)] * 250
    devices = simulated(len(kinds), kinds.__getitem__)
    soon = timedelta(seconds=20)
    async with server(devices, radio=Radio(uplink_interval=timedelta(seconds=5))) as running:
        running.network.conditions.latency = 4
        await running.orders.take(order(devices[5:], unicast_attempt_count=30, unicast_timeout=soon))
        result = await running.carry_out(order(devices[:5], unicast_attempt_count=2, unicast_timeout=soon))
        dispatcher = running.tree.snapshot("/dispatcher")
    assert result.states() == {Complete}
    assert dispatcher is not None
    assert isinstance(dispatcher.description, Counts)
    assert dispatcher.description.clock_answers >= 5
    assert dispatcher.description.clock_failures == 0


async def test_that_a_clock_is_to_be_put_right_does_not_wait_behind_requests_to_others(
    autojump_clock: MockClock,
) -> None:
    """Those wait for most of a minute, and the start would be put off meanwhile."""
    kinds = [Behaviour(clock_offset=timedelta(hours=1))] * 5 + [Behaviour(silent=True)] * 350
    devices, soon = simulated(len(kinds), kinds.__getitem__), timedelta(seconds=20)
    async with server(devices, radio=Radio(uplink_interval=timedelta(seconds=5))) as running:
        running.network.conditions.latency = 4
        await running.orders.take(order(devices[5:], unicast_attempt_count=30, unicast_timeout=soon))
        result = await running.carry_out(order(devices[:5], unicast_attempt_count=1, unicast_timeout=soon))
        rows = await running.journal.logs(result.status.id, devices[0].dev_eui)
    assert result.states() == {Complete}
    assert rows is not None
    asked = next(row.created_at for row in rows if row.command == "ForceDeviceResyncReq")
    told = [row.created_at for row in rows if row.command == "McClassCSessionAns" and row.created_at < asked]
    assert timedelta(seconds=3) < asked - max(told) < timedelta(seconds=10)


async def test_the_window_of_class_b_is_counted_in_beacon_periods(autojump_clock: MockClock) -> None:
    devices = simulated(2)
    async with server(devices) as running:
        result = await running.carry_out(
            order(
                devices, multicast_group_type=MulticastClass.B, multicast_timeout=2, multicast_periodicity=2
            )
        )
        rows = await running.journal.logs(result.status.id, devices[0].dev_eui)
    assert rows is not None
    (fields,) = [row.fields for row in rows if row.command == "McClassBSessionReq"]
    assert int(fields["session_time"]) % 128 == 0
    assert fields["session_time_out"] == "2"
    assert fields["session_periodicity"] == "2"
    assert result.at - result.status.milestones[Milestone.MC_SESSION] >= timedelta(seconds=4 * 128)
    assert result.states() == {Complete}


async def test_a_device_that_is_told_in_time_and_never_agrees_does_not_put_off_the_start_for_days(
    autojump_clock: MockClock,
) -> None:
    """Its attempts begin anew when they are on air: all of them together last longer than was planned, in
    both rounds."""
    silent = Behaviour(ignores=frozenset({McClassCSessionReq}))
    devices = simulated(1, lambda _: silent)
    async with server(devices, radio=Radio(uplink_interval=timedelta(minutes=10))) as running:
        asked = order(devices, unicast_timeout=timedelta(minutes=15), unicast_attempt_count=5)
        result = await running.carry_out(asked, within=timedelta(hours=16))
    assert result.state(devices[0].dev_eui).reason is Reason.NO_ANSWER


async def test_who_agreed_by_a_clock_that_is_put_right_later_is_asked_again(
    autojump_clock: MockClock,
) -> None:
    """It has asked for the time of its own accord, just before: then it says that its clock is right."""
    devices = simulated(1, lambda _: Behaviour(clock_offset=timedelta(seconds=-90), early_time_to_start=True))
    (device,) = devices
    journal = MemoryJournal()
    async with server(devices, journal=journal) as running:
        deployment_id = await running.orders.take(order(devices))
        while not any(isinstance(each.state, SettingUpSession) for each in journal.history):  # noqa: ASYNC110
            await trio.sleep(0.01)
        ask = clocksync.package.write(ForceDeviceResyncReq(nb_transmissions=1), version=1)
        device.take(Payload(clocksync.package.port, ask), running.clock.now())
        result = await running.end_of(deployment_id)
    assert result.states() == {Complete}, result.status.devices
    assert device.image == IMAGE


async def test_who_agreed_by_a_clock_that_is_put_right_later_is_asked_again_when_the_start_is_put_off(
    autojump_clock: MockClock,
) -> None:
    """The process is away from when the device is asked for its time until the start."""
    devices = simulated(1, lambda _: Behaviour(clock_offset=timedelta(seconds=-90)))
    around = surroundings(devices)
    asked = order(devices, unicast_timeout=timedelta(seconds=45), unicast_attempt_count=2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around) as running:
            deployment_id = await running.orders.take(asked)
            while not any(isinstance(each.state, CorrectingClock) for each in around.journal.history):  # noqa: ASYNC110
                await trio.sleep(0.05)
        (start,) = (
            each.state.session.start
            for each in around.journal.history
            if isinstance(each.state, ArrangingSession)
        )
        await around.clock.sleep_until(start)
        async with serving(around) as running:
            result = await running.end_of(deployment_id)
        nursery.cancel_scope.cancel()
    assert result.states() == {Complete}, result.status.devices
    assert devices[0].image == IMAGE
