"""What a deployment asks of the network: each call ends with the fact that the machine waits for."""

from functools import partial

import structlog

from fuota.deployment.air import Air
from fuota.deployment.effects import Multicast
from fuota.deployment.messages import FragmentsEnqueued, GroupCreated, GroupDeleted, GroupLost, GroupRefused
from fuota.journal.port import StoredDeployment
from fuota.journal.retry import patiently
from fuota.lorawan import fragmentation, keys
from fuota.network.port import Group, NetworkError, Refused
from fuota.network.retry import persistently
from fuota.services import Services

log = structlog.get_logger(__name__)


class Outside:
    """The group and the fragments of one deployment, as the network knows them."""

    def __init__(self, stored: StoredDeployment, services: Services) -> None:
        plan = stored.plan
        self._network = services.network
        self._group = Group(
            name=f"fuota-{stored.id}",
            application_id=plan.application_id,
            mc_class=plan.mc_class,
            mc_addr=plan.mc_addr,
            mc_nwk_s_key=keys.mc_nwk_s_key(stored.mc_key, plan.mc_addr),
            mc_app_s_key=keys.mc_app_s_key(stored.mc_key, plan.mc_addr),
            frequency=plan.frequency,
            dr=plan.dr,
            periodicity=plan.periodicity,
        )
        self.air = Air(plan, lambda sha256: patiently(lambda: services.journal.firmware(sha256)))
        self.trouble = ""
        """What the network said last, if it did not do what was asked."""

    async def create_group(self) -> GroupCreated | GroupRefused:
        try:
            group_id = await persistently(
                lambda: self._network.ensure_group(self._group), trouble=self._troubled
            )
        except Refused as error:
            return GroupRefused(str(error))
        return GroupCreated(group_id)

    async def multicast(self, batch: Multicast) -> FragmentsEnqueued | GroupLost:
        """One fragment after the other: the network locks the group for each, and their order matters."""
        port = fragmentation.package.port
        try:
            for payload in await self.air.payloads(batch.after, batch.upto):
                enqueue = partial(self._network.multicast, batch.group_id, port, payload)
                await persistently(enqueue, trouble=self._troubled)
        except Refused as error:
            return GroupLost(str(error))
        return FragmentsEnqueued(batch.upto)

    async def delete_group(self) -> GroupDeleted:
        try:
            await persistently(lambda: self._network.delete_group(self._group), trouble=self._troubled)
        except Refused as error:
            log.error("group left behind", group=self._group.name, error=str(error))
        return GroupDeleted()

    def _troubled(self, error: NetworkError) -> None:
        self.trouble = str(error)
