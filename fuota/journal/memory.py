"""A journal that ends with the process: for tests on virtual time, and for trying things out."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import attrs
import trio

from fuota.deployment.plan import Plan
from fuota.journal import encoding
from fuota.journal.port import (
    ActorId,
    Conflict,
    DeploymentStatus,
    DeviceStatus,
    Fenced,
    JournalError,
    LogRow,
    Milestone,
    NewDeployment,
    StoredDeployment,
    StoredDevice,
    Transition,
)
from fuota.lorawan.eui import EUI64
from fuota.ownership import Ownership

_Claim = tuple[EUI64, str, int]
"""What a live deployment has of a device: the field, and its number."""


@attrs.define(kw_only=True)
class _Row:
    """An actor: its latest state, and what its transitions have earned."""

    key: bytes = attrs.field(repr=False)
    state: str
    version: int
    live: bool
    created_at: datetime
    updated_at: datetime
    milestones: dict[Milestone, datetime] = attrs.field(factory=dict)
    logs: list[LogRow] = attrs.field(factory=list)


@attrs.define(kw_only=True)
class _Deployment:
    plan: str
    row: _Row
    devices: dict[EUI64, _Row]


class MemoryJournal:
    """Holds what PostgreSQL would hold, encoded as it would be there."""

    def __init__(self) -> None:
        self.ownership = Ownership.sole()
        self.history: list[Transition] = []
        """Every transition that was committed, in order; version 1 is not among them."""
        self._deployments: dict[UUID, _Deployment] = {}
        self._claims: dict[_Claim, UUID] = {}
        self._firmware: dict[bytes, bytes] = {}
        self._written: dict[tuple[ActorId, int], Transition] = {}

    async def create(self, new: NewDeployment) -> None:
        await self._owned()
        devices = sorted(new.devices, key=lambda device: device.dev_eui.octets)
        claims = [claim for device in devices for claim in _claims(new.plan, device.dev_eui)]
        for claim in claims:
            if claim in self._claims:
                raise Conflict(*claim, self._claims[claim])
        self._claims.update(dict.fromkeys(claims, new.id))
        device_state = encoding.dump_state(new.device_state)
        self._firmware[new.plan.firmware_sha256] = new.firmware
        self._deployments[new.id] = _Deployment(
            plan=encoding.dump_plan(new.plan),
            row=_first(new.created_at, new.mc_key, encoding.dump_state(new.state)),
            devices={
                device.dev_eui: _first(new.created_at, device.mc_root_key, device_state) for device in devices
            },
        )

    async def commit(self, transition: Transition) -> None:
        await self._owned()
        row = self._row(transition.actor)
        if row is None:
            raise Fenced(f"{transition.actor}: the deployment was deleted")
        key = (transition.actor, transition.version)
        if transition.version <= row.version:
            if self._written.get(key) == transition:
                return
            raise Fenced(f"{transition.actor}: version {transition.version} was written by another process")
        row.state = encoding.dump_state(transition.state)
        row.version = transition.version
        row.live = transition.live
        if not row.live:
            self._release(transition.actor)
        row.updated_at = transition.at
        for milestone in transition.milestones:
            row.milestones.setdefault(milestone, transition.at)
        self._written[key] = transition
        self.history.append(transition)
        self._log(transition.logs)

    async def record(self, rows: Sequence[LogRow]) -> None:
        await self._owned()
        self._log(rows)

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
            devices=[
                DeviceStatus(
                    dev_eui=dev_eui,
                    created_at=row.created_at,
                    updated_at=row.updated_at,
                    milestones=dict(row.milestones),
                    state=encoding.load_device_state(row.state),
                )
                for dev_eui, row in stored.devices.items()
            ],
        )

    async def logs(self, deployment_id: UUID, dev_eui: EUI64) -> Sequence[LogRow] | None:
        await trio.lowlevel.checkpoint()
        stored = self._deployments.get(deployment_id)
        if stored is None or dev_eui not in stored.devices:
            return None
        return list(stored.devices[dev_eui].logs)

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

    def _stored(self, deployment_id: UUID) -> _Deployment:
        if deployment_id not in self._deployments:
            raise JournalError(f"there is no deployment {deployment_id} to resume")
        return self._deployments[deployment_id]

    def _row(self, actor: ActorId) -> _Row | None:
        stored = self._deployments.get(actor.deployment_id)
        if stored is None:
            return None
        return stored.row if actor.dev_eui is None else stored.devices.get(actor.dev_eui)

    def _log(self, rows: Iterable[LogRow]) -> None:
        for logged in rows:
            if row := self._row(ActorId(logged.deployment_id, logged.dev_eui)):
                row.logs.append(attrs.evolve(logged, fields=encoding.storable_fields(logged.fields)))


def _claims(plan: Plan, dev_eui: EUI64) -> tuple[_Claim, _Claim]:
    return (dev_eui, "McGroupID", plan.mc_group_id), (dev_eui, "FragIndex", plan.frag_index)


def _first(at: datetime, key: bytes, state: str) -> _Row:
    return _Row(key=key, state=state, version=1, live=True, created_at=at, updated_at=at)
