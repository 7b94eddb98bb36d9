"""In every journal a device is in one live deployment for each McGroupID and FragIndex."""

import pytest
import trio

from fuota.deployment.plan import Plan
from fuota.device import states as device
from fuota.journal.port import Conflict, Journal, NewDeployment
from fuota.lorawan.eui import EUI64
from tests.contract.entries import DEVICES, PLAN, of_device, ordered, other


@pytest.mark.parametrize(
    ("plan", "field", "number"),
    [(other(1, 3), "McGroupID", 1), (other(0, 2), "FragIndex", 2), (PLAN, "McGroupID", 1)],
    ids=["McGroupID", "FragIndex", "both"],
)
async def test_a_device_is_in_one_live_deployment(
    journal: Journal, plan: Plan, field: str, number: int
) -> None:
    first = ordered()
    await journal.create(first)
    free = EUI64(bytes(8))
    second = ordered(plan, [DEVICES[3], DEVICES[2], free])
    with pytest.raises(Conflict) as caught:
        await journal.create(second)
    conflict = caught.value
    assert (conflict.dev_eui, conflict.field, conflict.number) == (DEVICES[3], field, number)
    assert conflict.deployment_id == first.id
    assert str(conflict) == (
        f"device {DEVICES[3]} is in the live deployment {first.id} with the same {field} {number}"
    )
    # Nothing of it is left behind.
    assert await journal.status(second.id) is None
    await journal.create(ordered(plan, [free]))


async def test_a_device_is_in_live_deployments_with_other_numbers(journal: Journal) -> None:
    for number in range(4):
        await journal.create(ordered(other(number, number)))
    assert len(await journal.unfinished()) == 4


async def test_a_device_that_has_ended_is_free(journal: Journal) -> None:
    first = ordered()
    await journal.create(first)
    failed = device.Failed(device.Reason.NO_ANSWER, "")
    await journal.commit(of_device(first.id, 2, failed, live=False))
    second = ordered(devices=[DEVICES[1]])
    await journal.create(second)
    with pytest.raises(Conflict):
        await journal.create(ordered(devices=[DEVICES[1], DEVICES[2]]))
    # Written again, the end of the first takes nothing from the second.
    await journal.commit(of_device(first.id, 2, failed, live=False))
    with pytest.raises(Conflict) as caught:
        await journal.create(ordered(devices=[DEVICES[1]]))
    assert caught.value.deployment_id == second.id


async def test_of_many_orders_at_once_one_gets_the_devices(journal: Journal) -> None:
    orders = [ordered(plan) for plan in (PLAN, other(1, 0), other(0, 2), PLAN)]
    refused: list[Conflict] = []

    async def order(new: NewDeployment) -> None:
        try:
            await journal.create(new)
        except Conflict as conflict:
            refused.append(conflict)

    async with trio.open_nursery() as nursery:
        for new in orders:
            nursery.start_soon(order, new)
    live = set(await journal.unfinished())
    # The second and the third have nothing in common.
    assert live in [
        {orders[0].id},
        {orders[3].id},
        {orders[1].id, orders[2].id},
        {orders[1].id},
        {orders[2].id},
    ]
    assert len(live) + len(refused) == len(orders)
    assert {conflict.deployment_id for conflict in refused} <= live
