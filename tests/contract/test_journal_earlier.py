"""What every journal knows of a device from its earlier deployments when it is ordered again."""

from uuid import UUID

import attrs
import pytest

from fuota.device import states as device
from fuota.journal.port import Journal, LogRow, Milestone
from fuota.lorawan.eui import EUI64
from tests.contract.conftest import Opened
from tests.contract.entries import DEVICES, SESSION, later, logged, of_device, ordered, other

ENDED = device.Failed(device.Reason.INCOMPLETE, "")


def status(deployment_id: UUID, nb_frag_received: int, dev_eui: EUI64 = DEVICES[1]) -> LogRow:
    told = {"nb_frag_received": str(nb_frag_received), "frag_index": "2", "missing_frag": "3"}
    row = logged(deployment_id, "FragSessionStatusAns", dev_eui, **told)
    return attrs.evolve(row, created_at=later(1))


async def before(journal: Journal, *devices: EUI64, number: int = 3) -> list[int | None]:
    """As a new deployment to these devices has it, in their order."""
    new = ordered(other(number, number), devices or DEVICES[1:2])
    await journal.create(new)
    return [one.nb_frag_before for one in await journal.devices(new.id)]


async def test_what_each_device_has_told_last_is_known_when_it_is_ordered_again(opened: Opened) -> None:
    first, second = ordered(), ordered(other(3, 3))
    async with opened() as journal:
        await journal.create(first)
        assert {one.nb_frag_before for one in await journal.devices(first.id)} == {None}
        late = attrs.evolve(status(first.id, 11), created_at=later(99))  # a clock may be set back
        rows = [late, status(first.id, 45 << 8), logged(first.id, "McGroupSetupAns")]
        await journal.record([*rows, status(first.id, 0, DEVICES[3])])
        await journal.create(second)
    async with opened() as journal:
        known = {one.dev_eui: one.nb_frag_before for one in await journal.devices(second.id)}
        assert {one.nb_frag_before for one in await journal.devices(first.id)} == {None}
    assert known == {DEVICES[0]: None, DEVICES[1]: 45 << 8, DEVICES[2]: None, DEVICES[3]: 0}


async def test_it_matters_until_the_device_has_told_another_number(opened: Opened) -> None:
    """In whichever session of the deployment, and whatever it does afterwards."""
    first, second = ordered(), ordered(other(2, 3), DEVICES[1:3])
    waiting = device.StillListening(SESSION, later(99))
    anew = attrs.evolve(waiting, counts_anew=True)
    async with opened() as journal:
        await journal.create(first)
        told = [status(first.id, 45), status(first.id, 30, DEVICES[2])]
        await journal.record(told)
        await journal.create(second)
        for dev_eui in DEVICES[1:3]:
            await journal.commit(of_device(second.id, 2, waiting, dev_eui=dev_eui))
        assert [one.nb_frag_before for one in await journal.devices(second.id)] == [45, 30]
        await journal.commit(of_device(second.id, 3, anew))
        await journal.commit(of_device(second.id, 4, device.JoiningGroup("g")))
    async with opened() as journal:
        assert [one.nb_frag_before for one in await journal.devices(second.id)] == [None, 30]


async def test_so_does_what_it_counted_in_a_round_without_having_all(opened: Opened) -> None:
    """It may go on to tell that when all is sent once more."""
    new = ordered(devices=DEVICES[:3])
    ends: list[device.State] = [
        device.Incomplete(device.Unconfirmed(44, 5)),
        device.Incomplete(device.Unconfirmed(45, 5), counts_anew=True),
        device.Incomplete(ENDED, counts_anew=True),
    ]

    async def known(journal: Journal) -> list[int | None]:
        found = {one.dev_eui: one.nb_frag_before for one in await journal.devices(new.id)}
        return [found[dev_eui] for dev_eui in DEVICES[:3]]

    async with opened() as journal:
        await journal.create(new)
        for dev_eui, state in zip(DEVICES, ends, strict=False):
            asked = device.AskingStatus(SESSION, 1, later(9), otherwise=device.Unconfirmed(40, 1))
            for version, each in enumerate((asked, state, device.JoiningGroup("g")), start=2):
                await journal.commit(of_device(new.id, version, each, dev_eui=dev_eui))
    async with opened() as journal:
        assert await known(journal) == [44, 45, None]
        anew = device.AskingStatus(SESSION, 1, later(9), counts_anew=True)
        await journal.commit(of_device(new.id, 5, anew, dev_eui=DEVICES[0]))
        assert await known(journal) == [None, 45, None]


async def test_a_deployment_in_which_a_device_has_told_nothing_is_looked_past(journal: Journal) -> None:
    first, second = ordered(), ordered(other(2, 3))
    await journal.create(first)
    await journal.commit(of_device(first.id, 2, ENDED, live=False, logs=[status(first.id, 45)]))
    await journal.create(second)
    await journal.commit(of_device(second.id, 2, ENDED, live=False))
    assert await before(journal, number=0) == [45]


async def test_a_device_that_was_complete_begins_anew(journal: Journal) -> None:
    first, second = ordered(), ordered()
    await journal.create(first)
    await journal.commit(of_device(first.id, 2, ENDED, live=False, logs=[status(first.id, 45)]))
    await journal.create(attrs.evolve(second, devices=second.devices[1:2]))
    complete = device.Complete(41)
    told = [status(second.id, 41)]
    await journal.commit(of_device(second.id, 2, complete, Milestone.FRAG_STATUS, live=False, logs=told))
    assert await before(journal) == [None]


@pytest.mark.parametrize("text", [None, ""], ids=["none", "empty"])
async def test_a_status_without_the_number_says_nothing(journal: Journal, text: str | None) -> None:
    first = ordered()
    await journal.create(first)
    fields = {} if text is None else {"nb_frag_received": text}
    await journal.record([status(first.id, 45), attrs.evolve(status(first.id, 0), fields=fields)])
    assert await before(journal) == [None]


async def test_what_a_device_says_when_it_has_ended_is_of_another_deployment(journal: Journal) -> None:
    """It was ordered again while the first was still under way, and completed the second."""
    first, second = ordered(), ordered(other(2, 3), DEVICES[1:2])
    await journal.create(first)
    await journal.commit(of_device(first.id, 2, ENDED, live=False, logs=[status(first.id, 30)]))
    await journal.create(second)
    complete = device.Complete(41)
    told = [status(second.id, 41)]
    await journal.commit(of_device(second.id, 2, complete, Milestone.FRAG_STATUS, live=False, logs=told))
    await journal.record([attrs.evolve(status(first.id, 41), created_at=later(2.5))])
    assert await before(journal, number=0) == [None]


async def test_what_a_device_says_when_it_has_failed_is_known(journal: Journal) -> None:
    first = ordered()
    await journal.create(first)
    await journal.commit(of_device(first.id, 2, ENDED, live=False))
    await journal.record([attrs.evolve(status(first.id, 45), created_at=later(99))])
    assert await before(journal) == [45]


async def test_what_a_device_says_that_is_complete_is_not_looked_at(journal: Journal) -> None:
    """It was asked twice, and its second answer came when the first had been believed."""
    first = ordered()
    await journal.create(first)
    complete = device.Complete(41)
    told = [status(first.id, 41)]
    await journal.commit(of_device(first.id, 2, complete, Milestone.FRAG_STATUS, live=False, logs=told))
    await journal.record([attrs.evolve(status(first.id, 41), created_at=later(99))])
    assert await before(journal) == [None]
