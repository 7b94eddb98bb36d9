"""Every journal takes each version of an actor once, from one writer, and fences every other."""

from uuid import UUID, uuid4

import attrs
import pytest
import structlog
import trio

from fuota.deployment import states as deployment
from fuota.device import states as device
from fuota.journal.port import Fenced, Journal, Transition
from fuota.lorawan.eui import EUI64
from tests.contract.entries import DEVICES, SESSION, later, logged, of_deployment, of_device, ordered


async def test_the_same_transition_twice_is_one(journal: Journal) -> None:
    new = ordered()
    await journal.create(new)
    answered = of_device(
        new.id, 2, device.Prepared(), logs=[logged(new.id, "McGroupSetupAns", mc_group_id="1")]
    )
    await journal.commit(answered)
    await journal.commit(answered)
    assert await journal.logs(new.id, DEVICES[1]) == list(answered.logs)


async def test_the_same_transition_is_known_after_later_ones(journal: Journal) -> None:
    new = ordered()
    await journal.create(new)
    await journal.commit(of_device(new.id, 2, device.SettingUpGroup(1, later(9))))
    await journal.commit(of_device(new.id, 3, device.Prepared()))
    await journal.commit(of_device(new.id, 2, device.SettingUpGroup(1, later(9))))
    assert {one.version for one in await journal.devices(new.id)} == {1, 3}


async def test_another_transition_with_the_same_version_is_fenced(journal: Journal) -> None:
    new = ordered()
    await journal.create(new)
    await journal.commit(of_device(new.id, 2, device.SettingUpGroup(1, later(9))))
    late = of_device(new.id, 2, device.Failed(device.Reason.NO_ANSWER, ""), live=False)
    with pytest.raises(Fenced, match=f"device {DEVICES[1]} of deployment {new.id}: version 2 was written by"):
        await journal.commit(attrs.evolve(late, logs=(logged(new.id, "McGroupSetupReq"),)))
    stored = {one.dev_eui: one for one in await journal.devices(new.id)}[DEVICES[1]]
    assert stored.state == device.SettingUpGroup(1, later(9))
    assert await journal.logs(new.id, DEVICES[1]) == []


SECOND = of_device(UUID(int=0), 2, device.SettingUpGroup(1, later(9)))


@pytest.mark.parametrize(
    "differing",
    [
        attrs.evolve(SECOND, at=later(3)),
        attrs.evolve(SECOND, cause="Cancel"),
        attrs.evolve(SECOND, live=False),
        attrs.evolve(SECOND, state=device.SettingUpGroup(2, later(9))),
    ],
    ids=["at", "cause", "live", "state"],
)
async def test_a_transition_that_differs_in_anything_is_another(
    journal: Journal, differing: Transition
) -> None:
    new = attrs.evolve(ordered(), id=UUID(int=0))
    await journal.create(new)
    await journal.commit(SECOND)
    with pytest.raises(Fenced):
        await journal.commit(differing)


async def test_the_first_version_is_taken(journal: Journal) -> None:
    new = ordered()
    await journal.create(new)
    with pytest.raises(Fenced):
        await journal.commit(of_deployment(new.id, 1, deployment.CreatingGroup()))


async def test_nobody_elses_deployment_is_written_to(journal: Journal) -> None:
    with pytest.raises(Fenced):
        await journal.commit(of_deployment(uuid4(), 2, deployment.CreatingGroup()))
    await journal.record([logged(uuid4(), "McGroupSetupReq")])


async def test_of_a_deployment_that_was_deleted_there_is_one_line(journal: Journal) -> None:
    """Whoever of it writes next, and however many they are."""
    new, other = ordered(), uuid4()
    await journal.create(new)
    with structlog.testing.capture_logs() as said:
        for dev_eui in DEVICES:
            with pytest.raises(Fenced, match=f"device {dev_eui} of deployment {other}: the deployment was"):
                await journal.commit(of_device(other, 2, device.Prepared(), dev_eui=dev_eui))
        with pytest.raises(Fenced, match=f"^deployment {other}: the deployment was deleted"):
            await journal.commit(of_deployment(other, 2, deployment.CreatingGroup()))
        await journal.commit(of_device(new.id, 2, device.Prepared()))
    (line,) = said
    assert (line["log_level"], line["id"], line["group"]) == ("error", str(other), f"fuota-{other}")
    assert line["event"].startswith("a deployment was deleted from the database while it ran")


async def test_of_a_deployment_that_somebody_else_has_written_to_there_is_one_line(journal: Journal) -> None:
    new = ordered()
    await journal.create(new)
    for dev_eui in DEVICES:
        await journal.commit(of_device(new.id, 2, device.Prepared(), dev_eui=dev_eui))
    with structlog.testing.capture_logs() as said:
        for dev_eui in DEVICES:
            with pytest.raises(Fenced):
                await journal.commit(of_device(new.id, 2, device.Listening(SESSION), dev_eui=dev_eui))
    (line,) = said
    assert (line["log_level"], line["id"]) == ("error", str(new.id))
    assert (
        line["found"]
        == f"device {DEVICES[0]} of deployment {new.id}: version 2 was written by another process"
    )


async def test_where_another_server_has_taken_over_no_deployment_has_a_line(journal: Journal) -> None:
    """There is one for all of them, elsewhere."""
    new = ordered()
    await journal.create(new)
    journal.ownership.lose("another")
    with structlog.testing.capture_logs() as said, pytest.raises(Fenced):
        await journal.commit(of_device(new.id, 2, device.Prepared()))
    assert not [line for line in said if line["log_level"] == "error"]


async def test_only_the_fenced_one_of_many_is_refused(journal: Journal) -> None:
    new = ordered()
    await journal.create(new)
    await journal.commit(of_device(new.id, 2, device.Prepared(), dev_eui=DEVICES[0]))
    outcomes: dict[EUI64, str] = {}

    async def commit(dev_eui: EUI64) -> None:
        try:
            await journal.commit(of_device(new.id, 2, device.Listening(SESSION), dev_eui=dev_eui))
        except Fenced:
            outcomes[dev_eui] = "fenced"
        else:
            outcomes[dev_eui] = "written"

    async with trio.open_nursery() as nursery:
        for dev_eui in DEVICES:
            nursery.start_soon(commit, dev_eui)
    assert outcomes == {DEVICES[0]: "fenced"} | dict.fromkeys(DEVICES[1:], "written")
    states = {one.dev_eui: one.state for one in await journal.devices(new.id)}
    assert states == {DEVICES[0]: device.Prepared()} | dict.fromkeys(DEVICES[1:], device.Listening(SESSION))
