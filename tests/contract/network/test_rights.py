"""A key of ChirpStack 4 that may only read is shown everything, and refused whatever changes something."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial, wraps
from typing import Any, TypeVar, cast

import attrs
import pytest
import structlog
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from fuota.clock import SystemClock
from fuota.health import Health
from fuota.network import chirpstack4 as network4
from fuota.network.port import About, GroupGone, KnownGroup, TokenRefused
from fuota.simulation.api import serve_services
from fuota.simulation.chirpstack4 import DeviceProfiles, Devices, MulticastGroups
from fuota.simulation.conditions import ApiConditions
from fuota.simulation.fleet import fleet
from fuota.simulation.world import World
from tests.contract.network.opened import UNKNOWN_DEVICE, UUIDS, Opened, over_a_wire

GATEWAY = "0102030405060708"


@attrs.define(kw_only=True)
class Conditions(ApiConditions):
    """Of an API whose token has rights of its own."""

    read_only: bool = False


M = TypeVar("M", bound=Callable[..., Awaitable[None]])


def writing(method: M) -> M:
    """A method of the API that a key which may only read is refused, without a word of why."""

    @wraps(method)
    async def checked(self: Any, stream: Any) -> None:
        if self.conditions.read_only:
            raise GRPCError(Status.UNAUTHENTICATED)
        await method(self, stream)

    return cast(M, checked)


class Groups(MulticastGroups):
    Create = writing(MulticastGroups.Create)
    Update = writing(MulticastGroups.Update)
    Delete = writing(MulticastGroups.Delete)
    AddDevice = writing(MulticastGroups.AddDevice)
    AddGateway = writing(MulticastGroups.AddGateway)
    Enqueue = writing(MulticastGroups.Enqueue)
    FlushQueue = writing(MulticastGroups.FlushQueue)


class Queues(Devices):
    Enqueue = writing(Devices.Enqueue)
    FlushQueue = writing(Devices.FlushQueue)


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    clock = SystemClock()
    world, conditions = World(fleet(2), clock=clock, application_id=UUIDS[0]), Conditions(clock=clock)
    serve_api = partial(serve_services, (Groups, Queues, DeviceProfiles))
    health = Health()
    async with over_a_wire(serve_api, network4.connected, world, conditions, health) as network:
        yield Opened(network, world, conditions, health, UUIDS[0], 4)


Call = Callable[[Opened, KnownGroup], Awaitable[object]]

WRITING: dict[str, Call] = {
    "create": lambda opened, group: opened.network.ensure_group(
        attrs.evolve(opened.group, name="fuota-another")
    ),
    "update": lambda opened, group: opened.network.ensure_group(
        attrs.evolve(opened.group, gateways=(GATEWAY,))
    ),
    "add_device": lambda opened, group: opened.network.add_device(group, opened.device),
    "downlink": lambda opened, group: opened.network.downlink(
        opened.device, 200, b"\x00", unless_pending=False, about=About(opened.application_id)
    ),
    "withdraw": lambda opened, group: opened.network.withdraw(opened.device, lambda *_: True),
    "multicast": lambda opened, group: opened.network.multicast(group, 201, b"\x00"),
    "flush": lambda opened, group: opened.network.flush(group),
    "delete_group": lambda opened, group: opened.network.delete_group(opened.group),
}


@pytest.mark.parametrize("call", WRITING.values(), ids=WRITING)
async def test_a_key_that_may_only_read_is_refused_like_a_wrong_token(opened: Opened, call: Call) -> None:
    """And not like what it may not change, which is there."""
    assert isinstance(opened.conditions, Conditions)
    group = await opened.make()
    await opened.network.downlink(opened.device, 200, b"\x01", unless_pending=False)
    opened.conditions.read_only = True
    with structlog.testing.capture_logs() as said, pytest.raises(TokenRefused) as caught:
        await call(opened, group)
    assert not caught.value.own
    line, _ = said
    assert "refuses the token" in line["event"]
    assert "only read" in line["said"]
    assert "only read" in opened.health.ailments()["chirpstack"]
    opened.conditions.read_only = False
    await call(opened, group)


async def test_what_such_a_key_is_not_shown_is_not_its_own(opened: Opened) -> None:
    assert isinstance(opened.conditions, Conditions)
    group = await opened.make()
    opened.conditions.read_only = opened.conditions.limited = True
    with structlog.testing.capture_logs() as said:
        for call in (
            opened.network.downlink(UNKNOWN_DEVICE, 200, b"\x00", unless_pending=False),
            opened.network.add_device(group, UNKNOWN_DEVICE),
        ):
            with pytest.raises(TokenRefused) as caught:
                await call
            assert caught.value.own
        opened.world.chirpstack.delete_group(group.id)
        for call in (
            opened.network.multicast(group, 201, b"\x00"),
            opened.network.add_device(group, opened.device),
        ):
            with pytest.raises(GroupGone):
                await call
    assert not said
