"""The actor above all deployments: begins those that are ordered, and resumes those that were left."""

from uuid import UUID

import attrs
import structlog

from fuota.actor import Actor, Me
from fuota.actor.durable import Position
from fuota.deployment.actor import DeploymentActor
from fuota.deployment.messages import Message as DeploymentMessage
from fuota.journal.retry import patiently
from fuota.services import Services

log = structlog.get_logger(__name__)

ROOM = 1024
"""Announcements of devices that may wait at a deployment."""


@attrs.frozen
class Begin:
    """There is a new deployment in the journal."""

    deployment_id: UUID


class Deployments(Actor[Begin]):
    """Has a child for each deployment that has not ended."""

    def __init__(self, services: Services) -> None:
        self.services = services

    async def started(self, me: Me[Begin]) -> None:
        self.me = me
        unfinished = await patiently(self.services.journal.unfinished)
        for deployment_id in unfinished:
            await self.begin(deployment_id)
        if unfinished:
            log.info("resumed", deployments=len(unfinished))

    async def receive(self, message: Begin) -> None:
        await self.begin(message.deployment_id)

    async def begin(self, deployment_id: UUID) -> None:
        """Start the actor of a deployment, at the state in which the journal has it."""
        name = str(deployment_id)
        if self.me.child(name) is not None:
            return
        stored = await patiently(lambda: self.services.journal.load(deployment_id))
        position = Position(stored.state, stored.version)

        def made() -> Actor[DeploymentMessage]:
            return DeploymentActor(stored, position, self.services)

        self.me.spawn(name, made, room=ROOM)
