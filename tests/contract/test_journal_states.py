"""What every journal keeps of deployments and their devices, also after a restart."""

from uuid import uuid4

import pytest

from fuota.deployment import states as deployment
from fuota.device import states as device
from fuota.journal.port import Journal, JournalError, Milestone
from fuota.lorawan.eui import EUI64
from tests.contract.conftest import Opened
from tests.contract.entries import (
    DEVICES,
    FIRMWARE,
    PLAN,
    SETTING_UP_SESSION,
    T0,
    later,
    of_deployment,
    of_device,
    ordered,
    other,
)


async def test_a_deployment_that_was_ordered_is_there_after_a_restart(opened: Opened) -> None:
    new = ordered()
    async with opened() as journal:
        await journal.create(new)
    async with opened() as journal:
        assert await journal.unfinished() == [new.id]
        stored = await journal.load(new.id)
        devices = await journal.devices(new.id)
        assert await journal.firmware(PLAN.firmware_sha256) == FIRMWARE
    assert (stored.id, stored.created_at) == (new.id, new.created_at)
    assert (stored.plan, stored.mc_key) == (PLAN, new.mc_key)
    assert (stored.state, stored.version) == (deployment.CreatingGroup(), 1)
    assert [one.dev_eui for one in devices] == sorted(DEVICES)
    assert all(one.mc_root_key == one.dev_eui.octets * 2 for one in devices)
    assert {(one.state, one.version) for one in devices} == {(device.Waiting(), 1)}


async def test_the_latest_state_comes_back(opened: Opened) -> None:
    new = ordered()
    async with opened() as journal:
        await journal.create(new)
        await journal.commit(of_deployment(new.id, 2, deployment.SettingUpGroups("g")))
        await journal.commit(of_device(new.id, 2, device.SettingUpGroup(1, later(30))))
        await journal.commit(of_device(new.id, 3, SETTING_UP_SESSION))
    async with opened() as journal:
        stored = await journal.load(new.id)
        devices = {one.dev_eui: one for one in await journal.devices(new.id)}
    assert (stored.state, stored.version) == (deployment.SettingUpGroups("g"), 2)
    assert devices[DEVICES[1]].state == SETTING_UP_SESSION
    assert devices[DEVICES[1]].version == 3
    assert devices[DEVICES[0]].version == 1


async def test_what_has_ended_is_not_resumed_but_can_be_read(journal: Journal) -> None:
    first, second = ordered(created_at=later(1)), ordered(devices=DEVICES[:1], plan=other(3, 3))
    await journal.create(first)
    await journal.create(second)
    assert await journal.unfinished() == [second.id, first.id]
    ended = deployment.Ended(deployment.Why.DONE, "")
    await journal.commit(of_deployment(first.id, 2, ended, live=False))
    assert await journal.unfinished() == [second.id]
    status = await journal.status(first.id)
    assert status is not None
    assert status.state == ended


async def test_nothing_is_known_of_what_was_never_ordered(journal: Journal) -> None:
    new = ordered()
    await journal.create(new)
    assert await journal.status(uuid4()) is None
    assert await journal.logs(uuid4(), DEVICES[0]) is None
    assert await journal.logs(new.id, EUI64(bytes(8))) is None
    nobody = uuid4()
    with pytest.raises(JournalError, match=f"there is no deployment {nobody} to resume"):
        await journal.load(nobody)
    with pytest.raises(JournalError, match="there is no firmware 0000"):
        await journal.firmware(bytes(32))


async def test_status_of_a_new_deployment(journal: Journal) -> None:
    new = ordered()
    await journal.create(new)
    status = await journal.status(new.id)
    assert status is not None
    assert (status.id, status.created_at, status.updated_at) == (new.id, T0, T0)
    assert (status.milestones, status.state) == ({}, deployment.CreatingGroup())
    assert [one.dev_eui for one in status.devices] == sorted(DEVICES)
    assert {(one.created_at, one.updated_at, one.state) for one in status.devices} == {
        (T0, T0, device.Waiting())
    }


async def test_a_milestone_is_kept_as_it_was_earned_first(journal: Journal) -> None:
    new = ordered()
    await journal.create(new)
    group, session = Milestone.MC_GROUP_SETUP, Milestone.MC_SESSION
    await journal.commit(of_deployment(new.id, 2, deployment.SettingUpFragments("g"), group))
    await journal.commit(of_deployment(new.id, 3, deployment.SettingUpGroups("g")))
    await journal.commit(of_deployment(new.id, 4, deployment.SettingUpFragments("g"), group, session))
    await journal.commit(of_device(new.id, 2, device.SettingUpFragments(1, later(9)), group))
    await journal.commit(of_device(new.id, 3, device.Prepared(), group, Milestone.FRAG_SESSION_SETUP))
    status = await journal.status(new.id)
    assert status is not None
    assert status.milestones == {group: later(2), session: later(4)}
    assert status.updated_at == later(4)
    touched = {one.dev_eui: one for one in status.devices}[DEVICES[1]]
    assert touched.milestones == {group: later(2), Milestone.FRAG_SESSION_SETUP: later(3)}
    assert (touched.updated_at, touched.created_at) == (later(3), T0)
    assert [one.milestones for one in status.devices if one is not touched] == [{}, {}, {}]


async def test_every_milestone_has_its_column(journal: Journal) -> None:
    new = ordered()
    await journal.create(new)
    for version, milestone in enumerate(Milestone, start=2):
        await journal.commit(of_deployment(new.id, version, deployment.CreatingGroup(), milestone))
    status = await journal.status(new.id)
    assert status is not None
    assert status.milestones == {milestone: later(2 + place) for place, milestone in enumerate(Milestone)}


async def test_the_same_firmware_serves_many_deployments(journal: Journal) -> None:
    await journal.create(ordered())
    await journal.create(ordered(other(2, 3)))
    assert await journal.firmware(PLAN.firmware_sha256) == FIRMWARE


async def test_keys_are_never_shown(journal: Journal) -> None:
    new = ordered()
    await journal.create(new)
    shown = repr([new, await journal.load(new.id), await journal.devices(new.id), journal])
    assert "mc_key" not in shown
    assert "mc_root_key" not in shown
    assert repr(new.mc_key) not in shown
