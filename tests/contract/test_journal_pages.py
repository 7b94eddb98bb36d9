"""What every journal tells those who look at deployments, page by page."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from fuota.deployment import states as deployment
from fuota.device import states as device
from fuota.device.states import Reason
from fuota.journal.port import DeviceKind, Journal, Milestone, NewDeployment
from fuota.lorawan.eui import EUI64
from tests.contract.entries import DEVICES, PLAN, SESSION, T0, later, of_deployment, of_device, ordered, other

ENDED = deployment.Ended(deployment.Why.CANCELLED, "cancelled")
FIRST, SECOND, THIRD, LAST = sorted(DEVICES)


async def test_a_summary_is_the_deployment_without_its_devices(journal: Journal) -> None:
    new = ordered()
    await journal.create(new)
    await journal.commit(
        of_deployment(new.id, 2, deployment.SettingUpFragments("g"), Milestone.MC_GROUP_SETUP)
    )
    summary = await journal.summary(new.id)
    assert summary is not None
    assert (summary.id, summary.created_at, summary.updated_at) == (new.id, T0, later(2))
    assert (summary.plan, summary.state) == (PLAN, deployment.SettingUpFragments("g"))
    assert summary.milestones == {Milestone.MC_GROUP_SETUP: later(2)}
    assert await journal.summaries(most=1) == [summary]


async def test_nothing_is_told_of_what_was_never_ordered(journal: Journal) -> None:
    await journal.create(ordered())
    assert await journal.summary(uuid4()) is None
    assert await journal.overview(uuid4()) is None
    assert await journal.device_page(uuid4(), most=9) is None
    assert await journal.device_page(uuid4(), states=[device.Failed], most=9) is None


async def test_an_overview_says_since_when_a_deployment_is_in_its_state(journal: Journal) -> None:
    new = ordered()
    await journal.create(new)

    async def since(version: int, state: deployment.State) -> float:
        await journal.commit(of_deployment(new.id, version, state))
        overview = await journal.overview(new.id)
        assert overview is not None
        assert overview.summary == await journal.summary(new.id)
        return (overview.since - T0).total_seconds()

    overview = await journal.overview(new.id)
    assert overview is not None
    assert overview.since == T0
    assert await since(2, deployment.AwaitingStart("g", SESSION, 0)) == 2
    assert await since(3, deployment.Transmitting("g", SESSION, 0)) == 3
    assert await since(4, deployment.Transmitting("g", SESSION, 20)) == 3
    assert await since(5, deployment.ArrangingSession("g", SESSION, 20)) == 5
    assert await since(6, deployment.Transmitting("g", SESSION, 20)) == 6
    assert await since(7, deployment.Transmitting("g", SESSION, 40)) == 6


async def test_an_overview_counts_the_devices(journal: Journal) -> None:
    new, beside = ordered(), ordered(other(3, 3))
    await journal.create(new)
    await journal.create(beside)
    for dev_eui, state in {
        FIRST: device.Failed(Reason.NO_ANSWER, "to McGroupSetupReq"),
        SECOND: device.Failed(Reason.NO_ANSWER, "to FragSessionSetupReq"),
        THIRD: device.Failed(Reason.ABANDONED, ""),
    }.items():
        await journal.commit(of_device(new.id, 2, state, dev_eui=dev_eui, live=False))
    overview = await journal.overview(new.id)
    assert overview is not None
    counted: dict[DeviceKind, int] = {
        (device.Failed, Reason.NO_ANSWER): 2,
        (device.Failed, Reason.ABANDONED): 1,
        (device.Waiting, None): 1,
    }
    assert overview.devices == counted


async def several(journal: Journal) -> list[NewDeployment]:
    """Four, of which the first and the third have ended; the last two were ordered at the same instant."""
    orders = [
        ordered(other(number, number), created_at=later(min(number, 2)), devices=DEVICES[:1])
        for number in range(4)
    ]
    for new in orders:
        await journal.create(new)
    for new in orders[::2]:
        await journal.commit(of_deployment(new.id, 2, ENDED, live=False))
    return orders


async def ids(journal: Journal, *states: type[deployment.State] | None, most: int = 9) -> list[UUID]:
    """Of all deployments in these states, asked for page by page."""
    found: list[UUID] = []
    before = None
    while page := await journal.summaries(states=states, before=before, most=most):
        assert len(page) <= most
        found += [each.id for each in page]
        before = page[-1].created_at, page[-1].id
    return found


@pytest.mark.parametrize("most", [1, 2, 3, 9])
async def test_deployments_are_listed_from_the_latest_to_the_oldest(journal: Journal, most: int) -> None:
    first, second, third, last = await several(journal)
    latest = sorted([third.id, last.id], reverse=True)
    assert await ids(journal, most=most) == [*latest, second.id, first.id]


@pytest.mark.parametrize("most", [1, 9])
async def test_deployments_are_listed_by_their_states(journal: Journal, most: int) -> None:
    first, second, third, last = await several(journal)
    assert await ids(journal, deployment.Ended, most=most) == [third.id, first.id]
    assert await ids(journal, deployment.CreatingGroup, most=most) == [last.id, second.id]
    assert len(await ids(journal, deployment.CreatingGroup, deployment.Ended, None, most=most)) == 4
    assert await ids(journal, None, deployment.Settling, most=most) == []


async def devices(
    journal: Journal,
    deployment_id: UUID,
    states: Sequence[type[device.State] | None] = (),
    reasons: Sequence[Reason] = (),
    most: int = 9,
) -> list[EUI64]:
    """Devices of these kinds, asked for page by page."""
    found: list[EUI64] = []
    while page := await journal.device_page(
        deployment_id, states=states, reasons=reasons, after=found[-1] if found else None, most=most
    ):
        assert len(page) <= most
        found += [each.dev_eui for each in page]
    return found


async def fleet(journal: Journal) -> UUID:
    new = ordered()
    await journal.create(new)
    states: dict[EUI64, device.State] = {
        LAST: device.Failed(Reason.NO_ANSWER, "to McGroupSetupReq"),
        SECOND: device.Failed(Reason.ABANDONED, ""),
        FIRST: device.Complete(41),
    }
    for dev_eui, state in states.items():
        await journal.commit(of_device(new.id, 2, state, dev_eui=dev_eui, live=False))
    return new.id


@pytest.mark.parametrize("most", [1, 3, 9])
async def test_devices_are_listed_in_the_order_of_their_dev_eui(journal: Journal, most: int) -> None:
    deployment_id = await fleet(journal)
    assert await devices(journal, deployment_id, most=most) == sorted(DEVICES)
    status = await journal.status(deployment_id)
    assert status is not None
    assert await journal.device_page(deployment_id, most=9) == status.devices


@pytest.mark.parametrize("most", [1, 9])
async def test_devices_are_listed_by_state_and_reason(journal: Journal, most: int) -> None:
    deployment_id = await fleet(journal)

    async def listed(*states: type[device.State] | None, reasons: Sequence[Reason] = ()) -> list[EUI64]:
        return await devices(journal, deployment_id, states, reasons, most)

    assert await listed(device.Failed) == [SECOND, LAST]
    assert await listed(device.Complete, device.Failed) == [FIRST, SECOND, LAST]
    assert await listed(device.Waiting) == [THIRD]
    assert await listed(device.Waiting, device.Complete) == [FIRST, THIRD]
    assert await listed(reasons=[Reason.NO_ANSWER]) == [LAST]
    assert await listed(device.Failed, reasons=[Reason.ABANDONED, Reason.NO_ANSWER]) == [SECOND, LAST]
    assert await listed(device.Waiting, device.Complete, reasons=[Reason.NO_ANSWER]) == []
    assert await listed(None) == []
