"""What a soak does to a server from outside: to its network, its database, and its being the owner."""

import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from random import Random
from uuid import UUID

import trio

from fuota.journal.memory import MemoryJournal
from fuota.journal.port import DeploymentStatus, LogRow, NewDeployment, StoredDevice, Transition, Unavailable
from tests.campaign import Surroundings

STATUSES = ("UNAVAILABLE", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAUTHENTICATED")


class AbsentJournal(MemoryJournal):
    """Goes away at times: then what is written waits, and what is read is `Unavailable`."""

    def __init__(self) -> None:
        super().__init__()
        self._back = trio.Event()
        self._back.set()

    async def absence(self, seconds: float) -> None:
        self._back = trio.Event()
        await trio.sleep(seconds)
        self._back.set()

    async def commit(self, transition: Transition) -> None:
        await self._back.wait()
        await super().commit(transition)

    async def record(self, rows: Sequence[LogRow]) -> None:
        await self._back.wait()
        await super().record(rows)

    async def create(self, new: NewDeployment) -> None:
        self._present()
        await super().create(new)

    async def unfinished(self) -> Sequence[UUID]:
        self._present()
        return await super().unfinished()

    async def devices(self, deployment_id: UUID) -> Sequence[StoredDevice]:
        self._present()
        return await super().devices(deployment_id)

    async def firmware(self, sha256: bytes) -> bytes:
        self._present()
        return await super().firmware(sha256)

    async def seen(self, deployment_id: UUID) -> DeploymentStatus | None:
        """For the test, which sees it always."""
        return await MemoryJournal.status(self, deployment_id)

    async def status(self, deployment_id: UUID) -> DeploymentStatus | None:
        self._present()
        return await super().status(deployment_id)

    def _present(self) -> None:
        if not self._back.is_set():
            raise Unavailable("PostgreSQL: connection refused")


async def mischief(random: Random, around: Surroundings, journal: AbsentJournal) -> None:
    """One thing after the other, for ever."""

    async def network() -> None:
        lasting = timedelta(seconds=random.choice([1, 30, 600]))
        around.network.conditions.outage(lasting, random.choice(STATUSES))

    async def database() -> None:
        await journal.absence(random.choice([1, 30, 600]))

    async def owner() -> None:
        epoch = journal.ownership.epoch or 0
        journal.ownership.lose("another server")
        await trio.sleep(random.choice([1, 30, 600]))
        await journal.ownership.vacated()
        journal.ownership.gain(epoch + 1, math.inf)

    async def group() -> None:
        groups = sorted(around.world.chirpstack.groups.values(), key=lambda group: group.settings.name)
        if groups:
            around.world.chirpstack.delete_group(random.choice(groups).id)

    kinds: list[Callable[[], Awaitable[None]]] = [network, network, database, owner, group]
    while True:
        await trio.sleep(random.expovariate(1 / 2000))
        await random.choice(kinds)()
