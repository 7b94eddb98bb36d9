"""Uplinks that come while the actor of a deployment begins anew."""

from functools import partial

import trio
import trio.lowlevel
from trio.testing import MockClock

from fuota.actor import ActorSnapshot
from fuota.device.states import Complete
from fuota.dispatcher import Outcome, Route
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import Transition
from fuota.lorawan import multicast
from fuota.lorawan.eui import EUI64
from fuota.uplink import Uplink
from tests.campaign import Server, order, server, simulated

STRANGER = EUI64(bytes(8))


class Buggy(MemoryJournal):
    """Crashes the actor that comes to write while it is to."""

    def __init__(self) -> None:
        super().__init__()
        self.bugs = 0

    async def commit(self, transition: Transition) -> None:
        if self.bugs and transition.actor.dev_eui is None:
            self.bugs -= 1
            raise RuntimeError("a bug")
        await super().commit(transition)


async def outcome(running: Server, dev_eui: EUI64) -> Outcome:
    """What becomes of an uplink of the device."""
    uplink = Uplink(
        dev_eui=dev_eui,
        f_port=multicast.package.port,
        f_cnt=1000,
        data=multicast.package.write(multicast.McGroupSetupAns(mc_group_id=0), version=1),
        received_at=running.clock.now(),
    )
    dispatcher = running.tree.find("/dispatcher")
    assert dispatcher is not None
    return await dispatcher.ask(partial(Route, uplink), within=8)


async def test_they_are_refused_and_those_of_others_are_not(autojump_clock: MockClock) -> None:
    devices, journal = simulated(4), Buggy()
    first, second = devices[:2], devices[2:]
    async with server(devices, journal=journal) as running:
        ids = [await running.orders.take(order(each)) for each in (first, second)]
        await trio.sleep(1)
        journal.bugs = 1
        while journal.bugs:  # noqa: ASYNC110
            await trio.sleep(0.01)
        crashed = [each.path for each in below(running) if each.status == "backing-off"]
        assert len(crashed) == 1
        broken, whole = (first, second) if crashed[0].endswith(str(ids[0])) else (second, first)
        for device in broken:
            assert await outcome(running, device.dev_eui) is Outcome.BUSY
        for dev_eui in (*(device.dev_eui for device in whole), STRANGER):
            assert await outcome(running, dev_eui) is Outcome.TAKEN
        assert [each.path for each in below(running) if each.status == "backing-off"] == crashed, "still"
        await trio.sleep(1)
        for device in devices:
            assert await outcome(running, device.dev_eui) is Outcome.TAKEN
        for each in ids:
            assert (await running.end_of(each)).states() == {Complete}
        for device in devices:
            assert await outcome(running, device.dev_eui) is Outcome.TAKEN, "of no concern any more"


async def test_those_of_a_deployment_that_was_deleted_are_of_no_concern(autojump_clock: MockClock) -> None:
    """Nor do they stand in the way of another deployment to its devices."""
    devices, journal = simulated(3), MemoryJournal()
    async with server(devices, journal=journal) as running:
        deleted = await running.orders.take(order(devices))
        await trio.sleep(1)
        journal.delete(deleted)
        await trio.sleep(3600)
        for device in devices:
            assert await outcome(running, device.dev_eui) is Outcome.TAKEN
        other = order(devices[:2], multicast_group_id=1, fragmentation_session_index=1)
        again = await running.orders.take(other)
        await trio.sleep(1)
        for device in devices:
            assert await outcome(running, device.dev_eui) is Outcome.TAKEN
        assert (await running.end_of(again)).states() == {Complete}


def below(running: Server) -> tuple[ActorSnapshot, ...]:
    deployments = running.tree.snapshot("/deployments")
    assert deployments is not None
    return tuple(deployments.children)
