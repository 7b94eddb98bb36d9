"""Gateways whose clocks are off bring the uplinks of healthy devices."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
import trio
from trio.testing import MockClock

from fuota.device.states import Complete
from fuota.integration import chirpstack3, chirpstack4
from fuota.integration.gateway_clocks import GatewayClocks
from fuota.lorawan.clocksync import ForceDeviceResyncReq
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.webhook import event, event4
from fuota.uplink import Uplink
from tests.campaign import IMAGE, order, serving, simulated, surroundings

Posted = Callable[[Uplink, timedelta, datetime, GatewayClocks], Uplink]
HOUR = timedelta(hours=1)
WITHOUT_TS003 = Behaviour(ignores=frozenset({ForceDeviceResyncReq}))


def posted3(uplink: Uplink, off: timedelta, now: datetime, clocks: GatewayClocks) -> Uplink:
    """As it is read that a gateway has brought by whose clock it is dated."""
    made = event(uplink, "1")
    reception = made.rx_info[0]
    reception.ClearField("time_since_gps_epoch")
    reception.time.FromDatetime(uplink.received_at + off)
    reception.gateway_id = bytes(7) + bytes([off != timedelta(0)])
    return chirpstack3.from_protobuf(made.SerializeToString(), now, clocks)


def posted4(uplink: Uplink, off: timedelta, now: datetime, clocks: GatewayClocks) -> Uplink:
    """The same by ChirpStack 4: its own time is there, and by which gateway it was does not matter."""
    made = event4(uplink, "5f0c2b1e-0000-4000-8000-000000000001")
    reception = made.rx_info[0]
    reception.ClearField("time_since_gps_epoch")
    reception.gw_time.FromDatetime(uplink.received_at + off)
    reception.ns_time.FromDatetime(uplink.received_at + timedelta(milliseconds=50))
    return chirpstack4.from_protobuf(made.SerializeToString(), now, clocks)


def posted4_of_old(uplink: Uplink, off: timedelta, now: datetime, clocks: GatewayClocks) -> Uplink:
    made = event4(uplink, "5f0c2b1e-0000-4000-8000-000000000001")
    reception = made.rx_info[0]
    reception.ClearField("time_since_gps_epoch")
    reception.gw_time.FromDatetime(uplink.received_at + off)
    reception.gateway_id = f"{off != timedelta(0):016x}"
    made.time.CopyFrom(reception.gw_time)
    return chirpstack4.from_protobuf(made.SerializeToString(), now, clocks)


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("posted", [posted3, posted4, posted4_of_old])
@pytest.mark.parametrize(
    "off", [-HOUR, timedelta(seconds=-60), timedelta(seconds=-30), timedelta(seconds=30), HOUR]
)
async def test_a_gateway_whose_clock_is_off_costs_no_device(
    off: timedelta, posted: Posted, attempts: int, autojump_clock: MockClock
) -> None:
    """Half of the devices are heard by it, and it was heard before the deployment was ordered."""
    devices = simulated(4, lambda _: WITHOUT_TS003)
    there = {device.dev_eui for device in devices[:2]}
    around, clocks = surroundings(devices), GatewayClocks()

    def as_read(uplink: Uplink) -> list[Uplink]:
        wrong = off if uplink.dev_eui in there else timedelta(0)
        return [posted(uplink, wrong, around.clock.now(), clocks)]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around, as_read) as running:
            for _ in range(3):
                at = around.clock.now()
                for device in devices:
                    as_read(Uplink(dev_eui=device.dev_eui, f_port=2, f_cnt=0, data=b"", received_at=at))
                await trio.sleep(5)
            result = await running.carry_out(order(devices, unicast_attempt_count=attempts))
        nursery.cancel_scope.cancel()
    assert result.states() == {Complete}, result.status.devices
    assert {device.image for device in devices} == {IMAGE}


@pytest.mark.parametrize("posted", [posted3, posted4_of_old])
async def test_one_that_was_not_heard_before_costs_an_attempt_at_most(
    posted: Posted, autojump_clock: MockClock
) -> None:
    """Nobody knows then whether it is the clock that is late or the uplink."""
    devices = simulated(4, lambda _: WITHOUT_TS003)
    there = {device.dev_eui for device in devices[:2]}
    around, clocks = surroundings(devices), GatewayClocks()

    def as_read(uplink: Uplink) -> list[Uplink]:
        return [posted(uplink, -HOUR * (uplink.dev_eui in there), around.clock.now(), clocks)]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around, as_read) as running:
            result = await running.carry_out(order(devices, unicast_attempt_count=2))
        nursery.cancel_scope.cancel()
    assert result.states() == {Complete}, result.status.devices
