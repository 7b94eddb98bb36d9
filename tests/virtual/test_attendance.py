"""Devices are asked when they can be heard: when all deployments have their actors, and events a port."""

import math
from collections.abc import Callable, Sequence
from uuid import UUID

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fuota.deployment.order import Order
from fuota.device.states import Complete, SettingUpGroup
from fuota.health import Health
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import StoredDevice
from fuota.ownership import Attendance, Ownership
from tests.campaign import IMAGE, Server, order, server, serving, simulated, surroundings

READING = 90.0
"""Seconds: much longer than an answer is awaited."""


class SlowJournal(MemoryJournal):
    """Takes long to read the devices of one deployment."""

    slow: UUID | None = None

    async def devices(self, deployment_id: UUID) -> Sequence[StoredDevice]:
        if deployment_id == self.slow:
            await trio.sleep(READING)
        return await super().devices(deployment_id)


async def asked(running: Server, journal: MemoryJournal, order: Order) -> UUID:
    """Of a deployment whose devices are being asked."""
    deployment_id = await running.orders.take(order)
    while True:
        status = await journal.status(deployment_id)
        assert status is not None
        if all(isinstance(device.state, SettingUpGroup) for device in status.devices):
            return deployment_id
        await trio.sleep(0.01)


async def test_a_deployment_that_takes_long_to_read_costs_the_others_no_attempt(
    autojump_clock: MockClock,
) -> None:
    """The process begins anew."""
    devices = simulated(4)
    journal = SlowJournal()
    around = surroundings(devices, journal=journal)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around) as running:
            quick = await asked(running, journal, order(devices[:2], unicast_attempt_count=1))
            journal.slow = await asked(running, journal, order(devices[2:], unicast_attempt_count=1))
        await trio.sleep(20)
        async with serving(around) as running:
            for deployment_id in (quick, journal.slow):
                assert (await running.end_of(deployment_id)).states() == {Complete}
        nursery.cancel_scope.cancel()
    assert {device.image for device in devices} == {IMAGE}


async def test_nor_does_it_where_another_server_takes_over(autojump_clock: MockClock) -> None:
    """It has had its port all the while, and refuses every uplink until it is at work."""
    devices = simulated(4)
    journal = SlowJournal()
    async with server(devices, journal=journal) as running:
        quick = await asked(running, journal, order(devices[:2], unicast_attempt_count=1))
        journal.slow = await asked(running, journal, order(devices[2:], unicast_attempt_count=1))
        journal.ownership.lose("another server")
        await journal.ownership.vacated()
        await trio.sleep(20)
        journal.ownership.gain(2, math.inf)
        for deployment_id in (quick, journal.slow):
            assert (await running.end_of(deployment_id)).states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


@pytest.mark.parametrize("last", ["port", "actors", "certainty"])
async def test_all_that_is_needed_to_hear_is_waited_for(last: str, autojump_clock: MockClock) -> None:
    ownership, permitted = Ownership(Health()), trio.Event()
    attendance = Attendance(ownership)

    async def wait() -> None:
        await attendance.assured()
        permitted.set()

    ownership.gain(1, math.inf)
    steps: dict[str, Callable[[], None]] = {
        "port": attendance.listening.set,
        "actors": ownership.resumed,
        "certainty": lambda: ownership.gain(1, math.inf),
    }
    ownership.doubt("the database is away")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        for name, step in steps.items():
            if name != last:
                step()
        await wait_all_tasks_blocked()
        assert not permitted.is_set()
        assert not attendance.certain
        steps[last]()
        await wait_all_tasks_blocked()
        assert permitted.is_set()
        assert attendance.certain
    ownership.resuming()
    assert not attendance.certain
