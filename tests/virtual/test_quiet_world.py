"""Devices that send only for a reason: as good as others to whoever speaks to them, and idle otherwise."""

from datetime import UTC, datetime, timedelta

import trio
from trio.testing import MockClock

from fuota.clock import TrioClock
from fuota.lorawan import clocksync, fragmentation, multicast
from fuota.lorawan.clocksync import ForceDeviceResyncReq
from fuota.lorawan.fragmentation import FragSessionDeleteReq
from fuota.lorawan.multicast import McGroupStatusReq
from fuota.simulation.fleet import fleet
from fuota.simulation.radio import Radio
from fuota.simulation.world import World
from fuota.uplink import Uplink

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
INTERVAL = timedelta(seconds=60)
MC_GROUP_STATUS = multicast.package.write(McGroupStatusReq(req_group_mask=1), version=1)
FRAG_SESSION_DELETE = fragmentation.package.write(FragSessionDeleteReq(frag_index=0), version=1)


async def heard(loss: float = 0.0) -> tuple[datetime, list[Uplink]]:
    """All that ten devices send, one of which is told something after an hour; and when that is."""
    uplinks: list[Uplink] = []

    async def deliver(uplink: Uplink) -> None:
        uplinks.append(uplink)

    radio = Radio(uplink_interval=INTERVAL, loss=loss)
    world = World(fleet(10), clock=TrioClock(NOON), radio=radio, chatty=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.run, deliver)
        await trio.sleep(3600)
        assert not uplinks
        asked = world.clock.now()
        queue = world.chirpstack.queue(world.devices[3].dev_eui)
        queue.push(multicast.package.port, MC_GROUP_STATUS)
        queue.push(fragmentation.package.port, FRAG_SESSION_DELETE)
        await trio.sleep(36_000)
        assert not queue.items
        nursery.cancel_scope.cancel()
    assert {uplink.dev_eui for uplink in uplinks} <= {world.devices[3].dev_eui}
    return asked, uplinks


async def test_a_device_fetches_what_waits_for_it_and_answers(autojump_clock: MockClock) -> None:
    asked, uplinks = await heard()
    assert [uplink.f_port for uplink in uplinks] == [2, multicast.package.port, fragmentation.package.port]
    assert asked < uplinks[0].received_at < asked + INTERVAL
    assert uplinks[-1].received_at < asked + INTERVAL + timedelta(seconds=10)


async def test_it_does_not_wait_for_what_it_has_to_say_later(autojump_clock: MockClock) -> None:
    """A device that is to ask for the time twice more, 10 s apart, has readings meanwhile."""
    radio = Radio(uplink_interval=timedelta(seconds=1), rx_delay=timedelta(seconds=0.1))
    world = World(fleet(1), clock=TrioClock(NOON), radio=radio, chatty=False)
    queue = world.chirpstack.queue(world.devices[0].dev_eui)
    uplinks: list[Uplink] = []

    async def deliver(uplink: Uplink) -> None:
        uplinks.append(uplink)
        if len(uplinks) == 2:
            queue.push(multicast.package.port, MC_GROUP_STATUS)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.run, deliver)
        resync = ForceDeviceResyncReq(nb_transmissions=3)
        queue.push(clocksync.package.port, clocksync.package.write(resync, version=1))
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    ports = [uplink.f_port for uplink in uplinks]
    assert ports == [2, 202, 2, 200, 202, 202]
    assert uplinks[3].received_at - uplinks[1].received_at < timedelta(seconds=4)


async def test_it_goes_on_until_its_queue_is_empty_whatever_is_lost(autojump_clock: MockClock) -> None:
    _, uplinks = await heard(loss=0.9)
    assert len(uplinks) < 10
