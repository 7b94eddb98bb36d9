"""What waits in the queues of devices and groups, in every implementation of the network port."""

from functools import partial

import pytest
import trio

from fuota.network.port import (
    About,
    NotFound,
    Queued,
    Refused,
)
from tests.contract.network.opened import UNKNOWN_DEVICE, Opened


async def test_downlinks_wait_in_their_order(opened: Opened) -> None:
    for data in (b"\x01", b"\x02", b"\x03"):
        await opened.network.downlink(opened.device, 201, data, unless_pending=False)
    assert opened.waiting() == [(201, b"\x01"), (201, b"\x02"), (201, b"\x03")]


async def test_a_downlink_that_waits_already_is_not_put_in_again_if_so_asked(opened: Opened) -> None:
    downlink = partial(opened.network.downlink, opened.device)
    first = await downlink(200, b"\x01\x0f", unless_pending=False)
    assert not first.already
    for _ in range(2):
        assert await downlink(200, b"\x01\x0f", unless_pending=True) == Queued(first.item, already=True)
    other = await downlink(201, b"\x01\x0f", unless_pending=True)
    assert opened.waiting() == [(200, b"\x01\x0f"), (201, b"\x01\x0f")]
    again = await downlink(200, b"\x01\x0f", unless_pending=False)
    assert len(opened.waiting()) == 3
    assert len({each.item for each in (first, other, again)}) == 3
    assert {other.already, again.already} == {False}
    assert await downlink(200, b"\x01\x0f", unless_pending=True) == Queued(again.item, already=True)


@pytest.mark.parametrize("unless_pending", [False, True])
async def test_a_downlink_to_an_unknown_device_is_not_found(opened: Opened, unless_pending: bool) -> None:
    with pytest.raises(NotFound):
        await opened.network.downlink(UNKNOWN_DEVICE, 200, b"\x00", unless_pending=unless_pending)


async def test_multicast_downlinks_wait_in_their_order_and_twice_if_put_in_twice(opened: Opened) -> None:
    group = await opened.make()
    for data in (b"\x01", b"\x02", b"\x02"):
        await opened.network.multicast(group, 201, data)
    assert opened.waiting(group) == [(201, b"\x01"), (201, b"\x02"), (201, b"\x02")]


async def test_what_waits_for_a_group_is_told_and_flushed(opened: Opened) -> None:
    group = await opened.make()
    assert await opened.network.waiting(group) == frozenset()
    for data in (b"\x01", b"\x02", b"\x02"):
        await opened.network.multicast(group, 201, data)
    assert await opened.network.waiting(group) == {(0, b"\x01"), (1, b"\x02"), (2, b"\x02")}
    for _ in range(2):
        await opened.network.flush(group)
        assert await opened.network.waiting(group) == frozenset()
    assert opened.waiting(group) == []
    await opened.network.multicast(group, 201, b"\x03")
    assert opened.world.chirpstack.group(group.id).queue.items[0].f_cnt == 3, "the counter goes on"
    await opened.network.flush(opened.unknown_group)


async def test_what_makes_no_sense_is_refused(opened: Opened) -> None:
    with pytest.raises(Refused):
        await opened.network.downlink(opened.device, 0, b"\x00", unless_pending=False)


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
        assert await opened.network.withdraw(opened.device, ours, about=About(opened.application_id))
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
