"""How the API reaches the actors of the deployments that this server runs."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar
from uuid import UUID

import attrs

from fuota.actor import ActorError, Ref, Reply, Stopped
from fuota.deployment.messages import Cancellation, Inquiry
from fuota.deployment.messages import Message as DeploymentMessage
from fuota.deployment.states import State
from fuota.deployments import Begin, Find, Message

R = TypeVar("R")

WITHIN = 2.0
"""Seconds in which an actor has to answer; one that waits for the database does not."""


@attrs.frozen
class Running:
    """An actor that is not there, or does not answer in time, is none: the journal says then what is so."""

    deployments: Ref[Message]

    async def begin(self, deployment_id: UUID) -> None:
        """There is a new deployment in the journal."""
        with suppress(Stopped):  # then the server stops, and the next start resumes it
            await self.deployments.tell(Begin(deployment_id))

    async def cancel(self, deployment_id: UUID) -> State | None:
        """Where that has led, which is written; None: it may still lead there."""
        return await self._ask(deployment_id, lambda reply: Cancellation(reply.give))

    async def trouble(self, deployment_id: UUID) -> str:
        """What ChirpStack says, if it does not do what it is asked for the deployment; empty if it does."""
        return await self._ask(deployment_id, lambda reply: Inquiry(reply.give)) or ""

    async def _ask(self, deployment_id: UUID, question: Callable[[Reply[R]], DeploymentMessage]) -> R | None:
        def find(reply: Reply[Ref[DeploymentMessage] | None]) -> Find:
            return Find(deployment_id, reply.give)

        with suppress(ActorError):
            if (ref := await self.deployments.ask(find, within=WITHIN)) is not None:
                return await ref.ask(question, within=WITHIN)
        return None
