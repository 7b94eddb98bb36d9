"""What a device's actor asks of the network: each call ends with the fact that the machine waits for."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TypeVar
from uuid import UUID

import attrs
import structlog
import trio

from fuota.deployment.messages import GroupLost
from fuota.device.effects import VERSION, Ask, Assignment
from fuota.device.messages import HandedOver, Joined, Looked, Refused, Withdrawn
from fuota.device.record import concerns
from fuota.health import Health
from fuota.lorawan import clocksync, fragmentation, multicast
from fuota.lorawan.package import Package
from fuota.network import port as network
from fuota.network.gate import PART
from fuota.network.reach import Reach, Stuck
from fuota.network.retry import Caller, persistently

log = structlog.get_logger(__name__)

T = TypeVar("T")

WITHDRAWAL = 60.0
"""Seconds for which it is tried to take a request back from a network that does not work: a deployment that
is given up waits for it."""

LOOK = 30.0
"""Seconds until a device looks whether a group that was gone has come back."""

SPOKEN: Mapping[int, Package] = {
    package.port: package for package in (multicast.package, fragmentation.package, clocksync.package)
}
"""In which devices are asked, by port."""


@attrs.define
class Outside(Caller):
    """One device, as the network knows it."""

    _deployment_id: UUID
    _assignment: Assignment
    _network: network.Network
    _health: Health
    _reach: Reach
    _alone: Callable[[], bool]
    """Whether the device is in no other deployment."""
    _stuck: Stuck | None = attrs.field(default=None, init=False)

    @property
    def _about(self) -> network.About:
        return network.About(self._assignment.plan.application_id, network.group_name(self._deployment_id))

    async def join(self, group_id: str, tell: Callable[[GroupLost], Awaitable[None]]) -> Joined | Refused:
        """`tell` the deployment if the group is gone: it makes another, and of that it tells; unless the
        group has come back meanwhile, as with a backup of ChirpStack's database."""
        about = self._about
        group = network.KnownGroup(group_id, about.group, about.application_id)
        add = partial(self._network.add_device, group, self._assignment.dev_eui)
        while True:
            try:
                await self._patiently(add)
            except network.Refused as error:
                return _refused(error)
            except network.GroupGone as error:
                await tell(GroupLost(group_id, str(error)))
                await trio.sleep(LOOK)
            else:
                return Joined()

    async def ask(self, ask: Ask) -> HandedOver | Refused:
        """A device that has to join first may do so meanwhile: then the next attempt succeeds."""
        look = ask.again

        async def enqueue() -> network.Queued:
            nonlocal look
            unless_pending, look = look, True  # whether a call that fails is carried out nobody knows
            return await self._network.downlink(
                self._assignment.dev_eui,
                ask.package.port,
                ask.payload,
                unless_pending=unless_pending,
                about=self._about,
                urgent=ask.package is clocksync.package,
            )

        try:
            queued = await self._patiently(enqueue)
        except network.NotActivated as error:
            self.troubled(error)
            return HandedOver(ask, None, anew=False)
        except network.Refused as error:
            return _refused(error)
        # what waits already when it is asked for the first time is of a call that was not answered
        return HandedOver(ask, queued.item, anew=not (queued.already and ask.again))

    async def look(self, ask: Ask) -> Looked:
        """Find out whether the network works, which is not to be seen while nothing is asked of it."""
        look = partial(
            self._network.withdraw,
            self._assignment.dev_eui,
            lambda f_port, data: False,
            about=self._about,
        )
        troubled = False

        def trouble(error: network.NetworkError) -> None:
            nonlocal troubled
            troubled = True
            self.troubled(error)

        with suppress(network.Refused):
            await self._patiently(look, trouble)
        return Looked(ask, troubled)

    async def withdraw(self) -> Withdrawn:
        """As well as it can be done in `WITHDRAWAL`, or while the network works, for others have their turns
        before; what is not taken back will be sent."""
        withdraw = partial(
            self._network.withdraw,
            self._assignment.dev_eui,
            self._is_ours,
            about=self._about,
        )
        why = ""
        while not why:
            with trio.move_on_after(WITHDRAWAL) as limit:
                try:
                    if await self.persistently(withdraw):
                        return Withdrawn()
                    why = "something else waits there"
                except network.Refused as error:
                    why = str(error)
            if limit.cancelled_caught:
                why = self.trouble or self._health.ailments().get(PART, "")
        log.warning(
            "downlinks left in a queue",
            dev_eui=str(self._assignment.dev_eui),
            deployment=str(self._deployment_id),
            why=why,
        )
        return Withdrawn()

    async def _patiently(
        self,
        call: Callable[[], Awaitable[T]],
        trouble: Callable[[network.NetworkError], None] | None = None,
    ) -> T:
        """Make `call` until it is answered, or the network has worked for everything else for long."""
        try:
            answer = await persistently(call, trouble=trouble or self.troubled, hopeless=self._hopeless)
        except network.NetworkError as error:
            self._settled(given_up=isinstance(error, network.Refused))
            raise
        self._settled(given_up=False)
        self.trouble = ""
        return answer

    def _settled(self, *, given_up: bool) -> None:
        self.unname()
        if not given_up:
            self._stuck = None

    def unname(self) -> None:
        """Nothing is asked about the device any more, or it was answered."""
        if self._stuck is not None:
            self._stuck.over()

    async def _hopeless(self) -> bool:
        if self._stuck is None:
            self._stuck = Stuck(self._assignment.dev_eui, self._reach)
        return await self._stuck.hopeless()

    def _is_ours(self, f_port: int, data: bytes) -> bool:
        """Whether a downlink can be one of this deployment: of another that the device is in, it is not.

        What is said of the time is the same whoever has asked for it, and the other may need it.
        """
        if (package := SPOKEN.get(f_port)) is None:
            return False
        if package is clocksync.package and not self._alone():
            return False
        reading = package.read("down", data, VERSION)
        return reading.error is None and all(
            concerns(self._assignment.plan, command) for command in reading.commands
        )


def _refused(error: network.Refused) -> Refused:
    return Refused(isinstance(error, network.NotFound), str(error))
