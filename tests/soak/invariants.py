"""What holds at the end of a campaign, whatever happened in it."""

import gc
from uuid import UUID

import attrs

from fuota.actor import ActorSnapshot
from fuota.deployment.actor import DeploymentActor
from fuota.deployment.plan import RESTORATIONS
from fuota.deployment.states import Ended
from fuota.device.actor import DeviceActor
from fuota.device.states import Complete, Released
from fuota.journal.port import ActorId, DeploymentStatus, DeviceStatus, Milestone
from fuota.lorawan.eui import EUI64
from fuota.network.port import group_name
from tests.campaign import Server
from tests.soak.air import ASTRAY, RIGHT, Air
from tests.soak.faults import Faults
from tests.soak.witness import Asked, Witness

OF_DEVICE = (
    Milestone.MC_GROUP_SETUP,
    Milestone.FRAG_SESSION_SETUP,
    Milestone.MC_SESSION,
    Milestone.FRAG_STATUS,
)
OF_DEPLOYMENT = (*OF_DEVICE[:3], Milestone.ENQUEUE, Milestone.FRAG_STATUS)
ENOUGH = 4
"""Attempts with which answers that come late hold nobody up: what befalls the server, its database and
ChirpStack costs none."""


@attrs.define
class Score:
    """Of one campaign or several."""

    deployments: int = 0
    devices: int = 0
    owed: int = 0
    """Devices that had to complete, and did."""
    deaths: int = 0
    fingerprint: str = ""
    """Of all that was written, in one campaign."""

    def add(self, other: "Score") -> None:
        self.deployments += other.deployments
        self.devices += other.devices
        self.owed += other.owed
        self.deaths += other.deaths


def check_idle(running: Server) -> None:
    """A server whose deployments have all ended has nothing left of them."""
    under = running.tree.snapshot("/deployments")
    assert under is not None
    living = [child.path for child in under.children if child.status not in ("stopped", "failed")]
    assert not living, f"{living} live on"
    assert not running.services.alarms.pending, "alarms are left behind"
    for device in running.world.devices:
        assert not running.services.devices[device.dev_eui], f"{device.dev_eui} is still registered"
    _check_crashes(under)


def _check_crashes(actor: ActorSnapshot) -> None:
    assert actor.crashes == 0, f"{actor.path}: {actor.crashes} crashes of its children"
    for child in actor.children:
        _check_crashes(child)


def check_memory() -> None:
    """No actor outlives its server."""
    gc.collect()
    left = [each for each in gc.get_objects() if isinstance(each, DeploymentActor | DeviceActor)]
    assert not left, f"{len(left)} actors are still in memory"


def check_deployment(
    status: DeploymentStatus, asked: Asked, witness: Witness, air: Air, faults: Faults
) -> int:
    """Raise what is wrong with a deployment; how many of its devices had to complete."""
    assert isinstance(status.state, Ended), f"deployment {status.id} is {status.state}"
    assert status.state == witness.stands(ActorId(status.id))
    _check_order(f"deployment {status.id}", status, OF_DEPLOYMENT)
    owed = 0
    for each in status.devices:
        actor = ActorId(status.id, each.dev_eui)
        assert each.state == witness.stands(actor), f"{actor}: {each.state} is not what was written last"
        _check_order(str(actor), each, OF_DEVICE)
        assert isinstance(each.state, Complete) == (Milestone.FRAG_STATUS in each.milestones)
        if _does_right(asked, each.dev_eui, air, faults) and _spared(status.id, asked, air, faults):
            assert isinstance(each.state, Complete | Released), f"{actor} does all right: {each.state}"
            assert witness.held[actor], f"{actor} was let go without its image"
            owed += 1
    return owed


def _does_right(asked: Asked, dev_eui: EUI64, air: Air, faults: Faults) -> bool:
    """Whether the device does, and nothing has happened to it for which it had too few attempts."""
    behaviour = asked.devices[dev_eui].behaviour
    at_ease = asked.order.unicast_attempt_count >= ENOUGH or dev_eui not in air.late
    return behaviour in RIGHT + ASTRAY and at_ease and dev_eui not in faults.stumbled


def _spared(deployment_id: UUID, asked: Asked, air: Air, faults: Faults) -> bool:
    """Whether nothing has happened to the deployment that excuses it."""
    return (
        air.clear
        and asked.order.unicast_timeout >= air.turn
        and deployment_id not in faults.cancelled
        and faults.deleted.get(group_name(deployment_id), 0) <= RESTORATIONS
    )


def _check_order(
    who: str, status: DeploymentStatus | DeviceStatus, milestones: tuple[Milestone, ...]
) -> None:
    reached = [status.milestones[each] for each in milestones if each in status.milestones]
    assert reached == sorted(reached), f"{who}: milestones out of order: {status.milestones}"
