"""Uplinks that are not as they should be, over whole deployments."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from fuota.actor import Tree
from fuota.deployment.states import Why
from fuota.device.states import Complete, Failed, Reason
from fuota.lorawan import clocksync, fragmentation, multicast
from fuota.lorawan.eui import EUI64
from fuota.lorawan.fragmentation import FragSessionSetupAns, FragSessionStatusAns, FragSessionStatusReq
from fuota.lorawan.multicast import McClassBSessionAns, McClassCSessionAns, McGroupSetupAns
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.device import Device
from fuota.simulation.radio import Radio
from fuota.uplink import Uplink
from tests.campaign import IMAGE, Uplinks, order, server, serving, simulated, surroundings

PORTS = (multicast.package.port, fragmentation.package.port)


async def log_of(
    devices: Sequence[Device], uplinks: Uplinks, *, radio: Radio | None = None, **changes: object
) -> list[str]:
    """What was sent to the first device and received of it, in a deployment that completes."""
    async with server(devices, radio=radio, uplinks=uplinks) as running:
        result = await running.carry_out(order(devices, **changes), within=timedelta(days=4))
        rows = await running.journal.logs(result.status.id, devices[0].dev_eui)
        assert crashed(running.tree) == []
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}
    assert rows is not None
    return [row.command for row in rows]


def crashed(tree: Tree) -> list[str]:
    """Paths of the actors that have crashed."""
    root = tree.snapshot()
    assert root is not None
    found, left = [], [root]
    while left:
        actor = left.pop()
        left += actor.children
        if actor.crashes:
            found.append(actor.path)
    return found


async def test_they_come_in_another_order(autojump_clock: MockClock) -> None:
    """Each is overtaken by the next one of its device."""
    waiting: dict[EUI64, Uplink] = {}

    def overtaken(uplink: Uplink) -> list[Uplink]:
        before = waiting.pop(uplink.dev_eui, None)
        if before is not None:
            return [uplink, before]
        waiting[uplink.dev_eui] = uplink
        return []

    log = await log_of(simulated(4), overtaken, unicast_timeout=timedelta(seconds=60))
    assert log.count("McGroupSetupAns") == 1


async def test_all_that_ever_came_comes_again(autojump_clock: MockClock) -> None:
    """With each uplink, in any order: old answers change nothing."""
    random, seen = Random(3), defaultdict[EUI64, list[Uplink]](list)

    def again(uplink: Uplink) -> list[Uplink]:
        known = seen[uplink.dev_eui]
        known.append(uplink)
        return [*random.sample(known, min(len(known), 12)), uplink]

    await log_of(simulated(4), again)


async def test_they_are_hours_late(autojump_clock: MockClock) -> None:
    """As those of a gateway that has kept them; each says when it was received."""
    late, patient = (
        Radio(latency=timedelta(hours=3), uplink_interval=timedelta(minutes=1)),
        timedelta(hours=4),
    )
    log = await log_of(simulated(3), lambda uplink: (uplink,), radio=late, unicast_timeout=patient)
    assert log.count("McClassCSessionReq") == log.count("McClassCSessionAns") == 1


def early(uplink: Uplink) -> list[Uplink]:
    """Answers to all that was not asked, or not of this deployment, and the uplink itself."""
    others = (
        McGroupSetupAns(mc_group_id=2, id_error=True),
        McClassCSessionAns(mc_group_id=2, dr_error=True),
        McClassBSessionAns(mc_group_id=1, time_to_start=17),
        multicast.McGroupStatusAns(ans_group_mask=0, nb_total_groups=0, items=()),
    )
    of_fragments = (
        FragSessionSetupAns(frag_index=3, not_enough_memory=True),
        FragSessionStatusAns(frag_index=3, nb_frag_received=0, missing_frag=9, not_enough_matrix_memory=True),
    )
    made = (
        multicast.package.write(*others, version=1),
        fragmentation.package.write(*of_fragments, version=1),
    )
    return [
        *(attrs.evolve(uplink, f_port=port, data=data) for port, data in zip(PORTS, made, strict=True)),
        uplink,
    ]


async def test_they_answer_what_nobody_has_asked(autojump_clock: MockClock) -> None:
    log = await log_of(simulated(3), early)
    assert len([command for command in log if command != "McGroupStatusAns"]) == 8


async def test_they_say_complete_before_anything_was_sent(autojump_clock: MockClock) -> None:
    """Of the right session, all the time: who has nothing is not believed to have it all."""
    complete = FragSessionStatusAns(frag_index=0, nb_frag_received=41, missing_frag=0)
    data = fragmentation.package.write(complete, version=1)
    devices = simulated(2, lambda number: Behaviour(wrong_root_key=number == 1))
    around = surroundings(devices)

    def promising(uplink: Uplink) -> list[Uplink]:
        begun = any(group.queue.next_f_cnt for group in around.world.chirpstack.groups.values())
        return [uplink] if begun else [attrs.evolve(uplink, f_port=201, data=data), uplink]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around, promising) as running:
            result = await running.carry_out(order(devices))
        nursery.cancel_scope.cancel()
    assert [type(result.state(device.dev_eui)) for device in devices] == [Complete, Failed]


async def test_they_are_cut_off(autojump_clock: MockClock) -> None:
    """Every beginning of each comes before it."""

    def truncated(uplink: Uplink) -> list[Uplink]:
        if uplink.f_port not in PORTS:
            return [uplink]
        return [attrs.evolve(uplink, data=uplink.data[:end]) for end in range(len(uplink.data) + 1)]

    await log_of(simulated(3), truncated)


@pytest.mark.parametrize("seed", range(5))
async def test_they_are_noise(seed: int, autojump_clock: MockClock) -> None:
    """Noise may happen to be a refusal; it never is the crash of an actor, and never claims an image."""
    random, devices = Random(seed), simulated(4, lambda number: Behaviour(wrong_root_key=True))

    def noisy(uplink: Uplink) -> list[Uplink]:
        noise = [random.randbytes(random.randrange(60)) for _ in range(5)]
        ports = (*PORTS, clocksync.package.port)
        return [*(attrs.evolve(uplink, f_port=random.choice(ports), data=data) for data in noise), uplink]

    async with server(devices, uplinks=noisy) as running:
        result = await running.carry_out(order(devices))
        assert crashed(running.tree) == []
        assert not running.world.chirpstack.groups
    assert result.why in (Why.DONE, Why.NOBODY_LEFT)
    assert Complete not in result.states()


@pytest.mark.parametrize("behind", [0, 30], ids=["the clock", "a clock that is off"])
async def test_they_are_quicker_than_the_word_that_the_request_was_taken(
    behind: int, autojump_clock: MockClock
) -> None:
    """One of them, a status that was on its way for long, changes nothing; it has its row all the same."""
    devices = simulated(3, lambda _: Behaviour(clock_offset=timedelta(seconds=-behind)))
    late = fragmentation.package.write(
        FragSessionStatusAns(
            frag_index=0, nb_frag_received=1, missing_frag=40, not_enough_matrix_memory=False
        ),
        version=1,
    )
    told: set[EUI64] = set()

    def with_one_that_is_late(uplink: Uplink) -> list[Uplink]:
        if uplink.data[:1] != late[:1] or uplink.f_port != 201 or uplink.dev_eui in told:
            return [uplink]
        told.add(uplink.dev_eui)
        before = uplink.received_at - timedelta(seconds=20)
        return [attrs.evolve(uplink, data=late, received_at=before), uplink]

    async with server(devices, uplinks=with_one_that_is_late) as running:
        downlink = running.network.downlink

        async def slow(dev_eui: EUI64, f_port: int, data: bytes, **options: Any) -> str | None:
            item = await downlink(dev_eui, f_port, data, **options)
            if (f_port, data[:1]) != (202, b"\x01"):  # AppTimeAns is worth nothing after such a while
                await trio.sleep(40)
            return item

        running.network.downlink = slow  # type: ignore[method-assign]
        result = await running.carry_out(order(devices))
        logs = [await running.journal.logs(result.status.id, device.dev_eui) for device in devices]
    assert result.states() == {Complete}
    for rows in logs:
        assert rows is not None
        commands = [row.command for row in rows]
        assert commands.count("FragSessionStatusAns") == 2
        assert len(set(commands)) == 8 + bool(behind)
        assert [row.created_at for row in rows] == sorted(row.created_at for row in rows)
        for place, command in enumerate(commands):
            assert not command.endswith("Ans") or command[:-3] + "Req" in commands[:place], commands


async def test_they_are_of_no_deployment_or_of_one_that_is_over(autojump_clock: MockClock) -> None:
    devices = simulated(3)
    seen: list[Uplink] = []

    def remembered(uplink: Uplink) -> list[Uplink]:
        seen.append(uplink)
        stranger = attrs.evolve(uplink, dev_eui=EUI64(b"\xff" * 8))
        return [attrs.evolve(uplink, dev_eui=devices[2].dev_eui), stranger, uplink]

    around = surroundings(devices)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around, remembered) as running:
            result = await running.carry_out(order(devices[:2]))
            history = [*around.journal.history]
            rows = await running.journal.logs(result.status.id, devices[0].dev_eui)
            assert around.deliver is not None
            for uplink in [*seen]:
                await around.deliver(uplink)
            assert around.journal.history == history
            assert await running.journal.logs(result.status.id, devices[0].dev_eui) == rows
            assert crashed(running.tree) == []
        nursery.cancel_scope.cancel()
    assert result.states() == {Complete}


Stale = Callable[[Uplink, datetime], Uplink]


async def second_of_two(behaviour: Behaviour, stale: Stale) -> object:
    """How the one device of two deployments with the same ids ends the second, in which it behaves so.

    What it said on port 200 and 201 in the first comes again in the second, as `stale` has it: of the
    uplink, and when the second was ordered.
    """
    devices, first = simulated(1), True
    said: list[Uplink] = []
    around = surroundings(devices)

    def kept(uplink: Uplink) -> list[Uplink]:
        if first:
            said.extend([uplink] if uplink.f_port in PORTS else [])
            return [uplink]
        return [*(stale(each, ordered) for each in said), uplink]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around, kept) as running:
            assert (await running.carry_out(order(devices))).states() == {Complete}
            await trio.sleep(3600)
            first, devices[0].behaviour, ordered = False, behaviour, around.clock.now()
            result = await running.carry_out(order(devices))
        nursery.cancel_scope.cancel()
    return result.state(devices[0].dev_eui)


async def test_they_are_late_and_of_an_earlier_deployment(autojump_clock: MockClock) -> None:
    """With the same McGroupID and FragIndex: a silent device does not get on by what it said an hour ago."""
    silent = Behaviour(silent=True)
    assert await second_of_two(silent, lambda uplink, ordered: uplink) == Failed(
        Reason.NO_ANSWER, "to McGroupSetupReq"
    )


async def test_they_answer_late_what_an_earlier_deployment_asked(autojump_clock: MockClock) -> None:
    """Sent after the second was ordered: what was received then is no answer to what came on air later."""
    mute = Behaviour(ignores=frozenset({FragSessionStatusReq}))
    soon = timedelta(seconds=1)

    def status_only(uplink: Uplink, ordered: datetime) -> Uplink:
        is_status = uplink.f_port == 201 and uplink.data[0] == 0x01
        return attrs.evolve(uplink, received_at=ordered + soon, f_port=201 if is_status else 1)

    assert await second_of_two(mute, status_only) == Failed(Reason.NO_ANSWER, "to FragSessionStatusReq")
