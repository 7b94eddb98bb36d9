"""What becomes of deployments when ChirpStack does not do what it is asked, or forgets what it was told."""

from datetime import timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from fuota.deployment.plan import REPEATS, StatusRequest
from fuota.deployment.states import Transmitting, Why
from fuota.deployment.windows import PATIENT
from fuota.device.states import Complete, Failed, Reason, Released, Unconfirmed
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import Milestone
from fuota.lorawan import multicast
from fuota.lorawan.eui import EUI64
from fuota.network.port import KnownGroup, Trouble
from fuota.simulation.chirpstack import Group
from fuota.simulation.radio import Radio
from tests.campaign import IMAGE, Server, order, server, simulated

FRAGMENTS = 61
"""Of the usual order."""


async def until_enqueued(running: Server, count: int) -> Group:
    """The group, when so many fragments are in its queue or on air."""
    groups = running.world.chirpstack.groups
    while True:
        for group in groups.values():
            if group.queue.next_f_cnt % (FRAGMENTS + REPEATS) >= count:
                return group
        await trio.sleep(0.1)


@pytest.mark.parametrize("status", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAUTHENTICATED"])
@pytest.mark.parametrize("after", [0, 20, 75], ids=["group", "set-up", "transmission"])
async def test_an_outage_costs_time_and_nothing_else(
    status: str, after: float, autojump_clock: MockClock
) -> None:
    devices = simulated(4)
    async with server(devices) as running:
        network = running.network
        deployment_id = await running.orders.take(order(devices))
        await trio.sleep(after)
        network.conditions.outage(timedelta(minutes=10), status)
        await trio.sleep(300)
        assert status in network.health.ailments()["chirpstack"] or "token" in str(network.health.ailments())
        result = await running.end_of(deployment_id)
        assert network.health.ailments() == {}
        assert not running.world.chirpstack.groups
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


@pytest.mark.parametrize(
    ("latency", "time_out", "windows"), [(2, 6, 3), (4, 6, 7), (4.9, 6, 12), (4, 5, 20), (2, 8, 1), (4, 9, 1)]
)
async def test_a_chirpstack_that_is_slow_throughout_costs_time_and_nothing_else(
    latency: float, time_out: int, windows: int, autojump_clock: MockClock
) -> None:
    """More devices than are asked at a time, heard every ten seconds; and 61 calls one after the other."""
    devices, journal = simulated(40), MemoryJournal()
    async with server(devices, journal=journal) as running:
        began = trio.current_time()
        running.network.conditions.latency = latency
        asked = order(devices, unicast_timeout=timedelta(seconds=12), multicast_timeout=time_out)
        result = await running.carry_out(asked)
        assert not running.network.health.ailed(began)
        assert not running.world.chirpstack.groups
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}
    states: list[Any] = [each.state for each in journal.history]
    assert {(state.attempt, state.spared) for state in states if hasattr(state, "attempt")} == {(1, 0)}
    assert len({state.session for state in states if isinstance(state, Transmitting)}) == windows


@pytest.mark.parametrize("asked", [StatusRequest.AFTER_SESSION_TIMEOUT, StatusRequest.NO_REQUEST])
@pytest.mark.parametrize(("latency", "time_out", "served"), [(1, 3, True), (2, 4, True), (2, 3, False)])
async def test_a_window_of_a_few_calls_brings_what_was_sent_in_it(
    latency: float, time_out: int, served: bool, asked: StatusRequest, autojump_clock: MockClock
) -> None:
    """And who was not sent all is not released as if it had been."""
    devices = simulated(2)
    async with server(devices) as running:
        running.network.conditions.latency = latency
        short = order(
            devices,
            payload=IMAGE[:500],
            multicast_timeout=time_out,
            unicast_timeout=timedelta(seconds=60),
            request_fragmentation_session_status=asked,
        )
        result = await running.carry_out(short)
    assert [device.image == IMAGE[:500] for device in devices] == [served] * 2
    good = {Released} if asked is StatusRequest.NO_REQUEST else {Complete}
    assert result.states() == good if served else result.states() <= {Failed, Unconfirmed}


@pytest.mark.parametrize(
    ("count", "attempts", "latency", "time_out"),
    [(100, 1, 4, 7), (100, 1, 4.4, 6), (300, 1, 4.4, 7)],
)
async def test_nor_does_one_that_is_slower_than_the_attempts_leave_time_for(
    count: int, attempts: int, latency: float, time_out: int, autojump_clock: MockClock
) -> None:
    """The start is put off for those whom it has not asked in time; their answers to it come while they are
    being asked for the next."""
    devices = simulated(count)
    async with server(devices) as running:
        running.network.conditions.latency = latency
        asked = order(devices, unicast_attempt_count=attempts, multicast_timeout=time_out)
        result = await running.carry_out(asked)
        assert not running.world.chirpstack.groups
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


async def test_nor_one_that_several_deployments_wait_for(autojump_clock: MockClock) -> None:
    """Each puts its start off for those whose turn has not come, and they wait behind all others again."""
    devices = simulated(1000)
    fleets = [devices[first : first + 100] for first in range(0, 1000, 100)]
    async with server(devices) as running:
        running.network.conditions.latency = 4.8
        orders = [
            order(fleet, unicast_timeout=timedelta(seconds=16), unicast_attempt_count=2, multicast_timeout=8)
            for fleet in fleets
        ]
        deployments = [await running.orders.take(each) for each in orders]
        results = [await running.end_of(each) for each in deployments]
    assert [result.states() for result in results] == [{Complete}] * len(fleets)


async def test_nor_one_that_is_away_for_moments_besides(autojump_clock: MockClock) -> None:
    """Whom it has not asked by then is given time, too, and not put off as often as may be."""
    devices, journal = simulated(600), MemoryJournal()
    async with server(devices, journal=journal) as running, trio.open_nursery() as nursery:
        running.network.conditions.latency = 4.4

        async def now_and_then() -> None:
            while True:
                await trio.sleep(12)
                running.network.health.disturbed()

        nursery.start_soon(now_and_then)
        asked = order(
            devices, unicast_timeout=timedelta(seconds=16), unicast_attempt_count=1, multicast_timeout=7
        )
        result = await running.carry_out(asked)
        nursery.cancel_scope.cancel()
    assert result.states() == {Complete}
    sessions = [each.state.session for each in journal.history if isinstance(each.state, Transmitting)]
    assert max(session.put_off for session in sessions) < PATIENT / 2


async def test_a_refused_token_is_waited_for_however_long_it_takes(autojump_clock: MockClock) -> None:
    """Longer than the day after which a device is given up about which nothing is answered."""
    devices, away = simulated(2), timedelta(hours=30)
    async with server(devices, radio=Radio(uplink_interval=timedelta(minutes=10))) as running:
        running.network.conditions.outage(away, "UNAUTHENTICATED")
        deployment_id = await running.orders.take(order(devices, unicast_timeout=timedelta(minutes=15)))
        await trio.sleep(away.total_seconds())
        result = await running.end_of(deployment_id)
    assert result.states() == {Complete}


async def test_one_device_over_which_the_network_stumbles_fails_alone(autojump_clock: MockClock) -> None:
    devices = simulated(3)
    async with server(devices) as running:
        add_device = running.network.add_device

        async def stumbling(group: KnownGroup, dev_eui: EUI64) -> None:
            if dev_eui == devices[1].dev_eui:
                raise Trouble("INTERNAL", "pq: deadlock detected")
            await add_device(group, dev_eui)

        running.network.add_device = stumbling  # type: ignore[method-assign]
        result = await running.carry_out(order(devices))
    failed = result.state(devices[1].dev_eui)
    assert failed == Failed(Reason.NETWORK_REFUSED, "INTERNAL: pq: deadlock detected")
    assert {type(result.state(device.dev_eui)) for device in (devices[0], devices[2])} == {Complete}


async def test_devices_that_have_to_join_are_asked_again_when_they_have(autojump_clock: MockClock) -> None:
    """Four of them, and one that never does; the others are not kept waiting, and the network is well."""
    devices = simulated(10)
    absent, lost = devices[:5], devices[4]
    async with server(devices) as running:
        running.network.inactive.update(device.dev_eui for device in absent)
        began = running.clock.now()
        deployment_id = await running.orders.take(order(devices))
        for _ in range(20):
            assert running.network.health.ailments() == {}
            await trio.sleep(1)
        running.network.inactive = {lost.dev_eui}
        result = await running.end_of(deployment_id)
        assert running.network.health.ailments() == {}
        rows = await running.journal.logs(deployment_id, absent[0].dev_eui)
        unasked = await running.journal.logs(deployment_id, lost.dev_eui)
    assert rows is not None
    assert [row.command for row in rows].count("McGroupSetupReq") == 1, (
        "an attempt without a request has no row"
    )
    assert unasked == []
    assert result.state(lost.dev_eui) == Failed(Reason.NO_ANSWER, "to McGroupSetupReq")
    assert {device.image for device in devices if device is not lost} == {IMAGE}
    for each in result.status.devices[5:]:
        assert each.milestones[Milestone.FRAG_SESSION_SETUP] - began < timedelta(seconds=15)


async def test_calls_whose_answers_are_lost_are_made_again(autojump_clock: MockClock) -> None:
    """A fragment may be sent twice; a group is not made twice."""
    devices = simulated(4)
    async with server(devices) as running:
        running.network.conditions.unsaid = 0.4
        deployment_id = await running.orders.take(order(devices))
        group = await until_enqueued(running, FRAGMENTS)
        assert [*running.world.chirpstack.groups] == [group.id]
        result = await running.end_of(deployment_id)
        assert not running.world.chirpstack.groups
    assert group.queue.next_f_cnt > FRAGMENTS
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


async def test_a_request_whose_call_has_no_answer_waits_once_and_has_its_row(
    autojump_clock: MockClock,
) -> None:
    """The devices are not heard meanwhile: calls that are made again find what was put in."""
    devices = simulated(20)
    async with server(devices, radio=Radio(uplink_interval=timedelta(hours=6))) as running:
        running.network.conditions.unsaid = 0.6
        deployment_id = await running.orders.take(order(devices, unicast_timeout=timedelta(hours=12)))
        await trio.sleep(60)
        for device in devices:
            [item] = running.world.chirpstack.queue(device.dev_eui).items
            assert item.f_port == multicast.package.port
            rows = await running.journal.logs(deployment_id, device.dev_eui)
            assert rows is not None
            assert [row.command for row in rows] == ["McGroupSetupReq"]


async def test_an_application_that_is_not_there_ends_the_deployment(autojump_clock: MockClock) -> None:
    devices = simulated(2)
    async with server(devices) as running:
        result = await running.carry_out(order(devices, application_id="7"))
    assert result.why is Why.GROUP_REFUSED
    assert {type(each.state) for each in result.status.devices} == {Failed}
