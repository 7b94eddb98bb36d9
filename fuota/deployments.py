"""The actor above all deployments: begins those that are ordered, and resumes those that were left."""

from collections.abc import Callable
from uuid import UUID

import attrs
import structlog
import trio

from fuota.actor import Actor, Child, Me, Ref
from fuota.actor.durable import Position
from fuota.deployment.actor import DeploymentActor
from fuota.deployment.messages import Message as DeploymentMessage
from fuota.journal.encoding import Unreadable
from fuota.journal.retry import patiently
from fuota.services import Services

log = structlog.get_logger(__name__)

ROOM = 1024
"""Announcements of devices that may wait at a deployment."""


@attrs.frozen
class Begin:
    """There is a new deployment in the journal."""

    deployment_id: UUID


@attrs.frozen
class Find:
    """Who runs this deployment? None: nobody here."""

    deployment_id: UUID
    answer: Callable[[Ref[DeploymentMessage] | None], None]


@attrs.frozen
class Gained:
    """This server runs the deployments from now on."""


@attrs.frozen
class Lost:
    """Another server has taken over."""


Message = Begin | Find | Gained | Lost


class Deployments(Actor[Message]):
    """Has a child for each deployment that has not ended, while this server owns them."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.ownership = services.journal.ownership

    async def started(self, me: Me[Message]) -> None:
        self.me = me
        epoch = self.ownership.epoch
        if epoch is None:
            self.ownership.vacate()
        else:
            await self.resume()
        me.nursery.start_soon(self.watch, epoch)

    async def watch(self, epoch: int | None) -> None:
        """Tell what becomes of the ownership; it was of this epoch, if any, when the actor started."""
        while True:
            if epoch is not None:
                await self.ownership.lost(epoch)
                await self.me.ref.tell(Lost())
            epoch = await self.ownership.gained()
            await self.me.ref.tell(Gained())

    async def receive(self, message: Message) -> None:
        match message:
            case Begin(deployment_id):
                child = await self.child(deployment_id)
                if child is not None and self.ownership.epoch is not None:
                    self.me.spawn(child.name, child.factory, room=child.room)
            case Find(deployment_id, answer):
                answer(self.me.child(str(deployment_id)))
            case Gained():
                await self.resume()
            case Lost():
                await self.me.end_children()
                self.ownership.vacate()

    def describe(self) -> object:
        return {"run by": self.ownership.holder, "epoch": self.ownership.epoch}

    async def resume(self) -> None:
        """Start the actors of all that was left, and return when every device has its own."""
        self.ownership.resuming()
        for deployment_id in self.services.devices.parents():
            if self.me.child(str(deployment_id)) is None:
                self.services.devices.dismiss(deployment_id)
        unfinished = await patiently(self.services.journal.unfinished)
        async with trio.open_nursery() as nursery:
            for deployment_id in unfinished:
                if (child := await self.child(deployment_id)) is not None:
                    nursery.start_soon(self.me.start, child)
        self.ownership.resumed()
        if unfinished:
            log.info("resumed", deployments=len(unfinished))

    async def child(self, deployment_id: UUID) -> Child[DeploymentMessage] | None:
        """The actor of a deployment, at the state in which the journal has it.

        None if it lives already, or can not be read.
        """
        name = str(deployment_id)
        if self.me.child(name) is not None:
            return None
        try:
            stored = await patiently(lambda: self.services.journal.load(deployment_id))
        except Unreadable as error:
            log.error("deployment can not be read", id=name, error=str(error))
            return None
        position = Position(stored.state, stored.version)

        def made() -> Actor[DeploymentMessage]:
            return DeploymentActor(stored, position, self.services)

        return Child(name, made, room=ROOM)
