"""A journal that ends with the process: for tests on virtual time, and for trying things out."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from uuid import UUID

import attrs
import trio

from fuota.deployment import states as deployment_states
from fuota.deployment.plan import Plan
from fuota.device import states as device_states
from fuota.journal import encoding
from fuota.journal.fencing import Fences
from fuota.journal.memory_rows import Deployment, Row, nb_frag_before
from fuota.journal.port import (
    ActorId,
    Conflict,
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
)
from fuota.lorawan.eui import EUI64
from fuota.lorawan.fragmentation import FragSessionStatusAns
from fuota.ownership import Ownership

_Claim = tuple[EUI64, str, int]
"""What a live deployment has of a device: the field, and its number."""


class MemoryJournal:
    """Holds what PostgreSQL would hold, encoded as it would be there."""

    def __init__(self) -> None:
        self.ownership = Ownership.sole()
        self.history: list[Transition] = []
        """Every transition that was committed, in order; version 1 is not among them."""
        self._deployments: dict[UUID, Deployment] = {}
        self._claims: dict[_Claim, UUID] = {}
        self._firmware: dict[bytes, bytes] = {}
        self._written: dict[tuple[ActorId, int], Transition] = {}
        self._told: dict[EUI64, list[LogRow]] = {}
        """Every status, in order."""
        self._fences = Fences()

    async def create(self, new: NewDeployment) -> None:
        await self._owned()
        devices = sorted(new.devices, key=lambda device: device.dev_eui.octets)
        claims = [claim for device in devices for claim in _claims(new.plan, device.dev_eui)]
        for claim in claims:
            if claim in self._claims:
                raise Conflict(*claim, self._claims[claim])
        self._claims.update(dict.fromkeys(claims, new.id))
        self._firmware[new.plan.firmware_sha256] = new.firmware
        self._deployments[new.id] = Deployment(
            plan=encoding.dump_plan(new.plan),
            row=Row.first(new.created_at, new.mc_key, new.state),
            devices={
                device.dev_eui: Row.first(
                    new.created_at, device.mc_root_key, new.device_state, self._before(device.dev_eui)
                )
                for device in devices
            },
        )

    async def commit(self, transition: Transition) -> None:
        await self._owned()
        row = self._row(transition.actor)
        if row is None:
            raise self._fences.fenced(transition, deleted=True)
        key = (transition.actor, transition.version)
        if transition.version <= row.version:
            if self._written.get(key) == transition:
                return
            raise self._fences.fenced(transition, deleted=False)
        row.advance(transition)
        if not row.live:
            self._release(transition.actor)
        self._written[key] = transition
        self.history.append(transition)
        self._log(transition.logs)

    async def record(self, rows: Sequence[LogRow]) -> None:
        await self._owned()
        self._log(rows)

    def delete(self, deployment_id: UUID) -> None:
        """As an operator may in PostgreSQL."""
        del self._deployments[deployment_id]

    async def unfinished(self) -> Sequence[UUID]:
        await trio.lowlevel.checkpoint()
        live = [(stored.row.created_at, id_) for id_, stored in self._deployments.items() if stored.row.live]
        return [id_ for _, id_ in sorted(live)]

    async def load(self, deployment_id: UUID) -> StoredDeployment:
        await trio.lowlevel.checkpoint()
        stored = self._stored(deployment_id)
        return StoredDeployment(
            id=deployment_id,
            created_at=stored.row.created_at,
            plan=encoding.load_plan(stored.plan),
            mc_key=stored.row.key,
            state=encoding.load_deployment_state(stored.row.state),
            version=stored.row.version,
        )

    async def devices(self, deployment_id: UUID) -> Sequence[StoredDevice]:
        await trio.lowlevel.checkpoint()
        return [
            StoredDevice(
                dev_eui=dev_eui,
                mc_root_key=row.key,
                state=encoding.load_device_state(row.state),
                version=row.version,
                nb_frag_before=row.nb_frag_before,
            )
            for dev_eui, row in self._stored(deployment_id).devices.items()
        ]

    async def firmware(self, sha256: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        if sha256 not in self._firmware:
            raise JournalError(f"there is no firmware {sha256.hex()}")
        return self._firmware[sha256]

    async def status(self, deployment_id: UUID) -> DeploymentStatus | None:
        await trio.lowlevel.checkpoint()
        if (stored := self._deployments.get(deployment_id)) is None:
            return None
        return DeploymentStatus(
            id=deployment_id,
            created_at=stored.row.created_at,
            updated_at=stored.row.updated_at,
            milestones=dict(stored.row.milestones),
            state=encoding.load_deployment_state(stored.row.state),
            devices=stored.statuses(),
        )

    async def logs(self, deployment_id: UUID, dev_eui: EUI64) -> Sequence[LogRow] | None:
        await trio.lowlevel.checkpoint()
        stored = self._deployments.get(deployment_id)
        if stored is None or dev_eui not in stored.devices:
            return None
        return list(stored.devices[dev_eui].logs)

    async def summary(self, deployment_id: UUID) -> Summary | None:
        await trio.lowlevel.checkpoint()
        stored = self._deployments.get(deployment_id)
        return None if stored is None else stored.summary(deployment_id)

    async def overview(self, deployment_id: UUID) -> Overview | None:
        await trio.lowlevel.checkpoint()
        if (stored := self._deployments.get(deployment_id)) is None:
            return None
        states = [encoding.load_device_state(row.state) for row in stored.devices.values()]
        return Overview(
            summary=stored.summary(deployment_id),
            since=stored.row.since,
            devices=Counter((type(state), getattr(state, "reason", None)) for state in states),
        )

    async def summaries(
        self,
        *,
        states: Collection[type[deployment_states.State] | None] = (),
        before: tuple[datetime, UUID] | None = None,
        most: int,
    ) -> Sequence[Summary]:
        await trio.lowlevel.checkpoint()
        found = [
            (summary.created_at, id_, summary)
            for id_, stored in self._deployments.items()
            for summary in [stored.summary(id_)]
            if not states or type(summary.state) in states
        ]
        found.sort(reverse=True)
        return [summary for *place, summary in found if before is None or tuple(place) < before][:most]

    async def device_page(
        self,
        deployment_id: UUID,
        *,
        states: Collection[type[device_states.State] | None] = (),
        reasons: Collection[device_states.Reason] = (),
        after: EUI64 | None = None,
        most: int,
    ) -> Sequence[DeviceStatus] | None:
        await trio.lowlevel.checkpoint()
        if (stored := self._deployments.get(deployment_id)) is None:
            return None
        return [
            device
            for device in stored.statuses()
            if (not states or type(device.state) in states)
            and (not reasons or getattr(device.state, "reason", None) in reasons)
            and (after is None or device.dev_eui > after)
        ][:most]

    async def _owned(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.ownership.epoch is None:
            raise Fenced(f"the deployments of this database are run by {self.ownership.holder}")

    def _release(self, actor: ActorId) -> None:
        if actor.dev_eui is not None:
            plan = encoding.load_plan(self._deployments[actor.deployment_id].plan)
            for claim in _claims(plan, actor.dev_eui):
                if self._claims.get(claim) == actor.deployment_id:
                    del self._claims[claim]

    def _stored(self, deployment_id: UUID) -> Deployment:
        if deployment_id not in self._deployments:
            raise JournalError(f"there is no deployment {deployment_id} to resume")
        return self._deployments[deployment_id]

    def _row(self, actor: ActorId) -> Row | None:
        stored = self._deployments.get(actor.deployment_id)
        if stored is None:
            return None
        return stored.row if actor.dev_eui is None else stored.devices.get(actor.dev_eui)

    def _log(self, rows: Iterable[LogRow]) -> None:
        for logged in rows:
            if row := self._row(ActorId(logged.deployment_id, logged.dev_eui)):
                row.logs.append(attrs.evolve(logged, fields=encoding.storable_fields(logged.fields)))
                if logged.command == FragSessionStatusAns.__name__:
                    self._told.setdefault(logged.dev_eui, []).append(logged)

    def _before(self, dev_eui: EUI64) -> int | None:
        told = self._told.get(dev_eui, [])
        return nb_frag_before(told, [self._stored(each.deployment_id).devices[dev_eui] for each in told])


def _claims(plan: Plan, dev_eui: EUI64) -> tuple[_Claim, _Claim]:
    return (dev_eui, "McGroupID", plan.mc_group_id), (dev_eui, "FragIndex", plan.frag_index)
