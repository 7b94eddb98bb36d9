"""What every implementation of the network port does, and what its errors mean."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import attrs
import pytest
import trio

from fuota.bridge import open_loop
from fuota.clock import SystemClock
from fuota.config import Bind, ChirpStackApi
from fuota.deployment.plan import ClassCScheduling, MulticastClass
from fuota.health import Health
from fuota.lorawan.eui import EUI64
from fuota.lorawan.region import Region
from fuota.network import application_server
from fuota.network import chirpstack4 as network4
from fuota.network.port import (
    Group,
    GroupGone,
    KnownGroup,
    Network,
    NotActivated,
    NotFound,
    Refused,
    TokenRefused,
    Trouble,
    Unreachable,
)
from fuota.network.simulated import SimulatedNetwork
from fuota.simulation import chirpstack3, chirpstack4
from fuota.simulation.conditions import ApiConditions
from fuota.simulation.fleet import fleet
from fuota.simulation.world import World

TOKEN = "let-me-in"
UNKNOWN_DEVICE = EUI64.parse("ffffffffffffffff")
GROUP = Group(
    name="fuota-1",
    application_id="1",
    mc_class=MulticastClass.C,
    mc_addr=0x00FF0102,
    mc_nwk_s_key=bytes(range(16)),
    mc_app_s_key=bytes(range(16, 32)),
    frequency=869_525_000,
    dr=3,
    periodicity=0,
    region=Region.AS923_3,
)


UUIDS = (
    "5f0c2b1e-0000-4000-8000-000000000001",
    "5f0c2b1e-0000-4000-8000-000000000002",
)
"""ChirpStack 4 has them for ids of applications."""


NOT_ACTIVATED = (
    "get next downlink fcnt for deveui error: rpc error: code = NotFound desc = object does not exist",
    "create device-queue item error: rpc error: code = InvalidArgument desc = "
    "device security-context out of sync",
)
"""What the Application Server v3 quotes."""


@attrs.frozen
class Opened:
    """An implementation, and what is behind it."""

    network: Network
    world: World
    conditions: ApiConditions
    application_id: str
    generation: int | None
    """Of ChirpStack; None if it is not called over a wire."""

    @property
    def device(self) -> EUI64:
        return self.world.devices[0].dev_eui

    @property
    def group_ids(self) -> list[str]:
        return [*self.world.chirpstack.groups]

    @property
    def group(self) -> Group:
        return attrs.evolve(GROUP, application_id=self.application_id)

    @property
    def other(self) -> str:
        """Id of an application that does not exist."""
        return UUIDS[1] if self.application_id in UUIDS else "77"

    @property
    def unknown_group(self) -> KnownGroup:
        return KnownGroup("00000000-0000-4000-8000-000000000000", GROUP.name, self.application_id)

    async def make(self) -> KnownGroup:
        """The group, made."""
        return KnownGroup(await self.network.ensure_group(self.group), GROUP.name, self.application_id)

    def waiting(self, group: KnownGroup | None = None) -> list[tuple[int, bytes]]:
        """Port and payload of what is queued for the group, or for the device."""
        queue = (
            self.world.chirpstack.group(group.id).queue if group else self.world.chirpstack.queue(self.device)
        )
        return [(item.f_port, item.data) for item in queue.items]


Open = Callable[[World, ApiConditions], AbstractAsyncContextManager[Network]]


@asynccontextmanager
async def simulated(world: World, conditions: ApiConditions) -> AsyncIterator[Network]:
    yield SimulatedNetwork(world, conditions)


@asynccontextmanager
async def application_server_v3(world: World, conditions: ApiConditions) -> AsyncIterator[Network]:
    async with over_a_wire(chirpstack3.serve_api, application_server.connected, world, conditions) as network:
        yield network


@asynccontextmanager
async def chirpstack_v4(world: World, conditions: ApiConditions) -> AsyncIterator[Network]:
    async with over_a_wire(chirpstack4.serve_api, network4.connected, world, conditions) as network:
        yield network


@asynccontextmanager
async def over_a_wire(
    serve_api: Any, connected: Any, world: World, conditions: ApiConditions
) -> AsyncIterator[Network]:
    async with open_loop(), trio.open_nursery() as nursery:
        serve = partial(serve_api, world, Bind("127.0.0.1", 0), token=TOKEN, conditions=conditions)
        address: str = await nursery.start(serve)
        async with connected(ChirpStackApi(server=Bind.parse(address), token=TOKEN), Health()) as network:
            yield network
        nursery.cancel_scope.cancel()


GENERATION: dict[Open, int] = {application_server_v3: 3, chirpstack_v4: 4}


@asynccontextmanager
async def open_one(opening: Open) -> AsyncIterator[Opened]:
    application_id = UUIDS[0] if opening is chirpstack_v4 else "1"
    clock = SystemClock()
    world = World(fleet(2), clock=clock, application_id=application_id)
    conditions = ApiConditions(clock=clock)
    async with opening(world, conditions) as network:
        yield Opened(network, world, conditions, application_id, GENERATION.get(opening))


@pytest.fixture(
    params=[simulated, application_server_v3, chirpstack_v4], ids=lambda opening: opening.__name__
)
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Opened]:
    async with open_one(request.param) as it:
        yield it


@pytest.fixture(params=GENERATION, ids=lambda opening: opening.__name__)
async def wired(request: pytest.FixtureRequest) -> AsyncIterator[Opened]:
    """The same, where a token is asked for."""
    async with open_one(request.param) as it:
        yield it


async def test_a_group_is_made_as_it_is_described(opened: Opened) -> None:
    group_id = await opened.network.ensure_group(opened.group)
    made = opened.world.chirpstack.group(group_id).settings
    assert (made.name, made.application_id, made.mc_addr) == (
        opened.group.name,
        opened.group.application_id,
        opened.group.mc_addr,
    )
    assert (made.mc_nwk_s_key, made.mc_app_s_key) == (opened.group.mc_nwk_s_key, opened.group.mc_app_s_key)
    assert made.region in (None, Region.AS923_3)
    channel = made.channel
    assert (channel.mc_class, channel.frequency, channel.dr) == (
        MulticastClass.C,
        opened.group.frequency,
        opened.group.dr,
    )


@pytest.mark.parametrize("periodicity", range(8))
async def test_a_class_b_group_has_its_ping_slots(opened: Opened, periodicity: int) -> None:
    group = attrs.evolve(opened.group, mc_class=MulticastClass.B, periodicity=periodicity)
    channel = opened.world.chirpstack.group(await opened.network.ensure_group(group)).settings.channel
    assert (channel.mc_class, channel.periodicity) == (MulticastClass.B, periodicity)


@pytest.mark.parametrize("periodicity", range(8))
async def test_older_chirpstacks_are_told_the_same_ping_slots_the_other_way_round(periodicity: int) -> None:
    async with open_one(chirpstack_v4) as opened:
        opened.conditions.exponents = True
        group = attrs.evolve(opened.group, mc_class=MulticastClass.B, periodicity=periodicity, f_cnt=7)
        for _ in range(2):
            made = opened.world.chirpstack.group(await opened.network.ensure_group(group))
            assert (made.settings.channel.periodicity, made.queue.next_f_cnt) == (periodicity, 7)
            assert made.settings.mc_nwk_s_key == group.mc_nwk_s_key
        assert opened.group_ids == [made.id]


async def test_a_group_has_its_gateways_and_its_scheduling_also_if_it_was_made_before(opened: Opened) -> None:
    gateways = ("0016c001ff10a235", "0016c001ff10a236")
    wanted = attrs.evolve(
        opened.group, class_c_scheduling=ClassCScheduling.GPS_TIME, gateways=gateways, region=Region.EU868
    )
    made = opened.world.chirpstack.group(
        await opened.network.ensure_group(attrs.evolve(wanted, gateways=gateways[:1]))
    )
    for _ in range(2):
        assert await opened.network.ensure_group(wanted) == made.id
    if opened.generation == 3:
        assert not made.gateways, "the Application Server chooses"
    else:
        assert [*map(str, made.gateways)] == [*gateways]
        assert made.settings.class_c_scheduling is ClassCScheduling.GPS_TIME


async def test_a_group_is_made_once(opened: Opened) -> None:
    first = await opened.network.ensure_group(opened.group)
    assert await opened.network.ensure_group(opened.group) == first
    assert opened.group_ids == [first]


async def test_a_group_is_found_by_its_whole_name_among_many(opened: Opened) -> None:
    chirpstack = opened.world.chirpstack
    for number in range(130):
        await opened.network.ensure_group(attrs.evolve(opened.group, name=f"{opened.group.name}-{number:03}"))
    found = await opened.network.ensure_group(attrs.evolve(opened.group, name="fuota-1-129"))
    assert chirpstack.group(found).settings.name == "fuota-1-129"
    assert len(opened.group_ids) == 130
    await opened.network.ensure_group(opened.group)
    assert len(opened.group_ids) == 131


async def test_chirpstack_4_is_given_no_region_that_nobody_has_chosen(opened: Opened) -> None:
    group = attrs.evolve(opened.group, region=None)
    if opened.generation == 4:
        with pytest.raises(Refused, match="region"):
            await opened.network.ensure_group(group)
        assert opened.group_ids == []
    else:
        made = await opened.network.ensure_group(group)
        assert opened.group_ids == [made]


async def test_a_group_of_an_unknown_application_is_not_found(opened: Opened) -> None:
    with pytest.raises(NotFound):
        await opened.network.ensure_group(attrs.evolve(opened.group, application_id=opened.other))


async def test_a_device_becomes_a_member_and_stays_one(opened: Opened) -> None:
    group = await opened.make()
    for _ in range(2):
        await opened.network.add_device(group, opened.device)
    assert [*opened.world.chirpstack.group(group.id).members] == [opened.device]


async def test_an_unknown_device_can_not_become_a_member(opened: Opened) -> None:
    group = await opened.make()
    with pytest.raises(NotFound) as caught:
        await opened.network.add_device(group, UNKNOWN_DEVICE)
    assert caught.value.status == "NOT_FOUND"
    assert str(UNKNOWN_DEVICE) in caught.value.detail


async def test_a_group_is_there_until_it_is_deleted(opened: Opened) -> None:
    group = await opened.make()
    assert await opened.network.has_group(group)
    assert not await opened.network.has_group(opened.unknown_group)
    await opened.network.delete_group(opened.group)
    assert not await opened.network.has_group(group)


@pytest.mark.parametrize("limited", [False, True])
async def test_nothing_can_be_done_with_a_group_that_is_gone(opened: Opened, limited: bool) -> None:
    """To a token of one organization ChirpStack says that it is not allowed, and not that it is gone."""
    opened.conditions.limited = limited
    with pytest.raises(GroupGone):
        await opened.network.add_device(opened.unknown_group, opened.device)
    with pytest.raises(GroupGone):
        await opened.network.multicast(opened.unknown_group, 201, b"\x00")
    await opened.network.flush(opened.unknown_group)


@pytest.mark.parametrize("call", ["downlink", "withdraw", "add_device", "ensure_group", "delete_group"])
async def test_what_is_not_the_tokens_is_told_from_a_token_that_is_refused(wired: Opened, call: str) -> None:
    """Both are UNAUTHENTICATED; ChirpStack is asked for something else then.

    What any token of version 3 may be asked for is not known: there, only devices are told from the token.
    """
    wired.conditions.limited = True
    known = call in ("downlink", "withdraw", "add_device")
    network, group = wired.network, attrs.evolve(wired.group, application_id=wired.other)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "downlink": lambda: network.downlink(
            UNKNOWN_DEVICE, 200, b"\x00", unless_pending=False, application_id=wired.application_id
        ),
        "withdraw": lambda: network.withdraw(
            UNKNOWN_DEVICE, lambda *_: True, application_id=wired.application_id
        ),
        "add_device": lambda: network.add_device(made, UNKNOWN_DEVICE),
        "ensure_group": lambda: network.ensure_group(group),
        "delete_group": lambda: network.delete_group(group),
    }
    made = await wired.make()
    with pytest.raises(TokenRefused) as caught:
        await calls[call]()
    assert caught.value.own is (known or wired.generation == 4)
    wired.conditions.outage(timedelta(hours=1), "UNAUTHENTICATED")
    with pytest.raises(TokenRefused) as caught:
        await calls[call]()
    assert not caught.value.own


async def test_a_network_server_that_is_away_is_an_outage_though_it_is_called_internal() -> None:
    clock = SystemClock()
    world, conditions = World(fleet(1), clock=clock), ApiConditions(clock=clock)
    async with application_server_v3(world, conditions) as network:
        for said, kind in (
            ("enqueue downlink payload error: rpc error: code = Unavailable desc = …", Unreachable),
            ("enqueue downlink payload error: rpc error: code = DeadlineExceeded desc = …", Unreachable),
            ("enqueue downlink payload error: object does not exist", Trouble),
        ):
            conditions.outages = [(clock.now(), clock.now() + timedelta(hours=1), "INTERNAL", said)]
            with pytest.raises(kind):
                await network.downlink(world.devices[0].dev_eui, 200, b"\x00", unless_pending=False)


@pytest.mark.parametrize("said", NOT_ACTIVATED)
async def test_the_same_words_about_a_group_do_not_say_that_a_device_has_to_join(said: str) -> None:
    clock = SystemClock()
    world, conditions = World(fleet(1), clock=clock), ApiConditions(clock=clock)
    device, text = world.devices[0].dev_eui, f"enqueue downlink payload error: {said}"
    async with application_server_v3(world, conditions) as network:
        group = KnownGroup(await network.ensure_group(GROUP), GROUP.name, GROUP.application_id)
        conditions.outages = [(clock.now(), clock.now() + timedelta(hours=1), "INTERNAL", text)]
        with pytest.raises(NotActivated, match="INTERNAL: enqueue"):
            await network.downlink(device, 200, b"\x00", unless_pending=False)
        with pytest.raises(Trouble):
            await network.multicast(group, 201, b"\x00")


async def test_what_chirpstack_4_quotes_of_its_database_is_understood_in_any_language() -> None:
    clock = SystemClock()
    world = World(fleet(1), clock=clock, application_id=UUIDS[0])
    conditions, device = ApiConditions(clock=clock), world.devices[0].dev_eui

    def says(text: str) -> None:
        conditions.outages = [(clock.now(), clock.now() + timedelta(hours=1), "INTERNAL", text)]

    async with chirpstack_v4(world, conditions) as network:
        group = KnownGroup("00000000-0000-4000-8000-000000000000", GROUP.name, UUIDS[0])
        for said in (
            "doppelter Schlüsselwert verletzt Unique-Constraint »multicast_group_device_pkey«",
            "UNIQUE constraint failed: multicast_group_device.dev_eui",
        ):
            says(said)
            await network.add_device(group, device)
        for said, kind in (
            ("… viola la contrainte de clé étrangère « device_queue_item_dev_eui_fkey »", NotFound),
            ("FOREIGN KEY constraint failed", NotFound),
            ("deadlock detected", Trouble),
        ):
            says(said)
            with pytest.raises(kind):
                await network.downlink(device, 200, b"\x00", unless_pending=False)


async def test_downlinks_wait_in_their_order(opened: Opened) -> None:
    for data in (b"\x01", b"\x02", b"\x03"):
        await opened.network.downlink(opened.device, 201, data, unless_pending=False)
    assert opened.waiting() == [(201, b"\x01"), (201, b"\x02"), (201, b"\x03")]


async def test_a_downlink_that_waits_already_is_not_put_in_again_if_so_asked(opened: Opened) -> None:
    for unless_pending in (False, True, True):
        await opened.network.downlink(opened.device, 200, b"\x01\x0f", unless_pending=unless_pending)
    await opened.network.downlink(opened.device, 201, b"\x01\x0f", unless_pending=True)
    assert opened.waiting() == [(200, b"\x01\x0f"), (201, b"\x01\x0f")]
    await opened.network.downlink(opened.device, 200, b"\x01\x0f", unless_pending=False)
    assert len(opened.waiting()) == 3


@pytest.mark.parametrize("unless_pending", [False, True])
async def test_a_downlink_to_an_unknown_device_is_not_found(opened: Opened, unless_pending: bool) -> None:
    with pytest.raises(NotFound):
        await opened.network.downlink(UNKNOWN_DEVICE, 200, b"\x00", unless_pending=unless_pending)


async def test_multicast_downlinks_wait_in_their_order_and_twice_if_put_in_twice(opened: Opened) -> None:
    group = await opened.make()
    for data in (b"\x01", b"\x02", b"\x02"):
        await opened.network.multicast(group, 201, data)
    assert opened.waiting(group) == [(201, b"\x01"), (201, b"\x02"), (201, b"\x02")]


async def test_what_waits_for_a_group_is_counted_and_flushed(opened: Opened) -> None:
    group = await opened.make()
    assert await opened.network.waiting(group) == 0
    for data in (b"\x01", b"\x02", b"\x02"):
        await opened.network.multicast(group, 201, data)
    assert await opened.network.waiting(group) == 3
    for _ in range(2):
        await opened.network.flush(group)
        assert await opened.network.waiting(group) == 0
    assert opened.waiting(group) == []
    await opened.network.multicast(group, 201, b"\x03")
    assert opened.world.chirpstack.group(group.id).queue.items[0].f_cnt == 3, "the counter goes on"
    await opened.network.flush(opened.unknown_group)


async def test_what_makes_no_sense_is_refused(opened: Opened) -> None:
    with pytest.raises(Refused):
        await opened.network.downlink(opened.device, 0, b"\x00", unless_pending=False)


async def test_a_group_is_deleted_with_all_that_waits_for_it(opened: Opened) -> None:
    kept = await opened.network.ensure_group(attrs.evolve(opened.group, name="fuota-12"))
    await opened.network.multicast(await opened.make(), 201, b"\x00")
    for _ in range(2):
        await opened.network.delete_group(opened.group)
    assert opened.group_ids == [kept]


async def test_what_waits_for_a_group_is_taken_out_before_it_is_deleted(opened: Opened) -> None:
    """So that it is not left to ChirpStack what becomes of it."""
    made = await opened.make()
    group = opened.world.chirpstack.group(made.id)
    await opened.network.multicast(made, 201, b"\x00")
    await opened.network.delete_group(opened.group)
    assert not group.queue.items


async def test_what_waits_for_a_device_is_withdrawn_if_all_of_it_is_ours(opened: Opened) -> None:
    for f_port, data in ((200, b"\x01"), (201, b"\x02")):
        await opened.network.downlink(opened.device, f_port, data, unless_pending=False)
    others = opened.world.chirpstack.queue(opened.world.devices[1].dev_eui)
    others.push(200, b"\x01")
    seen: list[tuple[int, bytes]] = []

    def ours(f_port: int, data: bytes) -> bool:
        seen.append((f_port, data))
        return True

    for _ in range(2):
        assert await opened.network.withdraw(opened.device, ours, application_id=opened.application_id)
        assert opened.waiting() == []
    assert sorted(seen) == [(200, b"\x01"), (201, b"\x02")]
    assert len(others.items) == 1


async def test_nothing_is_withdrawn_where_something_else_waits(opened: Opened) -> None:
    await opened.network.downlink(opened.device, 200, b"\x01", unless_pending=False)
    opened.world.chirpstack.queue(opened.device).push(10, b"\x01")
    assert not await opened.network.withdraw(opened.device, lambda f_port, _: f_port == 200)
    assert opened.waiting() == [(200, b"\x01"), (10, b"\x01")]


async def test_nothing_is_withdrawn_from_an_unknown_device(opened: Opened) -> None:
    """The queue of a device that ChirpStack 4 does not know is empty."""
    if opened.generation == 4:
        assert await opened.network.withdraw(UNKNOWN_DEVICE, lambda *_: True)
    else:
        with pytest.raises(NotFound):
            await opened.network.withdraw(UNKNOWN_DEVICE, lambda *_: True)


async def test_deleting_a_group_that_was_never_made_is_no_error(opened: Opened) -> None:
    await opened.network.delete_group(opened.group)
    assert opened.group_ids == []


async def test_a_group_made_twice_by_a_lost_answer_is_deleted_twice(opened: Opened) -> None:
    group_id = await opened.network.ensure_group(opened.group)
    opened.world.chirpstack.create_group(opened.world.chirpstack.group(group_id).settings)
    await opened.network.delete_group(opened.group)
    assert opened.group_ids == []


Call = Callable[[Opened, KnownGroup], Awaitable[object]]
CALLS: dict[str, Call] = {
    "ensure_group": lambda opened, group: opened.network.ensure_group(opened.group),
    "has_group": lambda opened, group: opened.network.has_group(group),
    "add_device": lambda opened, group: opened.network.add_device(group, opened.device),
    "downlink": lambda opened, group: opened.network.downlink(
        opened.device, 200, b"\x00", unless_pending=True
    ),
    "withdraw": lambda opened, group: opened.network.withdraw(opened.device, lambda *_: True),
    "multicast": lambda opened, group: opened.network.multicast(group, 201, b"\x00"),
    "waiting": lambda opened, group: opened.network.waiting(group),
    "flush": lambda opened, group: opened.network.flush(group),
    "delete_group": lambda opened, group: opened.network.delete_group(opened.group),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_in_an_outage_the_network_is_unreachable_and_nothing_happens(
    opened: Opened, call: Call
) -> None:
    group = await opened.make()
    opened.conditions.outage(timedelta(hours=1))
    with pytest.raises(Unreachable) as caught:
        await call(opened, group)
    assert caught.value.status == "UNAVAILABLE"
    assert opened.group_ids == [group.id]
    assert not opened.world.chirpstack.group(group.id).members
    assert opened.waiting() == opened.waiting(group) == []

    opened.conditions.outages.clear()
    await call(opened, group)


async def test_calls_for_one_device_do_not_wait_for_each_other(opened: Opened) -> None:
    opened.conditions.latency = 3600
    with trio.fail_after(4):
        async with trio.open_nursery() as nursery:
            for number in range(20):
                data = bytes([number])
                nursery.start_soon(
                    partial(opened.network.downlink, opened.device, 200, data, unless_pending=False)
                )
            while opened.conditions.calls < 20:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert opened.waiting() == []
