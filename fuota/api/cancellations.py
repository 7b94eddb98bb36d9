"""Deployments are cancelled: for good, or it is said why not."""

from uuid import UUID

import attrs
import trio
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from fuota.api.errors import no_deployment
from fuota.api.running import Running
from fuota.deployment.states import Abandoning, CreatingGroupInVain, DeletingGroup, Ended, State, Why
from fuota.journal.port import Fenced, Journal, Unavailable

PATIENCE = 6.0
"""Seconds in which an actor that begins anew, or waits for the database, may take it."""

PAUSE = 0.2


@attrs.frozen
class Cancellations:
    """Where they are asked for."""

    journal: Journal
    running: Running

    async def take(self, deployment_id: UUID) -> None:
        """Returns when it is written that the deployment is cancelled, by whichever call.

        Raises `GRPCError`: there is no such deployment, or it ends for another reason; `journal.Fenced`; and
        `journal.Unavailable`, after which it may still become cancelled.
        """
        with trio.move_on_after(PATIENCE):
            while not await self._cancelled(deployment_id):  # noqa: ASYNC110  # nobody tells when it is there
                await trio.sleep(PAUSE)
            return
        raise Unavailable(f"it is not known yet whether deployment {deployment_id} is cancelled: ask again")

    async def _cancelled(self, deployment_id: UUID) -> bool:
        state = await self.running.cancel(deployment_id)
        if state is None:
            state = await self._written(deployment_id)
        match state:
            case CreatingGroupInVain():
                return True
            case Abandoning(why) | DeletingGroup(why) | Ended(why) if why is Why.CANCELLED:
                return True
            case Abandoning(why) | DeletingGroup(why):
                raise _too_late(deployment_id, f"is about to end: {why.value}")
            case Ended(why):
                raise _too_late(deployment_id, f"has ended: {why.value}")
        ownership = self.journal.ownership
        if ownership.epoch is None:
            raise Fenced(f"the deployments are run by {ownership.holder}")
        return False

    async def _written(self, deployment_id: UUID) -> State:
        summary = await self.journal.summary(deployment_id)
        if summary is None:
            raise no_deployment(deployment_id)
        if summary.state is None:
            raise _too_late(
                deployment_id, "was made by another server or a newer version, and is not run by this one"
            )
        return summary.state


def _too_late(deployment_id: UUID, reason: str) -> GRPCError:
    return GRPCError(Status.FAILED_PRECONDITION, f"deployment {deployment_id} {reason}")
