"""Another server takes over the deployments, and gives them back: nothing crashes or is done meanwhile."""

import math
from datetime import timedelta

import pytest
import trio
from trio.testing import MockClock

from fuota.actor import ActorSnapshot
from fuota.deployment.states import Ended, Why
from fuota.deployments import Begin
from fuota.device.states import Complete
from fuota.journal.port import Fenced
from tests.campaign import IMAGE, Server, order, server, simulated

AWAY = timedelta(hours=1)


def everyone(server: Server) -> list[ActorSnapshot]:
    root = server.tree.snapshot()
    assert root is not None
    found = [root]
    for each in found:
        found += each.children
    return [each for each in found if each.status != "stopped"]


@pytest.mark.parametrize("after", [0.5, 5, 20, 70, 90, 120, 200], ids="{} s".format)
async def test_what_was_lost_is_gained_again(after: float, autojump_clock: MockClock) -> None:
    devices = simulated(3)
    async with server(devices) as running:
        ownership = running.journal.ownership
        deployment_id = await running.orders.take(order(devices))
        await trio.sleep(after)
        ownership.lose("another server")
        with trio.fail_after(10):
            await ownership.vacated()
        assert len(everyone(running)) == 3, "the root, the dispatcher and the one above all deployments"
        deployments = running.tree.find("/deployments")
        assert deployments is not None
        await deployments.tell(Begin(deployment_id))
        await trio.sleep(5)
        assert len(everyone(running)) == 3, "what was ordered just before is begun by the other server"
        groups = {id_: group.queue.next_f_cnt for id_, group in running.world.chirpstack.groups.items()}
        with pytest.raises(Fenced, match="run by another server"):
            await running.orders.take(order(simulated(1)))
        await trio.sleep(AWAY.total_seconds())
        assert groups == {
            id_: group.queue.next_f_cnt for id_, group in running.world.chirpstack.groups.items()
        }
        ownership.gain(2, math.inf)
        result = await running.end_of(deployment_id)
        assert result.status.state == Ended(Why.DONE, "")
        assert result.states() == {Complete}
        assert {device.image for device in devices} == {IMAGE}
        assert not running.world.chirpstack.groups
        assert all(each.crashes == 0 and each.last_error is None for each in everyone(running))


async def test_in_doubt_everything_waits_and_goes_on(autojump_clock: MockClock) -> None:
    devices = simulated(3)
    async with server(devices) as running:
        ownership = running.journal.ownership
        deployment_id = await running.orders.take(order(devices))
        await trio.sleep(8)
        ownership.doubt("the database is away")
        waiting = [len(running.world.chirpstack.queue(device.dev_eui).items) for device in devices]
        await trio.sleep(40)
        assert sum(waiting) >= sum(
            len(running.world.chirpstack.queue(device.dev_eui).items) for device in devices
        )
        assert running.world.chirpstack.groups
        ownership.gain(1, math.inf)
        assert (await running.end_of(deployment_id)).states() == {Complete}
        assert all(each.incarnations == 1 for each in everyone(running))
