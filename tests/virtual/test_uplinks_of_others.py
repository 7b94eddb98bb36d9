"""Uplinks that are of no deployment, or of one that is over."""

from collections.abc import Callable
from datetime import datetime, timedelta

import attrs
import trio
from trio.testing import MockClock

from fuota.device.states import Complete, Failed, Reason
from fuota.lorawan.eui import EUI64
from fuota.lorawan.fragmentation import FragSessionStatusReq
from fuota.simulation.behaviour import Behaviour
from fuota.uplink import Uplink
from tests.campaign import order, serving, simulated, surroundings
from tests.virtual.spoilt_uplinks import PORTS, crashed


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
