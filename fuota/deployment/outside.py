"""What a deployment asks of the network: each call ends with the fact that the machine waits for."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import partial

import attrs
import structlog
import trio

from fuota.actor.durable import Position
from fuota.deployment.air import Air, lowest
from fuota.deployment.effects import Multicast
from fuota.deployment.messages import (
    Drained,
    Emptied,
    Expired,
    Flushed,
    FragmentsEnqueued,
    GroupCreated,
    GroupDeleted,
    GroupLost,
    GroupRefused,
    Looked,
    Waiting,
)
from fuota.deployment.pace import LOOK, margin, next_look
from fuota.deployment.plan import StatusRequest
from fuota.deployment.states import State
from fuota.journal.port import StoredDeployment
from fuota.journal.retry import patiently
from fuota.lorawan import fragmentation, keys
from fuota.lorawan.eui import EUI64
from fuota.network.gate import PART
from fuota.network.port import Group, GroupGone, KnownGroup, NetworkError, Refused, answered, group_name
from fuota.network.reach import Reach, Stuck
from fuota.network.retry import Caller
from fuota.services import Services

log = structlog.get_logger(__name__)

DRAINING = 2.0
"""Seconds between two looks at what is left in the queue for devices that have settled."""

SLOW = timedelta(seconds=10)
"""After which what the network has taken of a batch counts, though there is more of it; or after a sixth of a
short window: what is not known to be sent when it closes was not."""

UNSHOWN = timedelta(hours=1)
"""How long a queue that was not shown in the window is looked for, if no device tells what it has heard."""

LOOKING = 60.0
"""Seconds in which it is found that the network works: those whose calls fail have their turns first."""


class Outside(Caller):
    """The group and the fragments of one deployment, as the network knows them."""

    def __init__(self, stored: StoredDeployment, position: Position[State], services: Services) -> None:
        super().__init__()
        self._id = str(stored.id)
        self.reach = Reach(self._id, lambda: self.answers(getattr(position.state, "group_id", "")))
        self._plan = plan = stored.plan
        self._network, self._clock, self._health = services.network, services.clock, services.health
        self._group = Group(
            name=group_name(stored.id),
            application_id=plan.application_id,
            mc_class=plan.mc_class,
            mc_addr=plan.mc_addr,
            mc_nwk_s_key=keys.mc_nwk_s_key(stored.mc_key, plan.mc_addr),
            mc_app_s_key=keys.mc_app_s_key(stored.mc_key, plan.mc_addr),
            frequency=plan.frequency,
            dr=plan.dr,
            periodicity=plan.periodicity,
            region=plan.region,
            class_c_scheduling=plan.class_c_scheduling,
            gateways=plan.gateways,
        )
        self._shown = True
        self.air = Air(plan, lambda sha256: patiently(lambda: services.journal.firmware(sha256)))

    def said(self) -> str:
        """What the network says, if it does not do what it is asked."""
        return self.trouble or self.reach.trouble or self._health.ailments().get(PART, "")

    async def create_group(
        self, f_cnt: int, members: Callable[[], Collection[EUI64]]
    ) -> GroupCreated | GroupRefused:
        """`members`: the devices that have its key already, if it is made again; they may become more."""
        group = attrs.evolve(self._group, f_cnt=f_cnt)
        try:
            group_id = await self.persistently(lambda: self._network.ensure_group(group))
        except Refused as error:
            return GroupRefused(str(error))
        added = set[EUI64]()
        while new := [dev_eui for dev_eui in members() if dev_eui not in added]:
            await self.add_again(group_id, new)
            added.update(new)
        return GroupCreated(group_id, len(added))

    async def add_again(self, group_id: str, devices: Collection[EUI64]) -> None:
        """Make members of the devices that have the key of the group; those that are already remain so."""
        reach = Reach(self._id, partial(self.answers, group_id))
        async with trio.open_nursery() as nursery:
            for dev_eui in devices:
                nursery.start_soon(self._add_again, self._known(group_id), dev_eui, Stuck(dev_eui, reach))

    async def _add_again(self, group: KnownGroup, dev_eui: EUI64, stuck: Stuck) -> None:
        add = partial(self._network.add_device, group, dev_eui)
        try:
            await self.persistently(add, hopeless=stuck.hopeless)
        except (Refused, GroupGone) as error:
            log.warning("not a member any more", dev_eui=str(dev_eui), error=str(error))

    async def look(self, alarm: Expired, group_id: str, asked: int) -> Looked:
        """Find out whether the network works, if it fails anybody: that may be but one device, or those of
        another Network Server. What is asked is answered by the one that would send the fragments, though its
        Redis may be away: so it proves nothing unless some devices could be `asked`."""
        away = PART in self._health.ailments()
        if away and asked:
            with trio.move_on_after(LOOKING):
                away = not await self.answers(group_id)
        return Looked(alarm, away)

    async def answers(self, group_id: str) -> bool:
        """Whether the network does so about the group, if there is one."""
        if not group_id:
            return False
        try:
            await self._network.waiting(self._known(group_id))
        except NetworkError as error:
            return answered(error)
        return True

    async def multicast(self, batch: Multicast) -> FragmentsEnqueued | GroupLost | GroupRefused:
        """One fragment after the other: the network locks the group for each, and their order matters.

        Where it is slow, as far as it has come: a batch that outlasts the window would count for nothing.
        """
        group, port = self._known(batch.group_id), fragmentation.package.port
        slow = min(SLOW, self._plan.window / 6).total_seconds()
        upto, began = batch.after, trio.current_time()
        try:
            for payload in await self.air.payloads(batch.after, batch.upto):
                enqueue = partial(self._network.multicast, group, port, payload)
                await self.persistently(enqueue)
                upto += 1
                if trio.current_time() - began >= slow:
                    break
        except GroupGone as error:
            return GroupLost(batch.group_id, str(error))
        except Refused as error:
            return GroupRefused(str(error))
        return FragmentsEnqueued(upto)

    async def watch(self, group_id: str, until: datetime) -> GroupLost | Emptied | Waiting:
        """Look for the group now and then, for what waits in its queue goes with it; and at the queue.

        A fragment may wait there twice: its call had no answer and was made again, or the process died.
        What the network does not tell is taken to be as it was last seen, or empty if it never was: the
        devices will tell. If they are not asked, it is waited for, and looked at late.
        """
        group, first, queue = self._known(group_id), None, None
        in_time = frozenset[tuple[int, bytes]]()
        patience = UNSHOWN if self._plan.status_request is StatusRequest.NO_REQUEST else timedelta(0)
        while True:
            now = self._clock.now()
            over = now >= until
            try:
                seen = await self._queue(group)
                late = self._clock.now() - until
                there = await self.persistently(partial(self._network.has_group, group))
            except GroupGone as error:
                return GroupLost(group_id, str(error))
            except Refused as error:
                self.troubled(error)
            else:
                if not there:
                    return GroupLost(group_id, f"multicast group {group_id} does not exist any more")
            queue = queue if seen is None else seen
            if seen is not None and late < timedelta(0):
                if late < -margin(self._plan):
                    in_time = seen
                    if not seen:
                        return Emptied()
                first = seen if first is None else first
            if over and (queue is not None or now >= until + patience):
                break
            await trio.sleep((LOOK if over else next_look(self._plan, -late)).total_seconds())
        if queue is None:
            return Emptied()
        left = {payload for _, payload in queue}
        if left:
            log.warning("downlinks still wait, and the window has closed", group=group.name, left=len(left))
        moved = first is not None and queue != first
        by_then = await lowest({payload for _, payload in in_time})
        return Waiting(len(left), moved=moved, late=late, lowest=await lowest(left), in_time=by_then)

    async def drain(self, group_id: str, until: datetime) -> Drained | GroupLost:
        """Look at the queue now and then, until it is empty or the window has closed."""
        group = self._known(group_id)
        while (remaining := (until - self._clock.now()).total_seconds()) > 0:
            try:
                queue = await self._queue(group)
            except GroupGone as error:
                return GroupLost(group_id, str(error))
            if queue is not None and not queue:
                break
            await trio.sleep(min(DRAINING if queue else LOOK.total_seconds(), remaining))
        return Drained()

    async def _queue(self, group: KnownGroup) -> frozenset[tuple[int, bytes]] | None:
        """What waits there; None if the network does not tell. Raises `GroupGone`."""
        try:
            queue = await self.persistently(partial(self._network.waiting, group))
        except Refused as error:
            if self._shown:
                log.warning("what waits in a queue is not known", group=group.name, error=str(error))
            self._shown = False
            return None
        self._shown = True
        return queue

    async def flush(self, group_id: str) -> Flushed:
        """So that what devices have not heard is not sent twice in the next window."""
        try:
            flush = partial(self._network.flush, self._known(group_id))
            await self.persistently(flush)
        except (Refused, GroupGone) as error:
            self.troubled(error)
        return Flushed()

    def _known(self, group_id: str) -> KnownGroup:
        return KnownGroup(group_id, self._group.name, self._group.application_id)

    async def delete_group(self) -> GroupDeleted:
        try:
            await self.persistently(lambda: self._network.delete_group(self._group))
        except Refused as error:
            log.error("group may be left behind", group=self._group.name, error=str(error))
        return GroupDeleted()
