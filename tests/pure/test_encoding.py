"""What was stored once keeps loading: a golden file for each state, and for the plan.

`python tests/pure/test_encoding.py` writes the files that are missing. One that exists is never changed:
databases hold texts like it.
"""

import typing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuota.deployment import states as deployment
from fuota.deployment.plan import ClassCScheduling, MulticastClass, Plan, StatusRequest
from fuota.device import states as device
from fuota.journal.encoding import (
    DEPLOYMENT_STATES,
    DEVICE_STATES,
    Unreadable,
    dump_plan,
    dump_state,
    load_deployment_state,
    load_device_state,
    load_plan,
    storable,
)
from fuota.journal.port import State
from fuota.lorawan.region import Region

GOLDEN = Path(__file__).parent.parent / "golden"

START = datetime(2026, 11, 24, 10, 30, 8, 250_000, tzinfo=UTC)
SESSION = deployment.Session(2, START, START + timedelta(seconds=256))
DEADLINE = datetime(2026, 11, 24, 10, 20, tzinfo=UTC)
GROUP = "5b2d8f52-6d2c-4f7e-9f0e-3c9a4a4d7a10"

PLAN = Plan(
    application_id="12",
    mc_class=MulticastClass.B,
    mc_group_id=3,
    mc_addr=0x01FE23A4,
    frequency=869_525_000,
    dr=5,
    time_out=4,
    periodicity=2,
    unicast_timeout=timedelta(minutes=10, milliseconds=500),
    unicast_attempts=3,
    frag_index=1,
    frag_size=50,
    redundancy=20,
    frag_algo=0,
    block_ack_delay=1,
    descriptor=bytes.fromhex("01020304"),
    status_request=StatusRequest.AFTER_SESSION_TIMEOUT,
    firmware_size=16_384,
    firmware_sha256=bytes(range(32)),
)

PLAN_4 = attrs.evolve(
    PLAN,
    application_id="5f0c2b1e-0000-4000-8000-0000000000ab",
    mc_class=MulticastClass.C,
    region=Region.EU868,
    class_c_scheduling=ClassCScheduling.GPS_TIME,
    gateways=("0016c001ff10a235", "0016c001ff10a236"),
)

ROUND = deployment.Round(2, windows=1, incomplete=3)

DEPLOYMENTS: list[deployment.State] = [
    deployment.CreatingGroup(),
    deployment.CreatingGroupInVain(),
    deployment.SettingUpGroups(GROUP),
    deployment.SettingUpFragments(GROUP),
    deployment.ArrangingSession(GROUP, SESSION, 0),
    deployment.AwaitingStart(GROUP, SESSION, 0),
    deployment.Transmitting(GROUP, SESSION, 64),
    deployment.RestoringGroup(SESSION, 1),
    deployment.AwaitingEnd(GROUP, SESSION, 348),
    deployment.Settling(GROUP, SESSION, 348),
    deployment.Repeating(GROUP, SESSION, 0, 0, 1, drained=False, round=ROUND),
    deployment.Concluding(GROUP, SESSION, 348, 0, 1, round=ROUND),
    deployment.Draining(GROUP, DEADLINE),
    deployment.Abandoning(deployment.Why.CANCELLED, "by an operator"),
    deployment.DeletingGroup(deployment.Why.GROUP_LOST, "multicast-group does not exist"),
    deployment.Ended(deployment.Why.DONE, ""),
]

BATCH = deployment.Transmitting(GROUP, SESSION, 64, 1, 2, 84, DEADLINE)

ASKING_UNHEARD = device.AskingStatus(SESSION, 3, DEADLINE, "", device.Failed(device.Reason.NO_ANSWER, ""))
ENOUGH = device.StillListening(SESSION, DEADLINE, device.Unconfirmed(348, 2))
ASKING_ANEW = device.AskingStatus(SESSION, 3, DEADLINE, counts_anew=True)
LISTENING_ANEW = device.StillListening(SESSION, DEADLINE, counts_anew=True)
TOLD = device.Listening(SESSION, device.Told(DEADLINE, device.Unconfirmed(348, 2), counts_anew=True))
NOT_TOLD = device.Failed(device.Reason.START_MISSED, "not told")
ONE_MISSED = device.SettingUpSession(
    SESSION,
    1,
    DEADLINE,
    device.Failed(device.Reason.NO_ANSWER, ""),
    told=device.Told(None, missed=NOT_TOLD),
)
ASKING_ONE_MISSED = device.AskingStatus(SESSION, 3, DEADLINE, missed=NOT_TOLD)
LISTENING_ONE_MISSED = device.StillListening(SESSION, DEADLINE, device.Unconfirmed(348, 2), missed=NOT_TOLD)
LACKING = device.Incomplete(device.Unconfirmed(348, 2), counts_anew=True)
DROPPED = device.SettingUpGroup(3, DEADLINE, GROUP, dropped="too large")

SPARED = device.SettingUpFragments(2, DEADLINE, spared=3)
UNTAKEN = device.SettingUpFragments(2, DEADLINE, spared=3, untaken=True)
AGAIN = deployment.SettingUpFragments(GROUP, again=True)
PUT_OFF = deployment.ArrangingSession(GROUP, attrs.evolve(SESSION, put_off=1), 0)
PUT_RIGHT = device.SettingUpSession(
    SESSION, 2, DEADLINE, device.Failed(device.Reason.CLOCK_OFF, "17 s behind"), put_right=True
)
MISSED = device.CorrectingClock(
    SESSION, 1, DEADLINE, device.Failed(device.Reason.CLOCK_OFF, "17 s behind"), missed=2
)
RESTORING_ANOTHER = deployment.RestoringGroup(SESSION, 1, used=1, before=40)
ANOTHER = deployment.ArrangingSession(GROUP, SESSION, 40, used=1, before=40)
ANOTHER_ROUND = deployment.ArrangingSession(GROUP, SESSION, 0, used=1, round=ROUND)
RESTORING_ROUND = deployment.RestoringGroup(SESSION, 1, used=1, round=ROUND, repeating=True)

DEVICES: list[device.State] = [
    device.Waiting(),
    device.JoiningGroup(GROUP),
    device.SettingUpGroup(1, DEADLINE),
    device.SettingUpFragments(2, DEADLINE),
    device.Prepared(),
    device.SettingUpSession(SESSION, 1, DEADLINE, device.Failed(device.Reason.NO_ANSWER, "")),
    device.CorrectingClock(SESSION, 1, DEADLINE, device.Failed(device.Reason.CLOCK_OFF, "17 s behind")),
    device.Listening(SESSION),
    device.Unheard(SESSION, device.Failed(device.Reason.NO_ANSWER, "to the session request")),
    device.AskingStatus(SESSION, 3, DEADLINE),
    device.StillListening(SESSION, DEADLINE),
    device.Incomplete(device.Failed(device.Reason.INCOMPLETE, "40 fragments received")),
    device.Withdrawing(device.Failed(device.Reason.ABANDONED, "cancelled")),
    device.Complete(328),
    device.Unconfirmed(330, 2),
    device.Released(),
    device.Failed(device.Reason.FRAGMENTATION_REFUSED, "NotEnoughMemory"),
]

TEXTS: dict[str, str] = {
    **{f"deployment-{tag}": dump_state(s) for tag, s in zip(DEPLOYMENT_STATES, DEPLOYMENTS, strict=True)},
    **{f"device-{tag}": dump_state(s) for tag, s in zip(DEVICE_STATES, DEVICES, strict=True)},
    "device-setting-up-group-dropped": dump_state(DROPPED),
    "device-asking-status-unheard": dump_state(ASKING_UNHEARD),
    "device-still-listening-enough": dump_state(ENOUGH),
    "device-asking-status-anew": dump_state(ASKING_ANEW),
    "device-still-listening-anew": dump_state(LISTENING_ANEW),
    "device-listening-told": dump_state(TOLD),
    "device-setting-up-session-one-missed": dump_state(ONE_MISSED),
    "device-asking-status-one-missed": dump_state(ASKING_ONE_MISSED),
    "device-still-listening-one-missed": dump_state(LISTENING_ONE_MISSED),
    "device-incomplete-enough": dump_state(LACKING),
    "device-setting-up-fragments-spared": dump_state(SPARED),
    "device-setting-up-fragments-untaken": dump_state(UNTAKEN),
    "deployment-transmitting-batch": dump_state(BATCH),
    "deployment-setting-up-fragments-again": dump_state(AGAIN),
    "deployment-arranging-session-put-off": dump_state(PUT_OFF),
    "deployment-arranging-session-another": dump_state(ANOTHER),
    "deployment-restoring-group-another": dump_state(RESTORING_ANOTHER),
    "deployment-arranging-session-another-round": dump_state(ANOTHER_ROUND),
    "deployment-restoring-group-another-round": dump_state(RESTORING_ROUND),
    "device-setting-up-session-put-right": dump_state(PUT_RIGHT),
    "device-correcting-clock-missed": dump_state(MISSED),
    "plan": dump_plan(PLAN),
    "plan-chirpstack4": dump_plan(PLAN_4),
}


def golden(name: str) -> str:
    return (GOLDEN / f"{name}.json").read_text()


def test_every_state_has_a_tag_a_sample_and_a_golden_file() -> None:
    assert list(DEPLOYMENT_STATES.values()) == list(typing.get_args(deployment.State))
    assert list(DEVICE_STATES.values()) == list(typing.get_args(device.State))
    assert [type(state) for state in DEPLOYMENTS] == list(DEPLOYMENT_STATES.values())
    assert [type(state) for state in DEVICES] == list(DEVICE_STATES.values())
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(TEXTS)


@pytest.mark.parametrize(("tag", "state"), list(zip(DEPLOYMENT_STATES, DEPLOYMENTS, strict=True)))
def test_stored_state_of_a_deployment_loads(tag: str, state: deployment.State) -> None:
    assert load_deployment_state(golden(f"deployment-{tag}")) == state
    assert load_deployment_state(dump_state(state)) == state


def test_what_is_stored_of_other_cases_loads() -> None:
    assert load_device_state(golden("device-setting-up-group-dropped")) == DROPPED
    assert load_device_state(golden("device-asking-status-unheard")) == ASKING_UNHEARD
    assert load_device_state(golden("device-still-listening-enough")) == ENOUGH
    assert load_device_state(golden("device-listening-told")) == TOLD
    assert load_device_state(golden("device-setting-up-fragments-spared")) == SPARED
    assert load_device_state(golden("device-setting-up-fragments-untaken")) == UNTAKEN
    assert load_deployment_state(golden("deployment-setting-up-fragments-again")) == AGAIN
    assert load_deployment_state(golden("deployment-arranging-session-put-off")) == PUT_OFF
    assert load_deployment_state(golden("deployment-arranging-session-another")) == ANOTHER
    assert load_deployment_state(golden("deployment-restoring-group-another")) == RESTORING_ANOTHER
    assert load_deployment_state(golden("deployment-arranging-session-another-round")) == ANOTHER_ROUND
    assert load_deployment_state(golden("deployment-restoring-group-another-round")) == RESTORING_ROUND
    assert load_device_state(golden("device-setting-up-session-put-right")) == PUT_RIGHT
    assert load_device_state(golden("device-correcting-clock-missed")) == MISSED
    assert load_device_state(golden("device-setting-up-session-one-missed")) == ONE_MISSED
    assert load_device_state(golden("device-asking-status-one-missed")) == ASKING_ONE_MISSED
    assert load_device_state(golden("device-still-listening-one-missed")) == LISTENING_ONE_MISSED
    assert load_device_state(golden("device-incomplete-enough")) == LACKING
    told = attrs.evolve(ASKING_UNHEARD, otherwise=ENOUGH.otherwise)
    assert load_device_state(dump_state(told)) == told


def test_what_is_stored_of_a_batch_loads() -> None:
    assert load_deployment_state(golden("deployment-transmitting-batch")) == BATCH


@pytest.mark.parametrize(("tag", "state"), list(zip(DEVICE_STATES, DEVICES, strict=True)))
def test_stored_state_of_a_device_loads(tag: str, state: device.State) -> None:
    assert load_device_state(golden(f"device-{tag}")) == state
    assert load_device_state(dump_state(state)) == state


def test_stored_plan_loads() -> None:
    assert load_plan(golden("plan")) == PLAN
    assert load_plan(golden("plan-chirpstack4")) == PLAN_4
    for plan in (PLAN, PLAN_4):
        assert load_plan(dump_plan(plan)) == plan


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3650)))
def test_no_microsecond_of_a_timeout_is_lost(timeout: timedelta) -> None:
    plan = attrs.evolve(PLAN, unicast_timeout=timeout)
    assert load_plan(dump_plan(plan)) == plan


@given(
    st.datetimes(
        datetime(1980, 1, 6), timezones=st.sampled_from([UTC, timezone(timedelta(hours=9, minutes=30))])
    )
)
def test_times_are_stored_in_utc(at: datetime) -> None:
    loaded = load_device_state(dump_state(device.SettingUpGroup(1, at)))
    assert isinstance(loaded, device.SettingUpGroup)
    assert loaded.deadline == at
    assert loaded.deadline.tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="with its zone"):
        dump_state(device.SettingUpGroup(1, datetime(2026, 1, 1)))


@given(st.text())
def test_every_text_can_be_stored(detail: str) -> None:
    stored = dump_state(device.Failed(device.Reason.NETWORK_REFUSED, detail))
    assert "\\u0000" not in stored
    assert load_device_state(stored) == device.Failed(device.Reason.NETWORK_REFUSED, storable(detail))


def test_what_postgresql_can_not_hold_is_replaced() -> None:
    assert storable("a\0b\ud800c") == "a�b?c"


def test_a_field_that_is_gone_is_skipped() -> None:
    assert load_deployment_state('{"state":"setting-up-groups","group_id":"1","old":[]}') == (
        deployment.SettingUpGroups("1")
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"state":"levitating"}', "this version of the server knows no device state 'levitating'"),
        ('{"attempt":1}', "this version of the server knows no device state None"),
        ('{"state":"listening"}', "device state 'listening' can not be read: .*session"),
        ('{"state":"failed","reason":"bored","detail":""}', "device state 'failed' can not be read: .*bored"),
    ],
)
def test_what_is_not_ours_is_refused(text: str, told: str) -> None:
    with pytest.raises(Unreadable, match=told):
        load_device_state(text)


def test_a_state_of_the_other_kind_is_refused() -> None:
    state: State = deployment.CreatingGroup()
    with pytest.raises(Unreadable, match="no device state 'creating-group'"):
        load_device_state(dump_state(state))


if __name__ == "__main__":
    for name, text in TEXTS.items():
        if not (GOLDEN / f"{name}.json").exists():
            (GOLDEN / f"{name}.json").write_text(text + "\n")
