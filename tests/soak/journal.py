"""A journal that goes away at times, and at one of whose commits the process may die."""

from collections.abc import Callable, Sequence
from uuid import UUID

import trio

from fuota.journal.memory import MemoryJournal
from fuota.journal.port import (
    DeploymentStatus,
    LogRow,
    NewDeployment,
    StoredDeployment,
    StoredDevice,
    Transition,
    Unavailable,
)

_Doom = tuple[int, bool, Callable[[], None]]
_NEVER: _Doom = (0, False, lambda: None)


class FickleJournal(MemoryJournal):
    """While it is away what is written waits, and what is read is `Unavailable`."""

    def __init__(self, committed: Callable[[Transition], None]) -> None:
        super().__init__()
        self._committed = committed
        """Is told of every transition that is new."""
        self._back = trio.Event()
        self._back.set()
        self._doom = _NEVER

    async def absence(self, seconds: float) -> None:
        self._back = trio.Event()
        await trio.sleep(seconds)
        self._back.set()

    def doom(self, commits: int, *, after: bool, die: Callable[[], None]) -> None:
        """Have the process die at the last of so many commits, made or not."""
        self._doom = commits, after, die

    async def commit(self, transition: Transition) -> None:
        await self._presence()
        left, after, die = self._doom
        self._doom = left - 1, after, die
        if left != 1 or after:
            await self._write(transition)
        if left == 1:
            die()
            await trio.sleep_forever()

    async def _write(self, transition: Transition) -> None:
        known = len(self.history)
        await super().commit(transition)
        if len(self.history) > known:
            self._committed(transition)

    async def record(self, rows: Sequence[LogRow]) -> None:
        await self._presence()
        await super().record(rows)

    async def create(self, new: NewDeployment) -> None:
        self._present()
        await super().create(new)

    async def unfinished(self) -> Sequence[UUID]:
        self._present()
        return await super().unfinished()

    async def load(self, deployment_id: UUID) -> StoredDeployment:
        self._present()
        return await super().load(deployment_id)

    async def devices(self, deployment_id: UUID) -> Sequence[StoredDevice]:
        self._present()
        return await super().devices(deployment_id)

    async def firmware(self, sha256: bytes) -> bytes:
        self._present()
        return await super().firmware(sha256)

    async def status(self, deployment_id: UUID) -> DeploymentStatus | None:
        self._present()
        return await super().status(deployment_id)

    # For the soak, which sees everything always

    async def left(self) -> Sequence[UUID]:
        """The deployments that have not ended."""
        return await MemoryJournal.unfinished(self)

    async def seen(self, deployment_id: UUID) -> DeploymentStatus:
        status = await MemoryJournal.status(self, deployment_id)
        assert status is not None
        return status

    async def _presence(self) -> None:
        if not self._back.is_set():
            await self._back.wait()

    def _present(self) -> None:
        if not self._back.is_set():
            raise Unavailable("PostgreSQL: connection refused")
