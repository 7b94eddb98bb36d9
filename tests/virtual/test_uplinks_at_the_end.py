"""Uplinks that wait for a device's actor when that ends: with its deployment, or otherwise."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from fuota.actor import TooLate
from fuota.deployment.states import DeletingGroup, Ended
from fuota.dispatcher import Outcome, Route
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import LogRow, Transition
from fuota.lorawan import multicast
from fuota.simulation.behaviour import Behaviour
from fuota.uplink import Uplink
from tests.campaign import Server, order, server, simulated
from tests.virtual.test_withdrawing import cancel

IN_HAND, BEHIND = 1000, 1001


class Slow(MemoryJournal):
    """Takes its time for uplinks, and perhaps something else comes before a deployment can end."""

    def __init__(self, seconds: float, what_comes: str = "") -> None:
        super().__init__()
        self.seconds = seconds
        self.what_comes = what_comes
        self.uplinks = 0
        """That are written."""

    async def record(self, rows: Sequence[LogRow]) -> None:
        if rows[-1].command != "McGroupSetupAns":
            return
        await trio.sleep(self.seconds)
        if self.what_comes == "a crash of the device's actor":
            raise RuntimeError("a bug")
        await super().record(rows)
        self.uplinks += 1

    async def commit(self, transition: Transition) -> None:
        if isinstance(transition.state, Ended):
            what_comes, self.what_comes = self.what_comes, ""
            if what_comes == "a crash of the deployment's actor":
                raise RuntimeError("a bug")
            if what_comes == "another server":
                self.ownership.lose(what_comes)
        await super().commit(transition)


async def outcomes(journal: Slow) -> dict[int, object]:
    """What becomes of two uplinks of a device that come shortly before the end of its deployment."""
    became: dict[int, object] = {}

    async def post(running: Server, f_cnt: int) -> None:
        uplink = Uplink(
            dev_eui=running.world.devices[0].dev_eui,
            f_port=multicast.package.port,
            f_cnt=f_cnt,
            data=multicast.package.write(multicast.McGroupSetupAns(mc_group_id=0), version=1),
            received_at=running.clock.now(),
        )
        dispatcher = running.tree.find("/dispatcher")
        assert dispatcher is not None
        try:
            became[f_cnt] = await dispatcher.ask(partial(Route, uplink), within=8)
        except TooLate:
            became[f_cnt] = TooLate

    devices = simulated(1, lambda _: Behaviour(silent=True))
    async with server(devices, journal=journal) as running, trio.open_nursery() as nursery:
        deployment_id = await running.orders.take(order(devices, unicast_timeout=timedelta(hours=1)))
        await trio.sleep(1)
        running.network.conditions.latency = 1
        await cancel(running, deployment_id)
        while True:
            status = await journal.status(deployment_id)
            assert status is not None
            if isinstance(status.state, DeletingGroup):
                break
            await trio.sleep(0.1)
        for f_cnt in (IN_HAND, BEHIND):
            nursery.start_soon(post, running, f_cnt)
            await trio.sleep(0.1)
        assert not became
    return became


async def test_what_waits_when_its_deployment_ends_is_taken(autojump_clock: MockClock) -> None:
    journal = Slow(4)
    assert await outcomes(journal) == {IN_HAND: Outcome.TAKEN, BEHIND: Outcome.TAKEN}
    assert journal.uplinks == 1


async def test_what_is_being_written_then_is_not_taken_before_it_is(autojump_clock: MockClock) -> None:
    journal = Slow(60)
    assert await outcomes(journal) == {IN_HAND: TooLate, BEHIND: Outcome.TAKEN}
    assert journal.uplinks == 0


@pytest.mark.parametrize(
    ("what_comes", "after"),
    [("another server", 4), ("a crash of the device's actor", 0.2), ("a crash of the deployment's actor", 4)],
)
async def test_what_waits_for_an_actor_that_ends_otherwise_is_not_taken(
    what_comes: str, after: float, autojump_clock: MockClock
) -> None:
    journal = Slow(after, what_comes)
    assert await outcomes(journal) == {IN_HAND: TooLate, BEHIND: TooLate}
    assert journal.uplinks == 0
