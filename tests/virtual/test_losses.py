"""What is lost, late or repeated on the way, and what becomes of it."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
import structlog
from trio.testing import MockClock

from fuota.deployment.plan import MulticastClass, StatusRequest
from fuota.deployment.states import Draining, Why
from fuota.device.states import Complete, Unconfirmed
from fuota.journal.memory import MemoryJournal
from fuota.lorawan import multicast
from fuota.lorawan.multicast import McClassCSessionAns
from fuota.network.port import KnownGroup
from fuota.simulation.behaviour import Behaviour, Stack
from fuota.simulation.radio import Radio
from fuota.uplink import Uplink
from tests.campaign import IMAGE, order, server, simulated


async def test_what_is_lost_on_the_air_is_repaired(autojump_clock: MockClock) -> None:
    devices = simulated(10)
    async with server(devices, radio=Radio(loss=0.3)) as running:
        result = await running.carry_out(
            order(devices, fragmentation_redundancy=50, unicast_attempt_count=12)
        )
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


async def test_what_is_lost_in_class_b_is_repaired(autojump_clock: MockClock) -> None:
    """In the region's own channels, with calls that fail and uplinks that come three times."""
    devices = simulated(6)
    async with server(devices, radio=Radio(loss=0.3), uplinks=lambda uplink: (uplink,) * 3) as running:
        running.network.conditions.failing = 0.1
        result = await running.carry_out(
            order(
                devices,
                multicast_group_type=MulticastClass.B,
                multicast_timeout=1,
                multicast_frequency=0,
                multicast_periodicity=1,
                fragmentation_redundancy=50,
                unicast_attempt_count=12,
            )
        )
        assert not running.world.chirpstack.groups
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


@pytest.mark.parametrize("asked", [StatusRequest.AFTER_FRAGMENT_ENQUEUE, StatusRequest.AFTER_SESSION_TIMEOUT])
async def test_an_outage_in_the_middle_of_a_class_b_session(
    asked: StatusRequest, autojump_clock: MockClock
) -> None:
    """It is longer than the session: what is missing is sent in another."""
    devices = simulated(4)
    async with server(devices) as running:
        multicast = running.network.multicast
        sent: list[bytes] = []

        async def interrupted(group: KnownGroup, f_port: int, data: bytes) -> None:
            await multicast(group, f_port, data)
            sent.append(data)
            if len(sent) == 10:
                running.network.conditions.outage(timedelta(minutes=10))

        running.network.multicast = interrupted  # type: ignore[method-assign]
        result = await running.carry_out(
            order(
                devices,
                multicast_group_type=MulticastClass.B,
                multicast_timeout=1,
                request_fragmentation_session_status=asked,
            )
        )
        rows = await running.journal.logs(result.status.id, devices[0].dev_eui)
    assert rows is not None
    starts = {row.fields["session_time"] for row in rows if row.command == "McClassBSessionReq"}
    assert len(starts) == 2
    assert {int(start) % 128 for start in starts} == {0}
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


@pytest.mark.parametrize("asked", StatusRequest)
async def test_a_network_that_takes_fragments_quicker_than_it_sends_them(
    asked: StatusRequest, autojump_clock: MockClock
) -> None:
    """As ChirpStack does, with a pause between two downlinks of a group: what still waits in its queue when
    the window closes is sent in another, and nothing is sent while nobody listens."""
    devices = simulated(4)
    radio = Radio(fragment_interval=timedelta(seconds=2.9))  # 21 in each window of 64 s
    async with server(devices, radio=radio) as running:
        with structlog.testing.capture_logs() as said:
            result = await running.carry_out(order(devices, request_fragmentation_session_status=asked))
        rows = await running.journal.logs(result.status.id, devices[0].dev_eui)
    assert rows is not None
    sessions = {row.fields["session_time"] for row in rows if row.command == "McClassCSessionReq"}
    assert 2 <= len(sessions) <= 4
    waiting = [line["left"] for line in said if line["event"].startswith("downlinks still wait")]
    assert waiting
    assert waiting == sorted(waiting, reverse=True)
    assert {device.image for device in devices} == {IMAGE}
    assert result.why is Why.DONE


@pytest.mark.parametrize("asked", [StatusRequest.AFTER_FRAGMENT_ENQUEUE, StatusRequest.AFTER_SESSION_TIMEOUT])
async def test_what_a_device_counted_in_an_earlier_deployment_completes_no_other(
    asked: StatusRequest, autojump_clock: MockClock
) -> None:
    """The first time half of what is sent is lost, then all of it, and then nothing."""
    devices = simulated(2, lambda _: Behaviour(stack=Stack.LORAMAC_NODE, keeps_count=True))
    ended = []
    async with server(devices) as running:
        send, sent = running.network.multicast, 0
        for heard in (2, 1000, 1):

            async def lossy(group: KnownGroup, f_port: int, data: bytes, heard: int = heard) -> None:
                nonlocal sent
                sent += 1
                if sent % heard == 0:
                    await send(group, f_port, data)

            running.network.multicast = lossy  # type: ignore[method-assign]
            ended.append(await running.carry_out(order(devices, request_fragmentation_session_status=asked)))
            images = {device.image for device in devices}
            assert images == ({IMAGE} if heard == 1 else {None})
    first, second, third = (result.state(devices[0].dev_eui) for result in ended)
    assert isinstance(first, Unconfirmed)
    assert first.missing_frag
    assert second == Unconfirmed(first.nb_frag_received, 0)
    assert isinstance(third, Complete)
    assert ended[2].states() == {Complete}


async def test_what_still_waits_is_sent_to_devices_that_say_they_have_all(autojump_clock: MockClock) -> None:
    """The last of them says so when some fifty of 61 have been sent, and they need 59 to finish."""
    devices, journal = simulated(3, lambda _: Behaviour(trailing=18)), MemoryJournal()
    radio = Radio(fragment_interval=timedelta(seconds=2.5))
    async with server(devices, radio=radio, journal=journal) as running:
        result = await running.carry_out(
            order(
                devices,
                multicast_timeout=8,
                request_fragmentation_session_status=StatusRequest.AFTER_FRAGMENT_ENQUEUE,
            )
        )
    assert any(isinstance(transition.state, Draining) for transition in journal.history)
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


@pytest.mark.parametrize("asked", [StatusRequest.AFTER_FRAGMENT_ENQUEUE, StatusRequest.AFTER_SESSION_TIMEOUT])
async def test_a_device_whose_answer_to_the_session_request_is_lost_gets_the_image_and_says_so(
    asked: StatusRequest, autojump_clock: MockClock
) -> None:
    lossy = Behaviour(loses=frozenset({McClassCSessionAns}))
    devices = simulated(3, lambda number: lossy if number == 1 else Behaviour())
    async with server(devices) as running:
        result = await running.carry_out(order(devices, request_fragmentation_session_status=asked))
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


@pytest.mark.parametrize("attempts", [1, 3])
async def test_so_does_one_whose_clock_was_put_right_before_that(
    attempts: int, autojump_clock: MockClock
) -> None:
    """Its first answer counts to another start, and all that follow are lost."""
    devices = simulated(2, lambda number: Behaviour(clock_offset=timedelta(seconds=-20 * number)))
    heard = 0

    def first_alone(uplink: Uplink) -> Sequence[Uplink]:
        nonlocal heard
        commands = multicast.package.read("up", uplink.data, 1).commands if uplink.f_port == 200 else ()
        if uplink.dev_eui == devices[1].dev_eui and any(
            isinstance(each, McClassCSessionAns) for each in commands
        ):
            heard += 1
            return (uplink,) if heard == 1 else ()
        return (uplink,)

    async with server(devices, uplinks=first_alone) as running:
        result = await running.carry_out(order(devices, unicast_attempt_count=attempts))
    assert heard > 1
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


async def test_an_uplink_that_comes_three_times_counts_once(autojump_clock: MockClock) -> None:
    devices = simulated(2)
    journal = MemoryJournal()
    async with server(devices, journal=journal, uplinks=lambda uplink: (uplink,) * 3) as running:
        result = await running.carry_out(order(devices))
        rows = await journal.logs(result.status.id, devices[0].dev_eui)
    assert result.states() == {Complete}
    assert rows is not None
    assert [row.command for row in rows] == [
        "McGroupSetupReq",
        "McGroupSetupAns",
        "FragSessionSetupReq",
        "FragSessionSetupAns",
        "McClassCSessionReq",
        "McClassCSessionAns",
        "FragSessionStatusReq",
        "FragSessionStatusAns",
    ]


async def test_an_outage_of_chirpstack_costs_time_and_nothing_else(autojump_clock: MockClock) -> None:
    devices = simulated(4)
    async with server(devices) as running:
        running.network.conditions.outage(timedelta(minutes=5))
        result = await running.carry_out(order(devices))
    assert result.states() == {Complete}


async def test_calls_that_fail_now_and_then_are_made_again(autojump_clock: MockClock) -> None:
    devices = simulated(4)
    async with server(devices) as running:
        running.network.conditions.failing = 0.1
        result = await running.carry_out(order(devices))
        assert not running.world.chirpstack.groups
    assert result.states() == {Complete}


async def test_lost_uplinks_are_asked_for_again(autojump_clock: MockClock) -> None:
    devices = simulated(6, lambda _: Behaviour(uplink_loss=0.2))
    async with server(devices) as running:
        result = await running.carry_out(order(devices, unicast_attempt_count=8))
    assert result.states() == {Complete}
