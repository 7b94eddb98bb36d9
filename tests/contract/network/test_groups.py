"""Multicast groups in every implementation of the network port: made, joined and deleted."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import attrs
import pytest
import trio

from fuota.deployment.plan import ClassCScheduling, MulticastClass
from fuota.lorawan.region import Region
from fuota.network import gate
from fuota.network.gate import AILING, PLACES, Lane
from fuota.network.port import (
    About,
    Group,
    GroupGone,
    KnownGroup,
    NotFound,
    Refused,
    Unreachable,
)
from tests.contract.network.opened import UNKNOWN_DEVICE, Opened, chirpstack_v4, open_one

Call = Callable[[], Awaitable[object]]


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


async def test_deleting_a_group_that_was_never_made_is_no_error(opened: Opened) -> None:
    await opened.network.delete_group(opened.group)
    assert opened.group_ids == []


async def test_a_group_made_twice_by_a_lost_answer_is_deleted_twice(opened: Opened) -> None:
    group_id = await opened.network.ensure_group(opened.group)
    opened.world.chirpstack.create_group(opened.world.chirpstack.group(group_id).settings)
    await opened.network.delete_group(opened.group)
    assert opened.group_ids == []


async def under_way(opened: Opened, calls: int) -> None:
    """Return when so many calls have been made, and no more."""
    while opened.conditions.calls < calls:
        await trio.lowlevel.checkpoint()
    assert opened.conditions.calls == calls


async def test_what_is_about_groups_or_urgent_goes_past_what_is_about_devices(opened: Opened) -> None:
    group = await opened.make()
    opened.conditions.latency = 3600
    before = opened.conditions.calls

    about_devices: list[Call] = [
        partial(opened.network.downlink, opened.device, 200, b"\x01", unless_pending=False),
        partial(opened.network.add_device, group, opened.device),
    ]
    past_them: list[Call] = [
        partial(opened.network.downlink, opened.device, 202, b"\x03", unless_pending=True, urgent=True),
        partial(opened.network.downlink, opened.device, 202, b"\x04", unless_pending=False, urgent=True),
        partial(opened.network.ensure_group, opened.group),
        partial(opened.network.multicast, group, 201, b"\x02"),
        partial(opened.network.waiting, group),
        partial(opened.network.flush, group),
        partial(opened.network.delete_group, opened.group),
    ]
    with trio.fail_after(4):
        async with trio.open_nursery() as nursery:
            for call in about_devices * PLACES[Lane.DEVICES]:
                nursery.start_soon(call)
            await under_way(opened, before + PLACES[Lane.DEVICES])
            for number, each in enumerate(past_them, start=1):
                nursery.start_soon(each)
                await under_way(opened, before + PLACES[Lane.DEVICES] + number)
            nursery.cancel_scope.cancel()


async def test_a_few_devices_do_not_wait_behind_the_crowd_of_another_deployment(opened: Opened) -> None:
    group = await opened.make()
    opened.conditions.latency = 0.01
    before, answered = opened.conditions.calls, list[str]()

    async def noted(whose: str, call: Call) -> None:
        await call()
        answered.append(whose)

    downlink = partial(opened.network.downlink, opened.device, 200, b"\x01", unless_pending=False)
    crowd = partial(downlink, about=About(opened.application_id, "fuota-crowd"))
    alone: list[Call] = [
        partial(downlink, about=group.about),
        partial(opened.network.add_device, group, opened.device),
        partial(opened.network.withdraw, opened.device, lambda *_: False, about=group.about),
    ]
    async with trio.open_nursery() as nursery:
        for _ in range(20 * PLACES[Lane.DEVICES]):
            nursery.start_soon(noted, "crowd", crowd)
        while opened.conditions.calls < before + PLACES[Lane.DEVICES]:
            await trio.lowlevel.checkpoint()
        for each in alone:
            nursery.start_soon(noted, "alone", each)
    assert answered.count("alone") == len(alone)
    assert "alone" not in answered[5 * PLACES[Lane.DEVICES] :]


async def test_what_is_about_an_application_goes_past_what_is_about_another_that_ails(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ChirpStack 3 has several Network Servers. Of the other application one call of each kind is made."""
    monkeypatch.setattr(gate, "PROBE", 0)
    ailing = attrs.evolve(opened.group, application_id=opened.other)
    opened.conditions.outage(timedelta(hours=1))
    for _ in range(AILING):
        with pytest.raises(Unreachable):
            await opened.network.ensure_group(ailing)
    opened.conditions.outages.clear()
    group = await opened.make()
    opened.conditions.latency = 3600
    before = opened.conditions.calls

    def calls(to: Group, known: KnownGroup) -> list[Call]:
        network, device, application_id = opened.network, opened.device, to.application_id
        downlink = partial(network.downlink, device, 200, b"\x01", about=About(application_id))
        return [
            partial(downlink, unless_pending=False),
            partial(downlink, unless_pending=True),
            partial(downlink, unless_pending=False, urgent=True),
            partial(network.withdraw, device, lambda f_port, data: True, about=About(application_id)),
            partial(network.add_device, known, device),
            partial(network.ensure_group, to),
            partial(network.has_group, known),
            partial(network.multicast, known, 201, b"\x02"),
            partial(network.waiting, known),
            partial(network.flush, known),
            partial(network.delete_group, to),
        ]

    with trio.fail_after(4):
        async with trio.open_nursery() as nursery:
            for each in calls(ailing, attrs.evolve(group, application_id=opened.other)):
                nursery.start_soon(each)
            await under_way(opened, before + len(Lane))
            for number, each in enumerate(calls(opened.group, group), start=1):
                nursery.start_soon(each)
                await under_way(opened, before + len(Lane) + number)
            nursery.cancel_scope.cancel()
