"""Whole deployments whose uplinks are not as they should be."""

from collections.abc import Sequence
from datetime import timedelta

from fuota.actor import Tree
from fuota.device.states import Complete
from fuota.lorawan import fragmentation, multicast
from fuota.simulation.device import Device
from fuota.simulation.radio import Radio
from tests.campaign import IMAGE, Uplinks, order, server

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
