"""Uplinks that come late, early, again or in another order, over whole deployments."""

from collections import defaultdict
from datetime import timedelta
from random import Random
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from fuota.device.states import Complete
from fuota.lorawan import fragmentation
from fuota.lorawan.eui import EUI64
from fuota.lorawan.fragmentation import FragSessionStatusAns
from fuota.network.port import Queued
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.radio import Radio
from fuota.uplink import Uplink
from tests.campaign import order, server, simulated
from tests.virtual.spoilt_uplinks import log_of


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

        async def slow(dev_eui: EUI64, f_port: int, data: bytes, **options: Any) -> Queued:
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
