"""The journal in PostgreSQL."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Self, TypeVar
from uuid import UUID

import attrs
import structlog
import trio

from fuota.deployment import states as deployment_states
from fuota.device import states as device_states
from fuota.health import Health
from fuota.journal import postgres_pages as pages
from fuota.journal import postgres_reading as reading
from fuota.journal.encoding import dump_state
from fuota.journal.group_commit import GroupCommit
from fuota.journal.holder import this_process
from fuota.journal.port import (
    DeploymentStatus,
    DeviceStatus,
    Fenced,
    JournalError,
    LogRow,
    NewDeployment,
    Overview,
    StoredDeployment,
    StoredDevice,
    Summary,
    Transition,
    Unavailable,
)
from fuota.journal.postgres_connections import (
    REFUSALS,
    Connections,
    T,
    Work,
    open_connections,
    pauses,
)
from fuota.journal.postgres_creation import Creation, Withdrawal, is_conflict
from fuota.journal.postgres_dsn import conninfo
from fuota.journal.postgres_held import Connection
from fuota.journal.postgres_ownership import Claimant
from fuota.journal.postgres_preparation import prepare
from fuota.journal.postgres_writing import Entry, Step, Writer, actor, weight
from fuota.journal.retry import patiently, try_keys
from fuota.journal.sealing import Keyring
from fuota.lorawan.eui import EUI64
from fuota.ownership import Ownership

log = structlog.get_logger(__name__)

Device = TypeVar("Device", StoredDevice, DeviceStatus)

READING_WITHIN = 10.0
"""Seconds that a transaction may take which only reads; much is read in several."""

ROOM = 2000
"""The most rows that group commit writes in one transaction."""


class PostgresJournal:
    """See `open`."""

    def __init__(
        self, connections: Connections, keyring: Keyring, ownership: Ownership, nursery: trio.Nursery
    ) -> None:
        self._connections = connections
        self._nursery = nursery
        self._keyring = keyring
        self.ownership = ownership
        """Of the deployments in this database."""
        self._commits: GroupCommit[Entry] = GroupCommit(
            write=Writer(connections, ownership).write, weigh=weight, room=ROOM, key=actor, pauses=pauses
        )
        self._withdrawing = trio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        dsn: str,
        *,
        keyring: Keyring,
        health: Health,
        automigrate: bool = True,
        most_connections: int = 8,
        idle_connections: int = 2,
        patience: float = 5.0,
    ) -> AsyncIterator[Self]:
        """The journal in the database at `dsn`, a connection string of libpq or lib/pq (see `conninfo`).

        `patience`: seconds for which `create` and what reads try again while the database is away. Raises
        `Unavailable`, `BadDsn`, `TooOld`, `Narrow`, `SchemaMismatch`, `NotOpened` if it would have to resume
        what is sealed with another master key, now or later, and `JournalError` for what is refused.
        """
        await prepare(conninfo(dsn), automigrate=automigrate)
        async with (
            open_connections(
                dsn, health=health, most=most_connections, idle=idle_connections, patience=patience
            ) as connections,
            trio.open_nursery() as nursery,
        ):
            journal = cls(connections, keyring, Ownership(health, this_process()), nursery)
            claimant = Claimant(dsn, journal.ownership, fit=partial(try_keys, journal))
            nursery.start_soon(claimant.run)
            await claimant.decided.wait()
            nursery.start_soon(journal._commits.run)
            yield journal
            nursery.cancel_scope.cancel()

    async def create(self, new: NewDeployment) -> None:
        if self.ownership.epoch is None:
            raise Fenced(f"the deployments of this database are run by {self.ownership.holder}")
        creation = Creation(new, self._keyring, self.ownership.tenure)
        try:
            await self._create(creation)
        except (Unavailable, trio.Cancelled):
            # Nobody will begin it, so it must not come to life at the next start.
            if (withdrawal := creation.withdrawal) is not None:
                self._nursery.start_soon(self._withdraw, withdrawal)
            raise

    async def commit(self, transition: Transition) -> None:
        await self._commits.submit(Step(transition, dump_state(transition.state)))

    async def record(self, rows: Sequence[LogRow]) -> None:
        if rows:
            await self._commits.submit(tuple(rows))

    async def unfinished(self) -> Sequence[UUID]:
        return await self._read(reading.unfinished)

    async def load(self, deployment_id: UUID) -> StoredDeployment:
        return await self._read(
            lambda connection: reading.deployment(connection, self._keyring, deployment_id)
        )

    async def devices(self, deployment_id: UUID) -> Sequence[StoredDevice]:
        return await self._in_pieces(
            lambda after, connection: reading.devices(connection, self._keyring, deployment_id, after)
        )

    async def firmware(self, sha256: bytes) -> bytes:
        return await self._read(lambda connection: reading.firmware(connection, sha256))

    async def status(self, deployment_id: UUID) -> DeploymentStatus | None:
        found = await self._read(lambda connection: reading.status(connection, deployment_id))
        if found is None:
            return None
        devices = await self._in_pieces(
            lambda after, connection: reading.device_statuses(connection, deployment_id, after)
        )
        return attrs.evolve(found, devices=devices)

    async def logs(self, deployment_id: UUID, dev_eui: EUI64) -> Sequence[LogRow] | None:
        return await self._read(lambda connection: reading.logs(connection, deployment_id, dev_eui))

    async def summary(self, deployment_id: UUID) -> Summary | None:
        return await self._read(lambda connection: pages.summary(connection, deployment_id))

    async def overview(self, deployment_id: UUID) -> Overview | None:
        return await self._read(lambda connection: pages.overview(connection, deployment_id))

    async def summaries(
        self,
        *,
        states: Collection[type[deployment_states.State] | None] = (),
        before: tuple[datetime, UUID] | None = None,
        most: int,
    ) -> Sequence[Summary]:
        return await self._read(lambda connection: pages.summaries(connection, states, before, most))

    async def device_page(
        self,
        deployment_id: UUID,
        *,
        states: Collection[type[device_states.State] | None] = (),
        reasons: Collection[device_states.Reason] = (),
        after: EUI64 | None = None,
        most: int,
    ) -> Sequence[DeviceStatus] | None:
        return await self._read(
            lambda connection: pages.device_page(connection, deployment_id, states, reasons, after, most)
        )

    async def _in_pieces(
        self, piece: Callable[[EUI64 | None, Connection], Sequence[Device]]
    ) -> Sequence[Device]:
        """All devices, of which `piece` gives those that follow one: however many, no transaction is long."""
        found: list[Device] = []
        while True:
            read = await self._read(partial(piece, found[-1].dev_eui if found else None))
            found += read
            if len(read) < reading.PIECE:
                return found

    async def _read(self, work: Work[T]) -> T:
        try:
            return await self._connections.persist(work, within=READING_WITHIN)
        except REFUSALS as error:
            raise JournalError(f"PostgreSQL: {error}") from error

    async def _create(self, creation: Creation) -> None:
        while True:
            try:
                return await self._connections.persist(creation.write, within=creation.within, writing=True)
            except REFUSALS as error:
                if not is_conflict(error):
                    raise JournalError(f"PostgreSQL: {error}") from error
            # None: the other deployment has ended, so the new one may have the device.
            conflict = await self._connections.persist(creation.conflict, within=READING_WITHIN, writing=True)
            if conflict is not None:
                raise conflict

    async def _withdraw(self, withdrawal: Withdrawal) -> None:
        """Apart from group commit: what is still under way would hold up all others."""

        async def write() -> None:
            async with self._withdrawing:  # one at a time, however many: others need the connections
                await self._connections.transact(withdrawal.write, within=withdrawal.within, writing=True)

        why = "this server stops"
        try:
            await patiently(write)
            why = ""
        except (Fenced, *REFUSALS) as error:
            why = str(error)
        finally:
            if why:
                log.warning(
                    "a deployment that was refused can not be withdrawn, and may run all the same",
                    id=str(withdrawal.deployment_id),
                    why=why,
                )
