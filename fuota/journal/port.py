"""What the server needs of its memory, whichever database provides it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Protocol
from uuid import UUID

import attrs

from fuota.actor.errors import Superseded
from fuota.deployment import states as deployment_states
from fuota.deployment.plan import Plan
from fuota.device import states as device_states
from fuota.lorawan.eui import EUI64
from fuota.ownership import Ownership

State = deployment_states.State | device_states.State


class JournalError(Exception):
    """The journal could not do what was asked."""


class Unavailable(JournalError):
    """The database can not be reached at present."""


class Fenced(JournalError, Superseded):
    """Another process has written this actor's next version, or runs the deployments: it owns the actor."""


class Conflict(JournalError):
    """A device is still in a live deployment with the same McGroupID or FragIndex, which is the `field`."""

    def __init__(self, dev_eui: EUI64, field: str, number: int, deployment_id: UUID) -> None:
        super().__init__(
            f"device {dev_eui} is in the live deployment {deployment_id} with the same {field} {number}"
        )
        self.dev_eui, self.field, self.number = dev_eui, field, number
        self.deployment_id = deployment_id
        """Of the deployment that has the device."""


class Milestone(Enum):
    """A column that gets the time of the transition which earns it, once."""

    MC_GROUP_SETUP = "mc_group_setup_completed_at"
    FRAG_SESSION_SETUP = "frag_session_setup_completed_at"
    MC_SESSION = "mc_session_completed_at"
    ENQUEUE = "enqueue_completed_at"
    FRAG_STATUS = "frag_status_completed_at"


@attrs.frozen
class ActorId:
    """A deployment, or one device of it."""

    deployment_id: UUID
    dev_eui: EUI64 | None = None

    def __str__(self) -> str:
        if self.dev_eui is None:
            return f"deployment {self.deployment_id}"
        return f"device {self.dev_eui} of deployment {self.deployment_id}"


@attrs.frozen(kw_only=True)
class LogRow:
    """One command that was sent to a device or received from it."""

    deployment_id: UUID
    dev_eui: EUI64
    created_at: datetime
    f_port: int
    command: str
    fields: Mapping[str, str]


@attrs.frozen(kw_only=True)
class Transition:
    """An actor's step from one state to the next; (actor, version) is written at most once."""

    actor: ActorId
    version: int
    """One more than the version it follows; creation is version 1."""
    at: datetime
    cause: str
    """The message that led here, in a word or two, for people."""
    state: State
    live: bool = True
    """False with an end state: the device may be in other deployments, the deployment is not resumed."""
    milestones: tuple[Milestone, ...] = ()
    logs: tuple[LogRow, ...] = ()


@attrs.frozen(kw_only=True)
class NewDevice:
    dev_eui: EUI64
    mc_root_key: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class NewDeployment:
    """A deployment that has been ordered; it is written whole, as version 1 of all its actors."""

    id: UUID
    plan: Plan
    mc_key: bytes = attrs.field(repr=False)
    firmware: bytes = attrs.field(repr=False)
    devices: Sequence[NewDevice]
    created_at: datetime
    state: deployment_states.State
    device_state: device_states.State


@attrs.frozen(kw_only=True)
class StoredDeployment:
    id: UUID
    created_at: datetime
    plan: Plan
    mc_key: bytes = attrs.field(repr=False)
    state: deployment_states.State
    version: int


@attrs.frozen(kw_only=True)
class StoredDevice:
    dev_eui: EUI64
    mc_root_key: bytes = attrs.field(repr=False)
    state: device_states.State
    version: int
    nb_frag_before: int | None = None
    """As the device has told it last in an earlier deployment, if it was not complete by that or since."""


@attrs.frozen(kw_only=True)
class DeviceStatus:
    dev_eui: EUI64
    created_at: datetime
    updated_at: datetime
    milestones: Mapping[Milestone, datetime]
    """Those that have been earned."""
    state: device_states.State | None
    """None: written by the reference server, or by a newer version of this one."""


@attrs.frozen(kw_only=True)
class DeploymentStatus:
    id: UUID
    created_at: datetime
    updated_at: datetime
    milestones: Mapping[Milestone, datetime]
    state: deployment_states.State | None
    devices: Sequence[DeviceStatus]
    """In the order of their DevEUI."""


@attrs.frozen(kw_only=True)
class Summary:
    """A deployment without its devices: the same effort for any fleet."""

    id: UUID
    created_at: datetime
    updated_at: datetime
    milestones: Mapping[Milestone, datetime]
    plan: Plan | None
    state: deployment_states.State | None
    """None, as the plan: written by the reference server, or by a newer version of this one."""


DeviceKind = tuple[type[device_states.State] | None, device_states.Reason | None]
"""The state a device is in, and why it has failed if it has."""


@attrs.frozen(kw_only=True)
class Overview:
    summary: Summary
    since: datetime
    """When the deployment entered its state from another."""
    devices: Mapping[DeviceKind, int]
    """How many are of which kind, without zeros."""


class Journal(Protocol):
    """`commit` and `record` wait until the database has it, however long that takes, and return only
    then; everything else raises `Unavailable` when the database does not answer in time."""

    @property
    def ownership(self) -> Ownership:
        """Of the deployments in it; whoever does not own them writes nothing (`Fenced`)."""

    async def create(self, new: NewDeployment) -> None:
        """Raises `Conflict` and `Fenced`."""

    async def commit(self, transition: Transition) -> None:
        """Raises `Fenced`."""

    async def record(self, rows: Sequence[LogRow]) -> None:
        """Log rows that come with no transition. Raises `Fenced`."""

    async def unfinished(self) -> Sequence[UUID]:
        """The deployments to resume, oldest first."""

    async def load(self, deployment_id: UUID) -> StoredDeployment: ...

    async def devices(self, deployment_id: UUID) -> Sequence[StoredDevice]:
        """In the order of their DevEUI."""

    async def firmware(self, sha256: bytes) -> bytes: ...

    async def status(self, deployment_id: UUID) -> DeploymentStatus | None:
        """None: there is no such deployment."""

    async def logs(self, deployment_id: UUID, dev_eui: EUI64) -> Sequence[LogRow] | None:
        """Oldest first. None: there is no such deployment, or it has no such device."""

    async def summary(self, deployment_id: UUID) -> Summary | None:
        """None: there is no such deployment."""

    async def overview(self, deployment_id: UUID) -> Overview | None:
        """None: there is no such deployment."""

    async def summaries(
        self,
        *,
        states: Collection[type[deployment_states.State] | None] = (),
        before: tuple[datetime, UUID] | None = None,
        most: int,
    ) -> Sequence[Summary]:
        """Deployments in any of the `states`, with none in every state, from the latest to the oldest.

        `before`: only those that come after the one that was created then and has this id.
        """

    async def device_page(
        self,
        deployment_id: UUID,
        *,
        states: Collection[type[device_states.State] | None] = (),
        reasons: Collection[device_states.Reason] = (),
        after: EUI64 | None = None,
        most: int,
    ) -> Sequence[DeviceStatus] | None:
        """Devices in any of the `states`, with none in every state, in the order of their DevEUI.

        `reasons`: only those that have failed for one of these. `after`: only those that come after this one.
        None: there is no such deployment.
        """
