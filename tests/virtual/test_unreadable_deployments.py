"""A deployment that can not be read, as after a downgrade: the others do not suffer from it."""

from collections.abc import Sequence
from uuid import UUID

import pytest
import structlog
import trio
from trio.testing import MockClock

from fuota.device.states import Complete
from fuota.journal.encoding import Unreadable
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import StoredDeployment, StoredDevice
from fuota.journal.retry import try_keys
from tests.campaign import order, serving, simulated, surroundings


class Garbled(MemoryJournal):
    """Of one deployment something can not be read."""

    garbled: UUID | None = None

    def check(self, deployment_id: UUID) -> None:
        if deployment_id == self.garbled:
            raise Unreadable("this version of the server knows no state 'dreaming'")


class GarbledItself(Garbled):
    async def load(self, deployment_id: UUID) -> StoredDeployment:
        self.check(deployment_id)
        return await super().load(deployment_id)


class GarbledDevices(Garbled):
    async def devices(self, deployment_id: UUID) -> Sequence[StoredDevice]:
        self.check(deployment_id)
        return await super().devices(deployment_id)


@pytest.mark.parametrize("kind", [GarbledItself, GarbledDevices])
async def test_one_that_can_not_be_read_stands_still_alone(
    kind: type[Garbled], autojump_clock: MockClock
) -> None:
    journal, devices = kind(), simulated(4)
    around = surroundings(devices, journal=journal)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around) as running:
            garbled = await running.orders.take(order(devices[:2]))
            other = await running.orders.take(order(devices[2:]))
            await trio.sleep(20)
        journal.garbled = garbled
        await try_keys(journal)  # the others' do open
        with structlog.testing.capture_logs() as said:
            async with serving(around) as running:
                result = await running.end_of(other)
        journal.garbled = None
        async with serving(around) as running:
            mended = await running.end_of(garbled)
        nursery.cancel_scope.cancel()
    assert result.states() == mended.states() == {Complete}
    (line,) = [line for line in said if line["log_level"] == "error"]
    assert line == {
        "event": "deployment can not be read",
        "id": str(garbled),
        "error": "this version of the server knows no state 'dreaming'",
        "log_level": "error",
    }
