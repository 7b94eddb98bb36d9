"""What is said when an actor does not find its rows as it has written them.

Not where another server has taken over: then all actors are fenced, and that is said once for all.
"""

from uuid import UUID

import attrs
import structlog

from fuota.journal.port import Fenced, Transition
from fuota.network.port import group_name

log = structlog.get_logger(__name__)


@attrs.frozen
class Fences:
    """One line for each deployment, however many of its actors are fenced."""

    _told: set[UUID] = attrs.field(factory=set, init=False)

    def fenced(self, refused: Transition, *, deleted: bool) -> Fenced:
        """The error for who has written `refused`. `deleted`: the deployment is not there any more."""
        deployment_id = refused.actor.deployment_id
        found = (
            "the deployment was deleted"
            if deleted
            else f"version {refused.version} was written by another process"
        )
        error = Fenced(f"{refused.actor}: {found}")
        if deployment_id in self._told:
            return error
        self._told.add(deployment_id)
        if deleted:
            log.error(
                "a deployment was deleted from the database while it ran, and goes no further; "
                "its group may be left in ChirpStack",
                id=str(deployment_id),
                group=group_name(deployment_id),
            )
        else:
            log.error(
                "somebody else has written to a deployment of this server; "
                "restart the server to have it go on with what is written",
                id=str(deployment_id),
                found=str(error),
            )
        return error
