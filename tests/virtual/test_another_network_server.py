"""A ChirpStack 3 has several Network Servers, and one of them is away: whom it fails is not waited for."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import trio
from trio.testing import MockClock

from fuota.deployment.states import ArrangingSession, AwaitingStart, InSession, SettingUpGroups, Transmitting
from fuota.device.states import Complete
from fuota.network.port import KnownGroup
from fuota.simulation.device import Device
from tests.campaign import IMAGE, Server, order, server, simulated
from tests.virtual.test_rounds import Watched

MATTERS_NOT = timedelta(minutes=10)
"""In which a deployment is carried out that nothing disturbs, and some more."""


def sessions(journal: Watched, deployment_id: UUID) -> set[int]:
    states = [each.state for each in journal.history if each.actor.deployment_id == deployment_id]
    return {state.session.number for state in states if isinstance(state, InSession)}


async def undisturbed(running: Server, journal: Watched, devices: Sequence[Device], **changes: Any) -> None:
    """They are served in one window, as if there were no others."""
    result = await running.carry_out(order(devices, **changes), within=MATTERS_NOT)
    assert result.states() == {Complete}
    assert sessions(journal, result.status.id) == {1}


async def until(journal: Watched, deployments: Sequence[UUID], state: type) -> None:
    """Each has been there."""
    waiting = set(deployments)
    with trio.fail_after(300):
        while waiting:
            waiting -= {each.actor.deployment_id for each in journal.history if isinstance(each.state, state)}
            await trio.sleep(0.1)


@pytest.mark.parametrize("applications", [1, 12])
@pytest.mark.parametrize("others", [12, 30, 60])
@pytest.mark.parametrize(
    "asked",
    [
        {"multicast_timeout": 6},
        {"multicast_timeout": 8},
        {"multicast_timeout": 2, "payload": IMAGE[:400], "fragmentation_redundancy": 4},
    ],
    ids=["64 s", "256 s", "4 s"],
)
async def test_however_many_wait_for_another_network_server(
    asked: dict[str, Any], others: int, applications: int, autojump_clock: MockClock
) -> None:
    """They want their groups made. A window of 4 s has soon closed before it is looked at."""
    devices, journal = simulated(2 + others), Watched()
    async with server(devices, journal=journal) as running:
        running.network.conditions.latency = 0.1
        for number, device in enumerate(devices[2:]):
            application_id = str(2 + number % applications)
            running.network.away.add(application_id)
            await running.orders.take(order([device], application_id=application_id))
        await trio.sleep(60)
        await undisturbed(running, journal, devices[:2], **asked)


async def test_nor_does_it_matter_that_they_are_transmitting(autojump_clock: MockClock) -> None:
    """Fragments and what is asked about queues wait then, and groups that are to be deleted; half an hour
    later all goes on."""
    devices, journal = simulated(62), Watched()
    async with server(devices, journal=journal) as running:
        running.world.chirpstack.applications |= {device.dev_eui: "2" for device in devices[2:]}
        running.network.conditions.latency = 0.1
        others = [await running.orders.take(order([each], application_id="2")) for each in devices[2:]]
        await until(journal, others, Transmitting)
        began = trio.current_time()
        running.network.away.add("2")
        await undisturbed(running, journal, devices[:2])
        await undisturbed(running, journal, devices[:2], multicast_timeout=8)
        await trio.sleep_until(began + 1800)
        running.network.away.clear()
        for each in others:
            assert (await running.end_of(each)).states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


@pytest.mark.parametrize("lacking", ["away", "forgetful"])
async def test_nor_how_many_devices_it_has(lacking: str, autojump_clock: MockClock) -> None:
    """Each of 2000 devices is to be asked something, and none can be, or only what is in the database."""
    devices, journal = simulated(2010), Watched()
    async with server(devices, journal=journal) as running:
        running.world.chirpstack.applications |= {device.dev_eui: "2" for device in devices[10:]}
        running.network.conditions.latency = 0.1
        waiting = [
            await running.orders.take(order(devices[first : first + 100], application_id="2"))
            for first in range(10, 2010, 100)
        ]
        await until(journal, waiting, SettingUpGroups)
        getattr(running.network, lacking).add("2")
        await trio.sleep(60)
        await undisturbed(running, journal, devices[:10])


async def test_nor_how_often_others_are_answered_by_theirs(autojump_clock: MockClock) -> None:
    """Its own is away when a start is near, and one call about it fails again and again: the start is put off
    all the same, for as long as need be."""
    devices, journal = simulated(3), Watched()
    async with server(devices, journal=journal) as running, trio.open_nursery() as nursery:
        deployment_id = await running.orders.take(order(devices[:2]))
        await trio.sleep(30)
        running.network.away.add("1")
        waiting = await running.orders.take(order(devices[2:]))

        async def be_answered() -> None:
            while True:
                await running.network.flush(KnownGroup("2", "fuota-2", "2"))
                await trio.sleep(0.4)

        nursery.start_soon(be_answered)
        await trio.sleep(timedelta(minutes=20).total_seconds())
        status = await journal.status(deployment_id)
        assert status is not None
        assert isinstance(status.state, ArrangingSession | AwaitingStart)
        running.network.away.clear()
        for each in (deployment_id, waiting):
            assert (await running.end_of(each)).states() == {Complete}
        nursery.cancel_scope.cancel()
    assert {device.image for device in devices} == {IMAGE}
