"""What the memory journal holds: encoded as it would be in PostgreSQL."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import attrs

from fuota.device import verdict
from fuota.journal import encoding
from fuota.journal.port import DeviceStatus, LogRow, Milestone, State, Summary, Transition
from fuota.lorawan.eui import EUI64


@attrs.define(kw_only=True)
class Row:
    """An actor: its latest state, and what its transitions have earned."""

    key: bytes = attrs.field(repr=False)
    kind: type[State]
    """The class of the state."""
    state: str
    version: int
    live: bool
    created_at: datetime
    updated_at: datetime
    since: datetime
    """When the state was entered from another."""
    nb_frag_before: int | None = None
    milestones: dict[Milestone, datetime] = attrs.field(factory=dict)
    logs: list[LogRow] = attrs.field(factory=list)

    @classmethod
    def first(cls, at: datetime, key: bytes, state: State, nb_frag_before: int | None = None) -> "Row":
        return cls(
            key=key,
            kind=type(state),
            state=encoding.dump_state(state),
            version=1,
            live=True,
            created_at=at,
            updated_at=at,
            since=at,
            nb_frag_before=nb_frag_before,
        )

    def advance(self, transition: Transition) -> None:
        kind = type(transition.state)
        if kind is not self.kind:
            self.since = transition.at
        self.kind, self.state = kind, encoding.dump_state(transition.state)
        self.version, self.live = transition.version, transition.live
        self.updated_at = transition.at
        self.nb_frag_before = verdict.nb_frag_before(transition.state, self.nb_frag_before)
        for milestone in transition.milestones:
            self.milestones.setdefault(milestone, transition.at)

    def device_status(self, dev_eui: EUI64) -> DeviceStatus:
        return DeviceStatus(
            dev_eui=dev_eui,
            created_at=self.created_at,
            updated_at=self.updated_at,
            milestones=dict(self.milestones),
            state=encoding.load_device_state(self.state),
        )


@attrs.define(kw_only=True)
class Deployment:
    """A deployment with its devices, in the order of their DevEUI."""

    plan: str
    row: Row
    devices: dict[EUI64, Row]

    def summary(self, deployment_id: UUID) -> Summary:
        return Summary(
            id=deployment_id,
            created_at=self.row.created_at,
            updated_at=self.row.updated_at,
            milestones=dict(self.row.milestones),
            plan=encoding.load_plan(self.plan),
            state=encoding.load_deployment_state(self.row.state),
        )

    def statuses(self) -> list[DeviceStatus]:
        return [row.device_status(dev_eui) for dev_eui, row in self.devices.items()]


def nb_frag_before(told: Sequence[LogRow], rows: Iterable[Row]) -> int | None:
    """See `StoredDevice`; `told`: every status of a device, `rows`: the device in the deployment of each."""
    completed = [row.milestones.get(Milestone.FRAG_STATUS) for row in rows]
    heeded = [
        each
        for each, at in zip(told, completed, strict=True)
        if at is None or each.created_at <= at + timedelta(minutes=1)
    ]
    if not heeded or any(at and at > heeded[-1].created_at - timedelta(minutes=1) for at in completed):
        return None
    number = heeded[-1].fields.get("nb_frag_received")
    return int(number) if number else None
