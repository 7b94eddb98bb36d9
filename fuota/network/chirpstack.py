"""The network port on ChirpStack, as far as both generations are alike; what differs is how they spell it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Self, TypeAlias, TypeVar

import attrs
from grpclib.client import UnaryUnaryMethod
from grpclib.const import Status

from fuota.lorawan.eui import EUI64
from fuota.network.calls import Calls
from fuota.network.gate import Lane, Permit
from fuota.network.port import ANYTHING, About, Group, GroupGone, KnownGroup, NotFound, Queued, Trouble

Req = TypeVar("Req")
Res = TypeVar("Res")
Good: TypeAlias = Callable[[], Awaitable[bool]]
"""Finds out whether a token that was refused is good; see `Calls`."""

PAGE = 100
"""Groups asked for at a time when one is looked for by its name."""


@attrs.frozen
class Page:
    """Some of the groups that a search has found: id and name of each."""

    groups: Collection[tuple[str, str]]
    total: int
    """That there are."""


@attrs.frozen
class ChirpStack:
    """Calls to one ChirpStack; a generation fills in what has a line of docstring and no body."""

    _calls: Calls

    def if_permitted(self, permit: Permit) -> Self:
        """The same for those who may call it only while `permit` says so; their calls wait meanwhile."""
        return attrs.evolve(self, calls=self._calls.if_permitted(permit))

    async def ensure_group(self, group: Group) -> str:
        found = await self._ids(group)
        group_id = found[0] if found else await self._create(group)
        await self._see_to_ping_slots(group_id, group)
        for gateway in group.gateways:
            await self._add_gateway(known(group, group_id), gateway)
        return group_id

    async def has_group(self, group: KnownGroup) -> bool:
        return group.id in await self._ids(group)

    async def add_device(self, group: KnownGroup, dev_eui: EUI64) -> None:
        async with self._about(group, of_group=False):  # as many as there are devices may look for it
            await self._join(group, dev_eui)

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
        pending = await self._pending(dev_eui, about, lane) if unless_pending else {}
        if (item := pending.get((f_port, data))) is not None:
            return Queued(item, already=True)
        return Queued(await self._push(dev_eui, f_port, data, about, lane))

    async def withdraw(
        self, dev_eui: EUI64, ours: Callable[[int, bytes], bool], *, about: About = ANYTHING
    ) -> bool:
        pending = await self._pending(dev_eui, about, Lane.DEVICES)
        if not all(ours(f_port, data) for f_port, data in pending):
            return False
        if pending:
            await self._empty(dev_eui, about)
        return True

    async def multicast(self, group: KnownGroup, f_port: int, data: bytes) -> None:
        async with self._about(group):
            await self._send(group, f_port, data)

    async def waiting(self, group: KnownGroup) -> frozenset[tuple[int, bytes]]:
        async with self._about(group, reads=True):
            return frozenset(await self._queued(group))

    async def flush(self, group: KnownGroup) -> None:
        with suppress(GroupGone):
            async with self._about(group):
                await self._flush(group)

    async def delete_group(self, group: Group) -> None:
        for group_id in await self._ids(group):
            each = known(group, group_id)
            await self._flush(each)
            await self._delete(each)

    @asynccontextmanager
    async def _about(
        self, group: KnownGroup, *, of_group: bool = True, reads: bool = False
    ) -> AsyncIterator[None]:
        """Around a call that names the group by its id, for it is not said plainly that it is gone.

        It is NOT_FOUND, INTERNAL for a fragment, and UNAUTHENTICATED for a token of an organization. `reads`:
        nothing is lost if the call is given up, for the group was seen just now.
        """
        try:
            yield
        except (NotFound, Trouble) as error:
            if group.id not in await self._ids(group, of_group=of_group):
                raise GroupGone("NOT_FOUND", f"multicast group {group.id}") from error
            if reads and isinstance(error, Trouble):
                error.alone = True
            raise

    async def _ids(self, group: Group | KnownGroup, *, of_group: bool = True) -> list[str]:
        """Of the groups with this name; the search finds parts of names, page by page."""
        ids: list[str] = []
        offset, total = 0, 1
        while offset < total:
            page = await self._page(group, offset, of_group=of_group)
            ids += [group_id for group_id, name in page.groups if name == group.name]
            offset, total = offset + PAGE, page.total
        return ids

    async def _is_good(self, application_id: str) -> bool:
        """Whether it is known that the token is good, for it may see the application. Raises `RpcError`."""
        if not application_id:
            return False
        await self._glance(application_id)
        return True

    async def _of_group(
        self,
        group: Group | KnownGroup,
        method: UnaryUnaryMethod[Req, Res],
        request: Req,
        *,
        fine: tuple[Status, ...] = (),
        good: Good | None = None,
        proves: bool = True,
    ) -> Res:
        """A call about the group alone, and no device; see `Calls`."""
        about, good = group.about, good or self._good()
        return await self._calls(
            method, request, about=about, fine=fine, good=good, lane=Lane.GROUPS, proves=proves
        )

    def _good(self, about: About = ANYTHING) -> Good:
        return partial(self._is_good, about.application_id)

    # What each generation spells its own way

    async def _page(self, group: Group | KnownGroup, offset: int, *, of_group: bool) -> Page:
        """Up to PAGE groups of the application whose names hold that of the group. `of_group`: whether it is
        not for a device that they are looked for.
        """
        raise NotImplementedError

    async def _glance(self, application_id: str) -> None:
        """See whether the application can be seen, past the gate. Raises `RpcError`."""
        raise NotImplementedError

    async def _create(self, group: Group) -> str:
        """The id of the new group."""
        raise NotImplementedError

    async def _see_to_ping_slots(self, group_id: str, group: Group) -> None:
        """Have a class B group sent to in the ping slots in which its members listen."""
        raise NotImplementedError

    async def _add_gateway(self, group: KnownGroup, gateway: str) -> None:
        """Have the gateway send to the group; that it does so already is fine."""
        raise NotImplementedError

    async def _join(self, group: KnownGroup, dev_eui: EUI64) -> None:
        """Make the device a member; that it is one already is fine."""
        raise NotImplementedError

    async def _pending(self, dev_eui: EUI64, about: About, lane: Lane) -> Mapping[tuple[int, bytes], str]:
        """Port and payload of what waits in the device's queue -> by what its events name it."""
        raise NotImplementedError

    async def _push(self, dev_eui: EUI64, f_port: int, data: bytes, about: About, lane: Lane) -> str:
        """Put a downlink into the device's queue; by what its events name it."""
        raise NotImplementedError

    async def _empty(self, dev_eui: EUI64, about: About) -> None:
        """Take everything out of the device's queue."""
        raise NotImplementedError

    async def _send(self, group: KnownGroup, f_port: int, data: bytes) -> None:
        """Put a downlink into the group's queue."""
        raise NotImplementedError

    async def _queued(self, group: KnownGroup) -> Collection[tuple[int, bytes]]:
        """Frame counters and payloads of what waits in the group's queue; with several gateways, each several
        times."""
        raise NotImplementedError

    async def _flush(self, group: KnownGroup) -> None:
        """Take everything out of the group's queue; that the group is gone already is fine."""
        raise NotImplementedError

    async def _delete(self, group: KnownGroup) -> None:
        """Delete the group; that it is gone already is fine."""
        raise NotImplementedError


def known(group: Group, group_id: str) -> KnownGroup:
    return KnownGroup(group_id, group.name, group.application_id)
