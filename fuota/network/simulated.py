"""The simulated ChirpStack without a wire between: `Network` for tests in virtual time."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import trio

from fuota.health import Health
from fuota.lorawan.eui import EUI64
from fuota.network.calls import CALL_TIMEOUT
from fuota.network.gate import Always, Gate, Lane, Permit
from fuota.network.port import (
    ANYTHING,
    About,
    Group,
    GroupGone,
    KnownGroup,
    NetworkError,
    NotActivated,
    NotFound,
    Queued,
    Refused,
    TokenRefused,
    Trouble,
    Unreachable,
)
from fuota.simulation.chirpstack import ApiError, GroupSettings
from fuota.simulation.conditions import ApiConditions
from fuota.simulation.radio import Channel
from fuota.simulation.world import World

ERRORS: dict[str, type[NetworkError]] = {
    "UNAVAILABLE": Unreachable,
    "RESOURCE_EXHAUSTED": Unreachable,
    "DEADLINE_EXCEEDED": Unreachable,
    "INTERNAL": Trouble,
    "UNAUTHENTICATED": TokenRefused,
    "NOT_FOUND": NotFound,
}


class SimulatedNetwork:
    """`Network` on a `World`, which has to run for anything to reach a device."""

    def __init__(
        self,
        world: World,
        conditions: ApiConditions | None = None,
        permit: Permit | None = None,
        health: Health | None = None,
    ) -> None:
        self.health = health or Health()
        self._gate, self._permit = Gate(self.health), permit or Always()
        self._chirpstack = world.chirpstack
        self.conditions = conditions or ApiConditions(clock=world.clock)
        self.inactive: set[EUI64] = set()
        """Devices that have to join before they can be sent anything."""
        self.away: set[str] = set()
        """Applications whose Network Server is away, while that of the others works."""
        self.forgetful: set[str] = set()
        """Those whose Network Server has lost its Redis, in which the sessions of the devices are."""
        self.shy: set[str] = set()
        """Applications whose groups do not show what waits in their queues."""
        self.stumbles: dict[EUI64, str] = {}
        """The status of every call about these devices."""

    async def ensure_group(self, group: Group) -> str:
        async with self._call(group.about, lane=Lane.GROUPS):
            if known := self._ids(group):
                return self._with_gateways(known[0], group.gateways)
            channel = Channel(group.mc_class, group.frequency, group.dr, group.periodicity)
            made = self._chirpstack.create_group(
                GroupSettings(
                    name=group.name,
                    application_id=group.application_id,
                    channel=channel,
                    mc_addr=group.mc_addr,
                    mc_nwk_s_key=group.mc_nwk_s_key,
                    mc_app_s_key=group.mc_app_s_key,
                    class_c_scheduling=group.class_c_scheduling,
                ),
                f_cnt=group.f_cnt,
            )
            return self._with_gateways(made.id, group.gateways)

    async def has_group(self, group: KnownGroup) -> bool:
        async with self._call(group.about, lane=Lane.GROUPS, beyond=False, proves=False):
            return group.id in self._ids(group)

    async def add_device(self, group: KnownGroup, dev_eui: EUI64) -> None:
        async with self._call(group.about, group, dev_eui=dev_eui):
            if dev_eui not in self._chirpstack.group(group.id).members:
                self._chirpstack.add_device(group.id, dev_eui)

    async def downlink(
        self,
        dev_eui: EUI64,
        f_port: int,
        data: bytes,
        *,
        unless_pending: bool,
        urgent: bool = False,
        about: About = ANYTHING,
    ) -> Queued:
        lane = Lane.URGENT if urgent else Lane.DEVICES
        if unless_pending:
            async with self._call(about, dev_eui=dev_eui, lane=lane, proves=False):
                waiting = self._chirpstack.queue(dev_eui).items
                same = [item for item in waiting if (item.f_port, item.data) == (f_port, data)]
            if same:
                return Queued(str(same[-1].f_cnt), already=True)
        async with self._call(about, dev_eui=dev_eui, lane=lane):
            queue = self._chirpstack.queue(dev_eui)
            if dev_eui in self.inactive:
                raise NotActivated("INTERNAL", "rpc error: code = NotFound desc = object does not exist")
            if about.application_id in self.forgetful:
                raise Unreachable("UNAVAILABLE", "dial tcp: connect: connection refused")
            return Queued(str(queue.push(f_port, data).f_cnt))

    async def withdraw(
        self, dev_eui: EUI64, ours: Callable[[int, bytes], bool], *, about: About = ANYTHING
    ) -> bool:
        async with self._call(about, dev_eui=dev_eui, proves=False):
            items = self._chirpstack.queue(dev_eui).items
            if not all(ours(item.f_port, item.data) for item in items):
                return False
            items.clear()
            return True

    async def multicast(self, group: KnownGroup, f_port: int, data: bytes) -> None:
        async with self._call(group.about, group, lane=Lane.GROUPS):
            self._chirpstack.multicast(group.id, f_port, data)

    async def waiting(self, group: KnownGroup) -> frozenset[tuple[int, bytes]]:
        try:
            async with self._call(group.about, group, lane=Lane.GROUPS, proves=False):
                if group.application_id in self.shy:
                    raise ApiError("INTERNAL", "something")
                items = self._chirpstack.group(group.id).queue.items
                return frozenset((item.f_cnt, item.data) for item in items)
        except Trouble as error:
            if not await self.has_group(group):
                raise GroupGone("NOT_FOUND", f"multicast group {group.id}") from error
            error.alone = True
            raise

    async def flush(self, group: KnownGroup) -> None:
        async with self._call(group.about, lane=Lane.GROUPS):
            if group.id in self._chirpstack.groups:
                self._chirpstack.group(group.id).queue.items.clear()

    async def delete_group(self, group: Group) -> None:
        async with self._call(group.about, lane=Lane.GROUPS):
            for group_id in self._ids(group):
                self._chirpstack.group(group_id).queue.items.clear()
                self._chirpstack.delete_group(group_id)

    def _with_gateways(self, group_id: str, gateways: Iterable[str]) -> str:
        for gateway in map(EUI64.parse, gateways):
            if gateway not in self._chirpstack.group(group_id).gateways:
                self._chirpstack.add_gateway(group_id, gateway)
        return group_id

    def _ids(self, group: Group | KnownGroup) -> list[str]:
        """Of the groups with this name: a repeated call may have made more than one."""
        found = self._chirpstack.groups_like(group.name, group.application_id)
        return [one.id for one in found if one.settings.name == group.name]

    @asynccontextmanager
    async def _call(
        self,
        about: About = ANYTHING,
        group: KnownGroup | None = None,
        *,
        dev_eui: EUI64 | None = None,
        lane: Lane = Lane.DEVICES,
        beyond: bool = True,
        proves: bool = True,
    ) -> AsyncIterator[None]:
        """`beyond`: whether the application's Network Server has to be asked."""
        async with self._gate.passage(self._permit, lane, about=about, proves=proves):
            try:
                await self.conditions.meet()
                status = "" if dev_eui is None else self.stumbles.get(dev_eui, "")
                if status:
                    await trio.sleep(CALL_TIMEOUT if status == "DEADLINE_EXCEEDED" else 0)
                    raise ApiError(status, f"stumbles over {dev_eui}")
                if beyond and about.application_id in self.away:
                    raise Unreachable("UNAVAILABLE", "rpc error: code = Unavailable desc = connection error")
                if group is not None and group.id not in self._chirpstack.groups:
                    raise GroupGone("NOT_FOUND", f"multicast group {group.id}")
                yield
                self.conditions.part()
            except ApiError as error:
                raise ERRORS.get(error.status, Refused)(error.status, error.detail) from error
