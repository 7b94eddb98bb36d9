"""What every journal does: one suite, run for the memory and for PostgreSQL."""

from uuid import UUID, uuid4

import attrs
import pytest
import trio

from fuota.deployment import states as deployment
from fuota.deployment.plan import Plan
from fuota.device import states as device
from fuota.journal.port import Conflict, Fenced, Journal, JournalError, Milestone, NewDeployment, Transition
from fuota.lorawan.eui import EUI64
from tests.contract.conftest import Opened
from tests.contract.entries import (
    DEVICES,
    FIRMWARE,
    PLAN,
    SESSION,
    SETTING_UP_SESSION,
    T0,
    later,
    logged,
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


async def test_log_rows_stay_in_the_order_of_their_writing(journal: Journal) -> None:
    new = ordered()
    await journal.create(new)
    request = logged(new.id, "McGroupSetupReq", mc_group_id="1", mc_addr="01020304")
    again = attrs.evolve(request, created_at=later(-5))  # a clock may be set back
    answer = logged(new.id, "McGroupSetupAns", mc_group_id="1", id_error="false")
    await journal.record([request, again])
    await journal.record([logged(new.id, "McGroupSetupReq", DEVICES[2])])
    await journal.commit(of_device(new.id, 2, device.Prepared(), logs=[answer]))
    await journal.record([request])
    await journal.record([])
    assert await journal.logs(new.id, DEVICES[1]) == [request, again, answer, request]
    assert await journal.logs(new.id, DEVICES[2]) == [logged(new.id, "McGroupSetupReq", DEVICES[2])]
    assert await journal.logs(new.id, DEVICES[0]) == []


async def test_log_rows_of_a_device_belong_to_one_deployment(journal: Journal) -> None:
    first, second = ordered(), ordered(other(3, 3))
    await journal.create(first)
    await journal.create(second)
    await journal.record([logged(first.id, "McGroupSetupReq"), logged(second.id, "FragSessionSetupReq")])
    assert await journal.logs(second.id, DEVICES[1]) == [logged(second.id, "FragSessionSetupReq")]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"quote": 'a "b" => \\c, {}'},
        {"": "", "null": "NULL", "line": "a\nb\tc"},
        {"ü": "日本 🎉"},
    ],
    ids=str,
)
async def test_log_fields_are_any_texts(journal: Journal, fields: dict[str, str]) -> None:
    new = ordered()
    await journal.create(new)
    row = attrs.evolve(logged(new.id, "DataFragment"), fields=fields)
    await journal.record([row])
    assert await journal.logs(new.id, DEVICES[1]) == [row]


async def test_what_the_database_can_not_hold_is_replaced(journal: Journal) -> None:
    new = ordered()
    await journal.create(new)
    failed = device.Failed(device.Reason.NETWORK_REFUSED, "a\0b\ud800")
    row = logged(new.id, "McGroupSetupAns", field="\0")
    await journal.commit(attrs.evolve(of_device(new.id, 2, failed, logs=[row]), cause="Refused\0"))
    stored = {one.dev_eui: one for one in await journal.devices(new.id)}[DEVICES[1]]
    assert stored.state == device.Failed(device.Reason.NETWORK_REFUSED, "a�b?")
    assert await journal.logs(new.id, DEVICES[1]) == [logged(new.id, "McGroupSetupAns", field="�")]


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
