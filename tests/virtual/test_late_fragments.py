"""An outage that ends while the devices still listen, but not for long enough to hear all that is left."""

from datetime import timedelta

import pytest
from trio.testing import MockClock

from fuota.deployment.plan import MulticastClass, StatusRequest
from fuota.device.states import Complete
from fuota.network.port import KnownGroup
from tests.campaign import IMAGE, order, server, simulated

REQUESTS = [StatusRequest.AFTER_FRAGMENT_ENQUEUE, StatusRequest.AFTER_SESSION_TIMEOUT]


@pytest.mark.parametrize("asked", REQUESTS)
@pytest.mark.parametrize("sent", [0, 10, 20], ids="after {} fragments".format)
@pytest.mark.parametrize(
    ("mc_class", "time_out", "left"),
    [(MulticastClass.C, 6, 1), (MulticastClass.C, 6, 3), (MulticastClass.B, 1, 30), (MulticastClass.B, 1, 5)],
    ids=lambda value: str(getattr(value, "value", value)),
)
async def test_nobody_misses_what_came_too_late(
    mc_class: MulticastClass,
    time_out: int,
    left: float,
    sent: int,
    asked: StatusRequest,
    autojump_clock: MockClock,
) -> None:
    """`left` seconds before the end ChirpStack is back; no coded fragment could repair anything."""
    devices = simulated(4)
    in_b = mc_class is MulticastClass.B
    asked_for = order(
        devices,
        multicast_group_type=mc_class,
        multicast_timeout=time_out,
        multicast_periodicity=1 if in_b else 0,
        fragmentation_redundancy=0,
        request_fragmentation_session_status=asked,
    )
    window = timedelta(seconds=256 if in_b else 64)
    async with server(devices) as running:
        multicast, count = running.network.multicast, 0

        async def interrupted(group: KnownGroup, f_port: int, data: bytes) -> None:
            nonlocal count
            if count == sent:
                running.network.conditions.outage(window - timedelta(seconds=left + (0 if in_b else 2)))
            count += 1
            await multicast(group, f_port, data)

        running.network.multicast = interrupted  # type: ignore[method-assign]
        result = await running.carry_out(asked_for)
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}
