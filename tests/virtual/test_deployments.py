"""Whole deployments in virtual time, against devices that really decode.

The second half is the list of what well-known servers get wrong, one test each.
"""

from datetime import timedelta
from typing import Any

import attrs
import pytest
import structlog
from trio.testing import MockClock

from fuota.deployment.plan import MulticastClass, StatusRequest
from fuota.deployment.states import Draining, Transmitting, Why
from fuota.device.states import Complete, Failed, Reason, Released, State
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import Conflict, Milestone
from fuota.lorawan.clocksync import ForceDeviceResyncReq
from fuota.lorawan.fragmentation import FragSessionSetupAns, FragSessionSetupReq, FragSessionStatusReq
from fuota.lorawan.multicast import (
    McClassBSessionAns,
    McClassBSessionReq,
    McClassCSessionAns,
    McClassCSessionReq,
    McGroupSetupAns,
    McGroupSetupReq,
)
from fuota.network.port import KnownGroup
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.radio import Radio
from fuota.uplink import Uplink
from tests.campaign import IMAGE, order, server, simulated

ALL_MILESTONES = set(Milestone)
OF_DEVICES = ALL_MILESTONES - {Milestone.ENQUEUE}


def reason(state: State) -> Reason:
    assert isinstance(state, Failed)
    return state.reason


@pytest.mark.parametrize("mc_class", MulticastClass)
@pytest.mark.parametrize("asked", StatusRequest)
async def test_every_device_completes(
    mc_class: MulticastClass, asked: StatusRequest, autojump_clock: MockClock
) -> None:
    devices = simulated(5)
    async with server(devices) as running:
        result = await running.carry_out(
            order(
                devices,
                multicast_group_type=mc_class,
                multicast_timeout=6 if mc_class is MulticastClass.C else 2,
                request_fragmentation_session_status=asked,
            )
        )
        assert not running.world.chirpstack.groups
    assert result.why is Why.DONE
    assert {device.image for device in devices} == {IMAGE}
    if asked is StatusRequest.NO_REQUEST:
        assert result.states() == {Released}
        assert set(result.status.milestones) == ALL_MILESTONES - {Milestone.FRAG_STATUS}
    else:
        assert result.states() == {Complete}
        assert set(result.status.milestones) == ALL_MILESTONES
        assert all(set(device.milestones) == OF_DEVICES for device in result.status.devices)


async def test_what_is_lost_on_the_air_is_repaired(autojump_clock: MockClock) -> None:
    devices = simulated(10)
    async with server(devices, radio=Radio(loss=0.3)) as running:
        result = await running.carry_out(
            order(devices, fragmentation_redundancy=50, unicast_attempt_count=12)
        )
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


async def test_what_is_lost_in_class_b_is_repaired(autojump_clock: MockClock) -> None:
    """In the region's own channels, with calls that fail and uplinks that come three times."""
    devices = simulated(6)
    async with server(devices, radio=Radio(loss=0.3), uplinks=lambda uplink: (uplink,) * 3) as running:
        running.network.conditions.failing = 0.1
        result = await running.carry_out(
            order(
                devices,
                multicast_group_type=MulticastClass.B,
                multicast_timeout=1,
                multicast_frequency=0,
                multicast_periodicity=1,
                fragmentation_redundancy=50,
                unicast_attempt_count=12,
            )
        )
        assert not running.world.chirpstack.groups
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


@pytest.mark.parametrize("asked", [StatusRequest.AFTER_FRAGMENT_ENQUEUE, StatusRequest.AFTER_SESSION_TIMEOUT])
async def test_an_outage_in_the_middle_of_a_class_b_session(
    asked: StatusRequest, autojump_clock: MockClock
) -> None:
    """It is longer than the session: what is missing is sent in another."""
    devices = simulated(4)
    async with server(devices) as running:
        multicast = running.network.multicast
        sent: list[bytes] = []

        async def interrupted(group: KnownGroup, f_port: int, data: bytes) -> None:
            await multicast(group, f_port, data)
            sent.append(data)
            if len(sent) == 10:
                running.network.conditions.outage(timedelta(minutes=10))

        running.network.multicast = interrupted  # type: ignore[method-assign]
        result = await running.carry_out(
            order(
                devices,
                multicast_group_type=MulticastClass.B,
                multicast_timeout=1,
                request_fragmentation_session_status=asked,
            )
        )
        rows = await running.journal.logs(result.status.id, devices[0].dev_eui)
    assert rows is not None
    starts = {row.fields["session_time"] for row in rows if row.command == "McClassBSessionReq"}
    assert len(starts) == 2
    assert {int(start) % 128 for start in starts} == {0}
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


@pytest.mark.parametrize("asked", StatusRequest)
async def test_a_network_that_takes_fragments_quicker_than_it_sends_them(
    asked: StatusRequest, autojump_clock: MockClock
) -> None:
    """As ChirpStack does, with a pause between two downlinks of a group: what still waits in its queue when
    the window closes is sent in another, and nothing is sent while nobody listens."""
    devices = simulated(4)
    radio = Radio(fragment_interval=timedelta(seconds=3))  # 21 of 61 in each window of 64 s
    async with server(devices, radio=radio) as running:
        with structlog.testing.capture_logs() as said:
            result = await running.carry_out(order(devices, request_fragmentation_session_status=asked))
        rows = await running.journal.logs(result.status.id, devices[0].dev_eui)
    assert rows is not None
    sessions = {row.fields["session_time"] for row in rows if row.command == "McClassCSessionReq"}
    assert 2 <= len(sessions) <= 3
    waiting = [line["left"] for line in said if line["event"].startswith("downlinks still wait")]
    assert waiting
    assert waiting == sorted(waiting, reverse=True)
    assert {device.image for device in devices} == {IMAGE}
    assert result.why is Why.DONE


async def test_what_still_waits_is_sent_to_devices_that_say_they_have_all(autojump_clock: MockClock) -> None:
    """The last of them says so when some fifty of 61 have been sent, and they need 59 to finish."""
    devices, journal = simulated(3, lambda _: Behaviour(trailing=18)), MemoryJournal()
    radio = Radio(fragment_interval=timedelta(seconds=2.5))
    async with server(devices, radio=radio, journal=journal) as running:
        result = await running.carry_out(
            order(
                devices,
                multicast_timeout=8,
                request_fragmentation_session_status=StatusRequest.AFTER_FRAGMENT_ENQUEUE,
            )
        )
    assert any(isinstance(transition.state, Draining) for transition in journal.history)
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


@pytest.mark.parametrize("asked", [StatusRequest.AFTER_FRAGMENT_ENQUEUE, StatusRequest.AFTER_SESSION_TIMEOUT])
async def test_a_device_whose_answer_to_the_session_request_is_lost_gets_the_image_and_says_so(
    asked: StatusRequest, autojump_clock: MockClock
) -> None:
    lossy = Behaviour(loses=frozenset({McClassCSessionAns}))
    devices = simulated(3, lambda number: lossy if number == 1 else Behaviour())
    async with server(devices) as running:
        result = await running.carry_out(order(devices, request_fragmentation_session_status=asked))
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


async def test_when_nobody_was_heard_to_agree_nothing_is_sent(autojump_clock: MockClock) -> None:
    devices = simulated(2, lambda _: Behaviour(ignores=frozenset({McClassCSessionReq})))
    async with server(devices) as running:
        result = await running.carry_out(order(devices))
        assert not running.world.chirpstack.groups
    assert result.why is Why.NOBODY_LEFT
    assert {reason(result.state(device.dev_eui)) for device in devices} == {Reason.NO_ANSWER}


async def test_devices_are_asked_early_when_the_order_says_so(autojump_clock: MockClock) -> None:
    devices = simulated(3)
    async with server(devices) as running:
        early = await running.carry_out(
            order(
                devices,
                multicast_timeout=12,
                request_fragmentation_session_status=StatusRequest.AFTER_FRAGMENT_ENQUEUE,
            )
        )
    assert early.states() == {Complete}
    assert early.at - early.status.created_at < timedelta(minutes=10)


async def test_an_uplink_that_comes_three_times_counts_once(autojump_clock: MockClock) -> None:
    devices = simulated(2)
    journal = MemoryJournal()
    async with server(devices, journal=journal, uplinks=lambda uplink: (uplink,) * 3) as running:
        result = await running.carry_out(order(devices))
        rows = await journal.logs(result.status.id, devices[0].dev_eui)
    assert result.states() == {Complete}
    assert rows is not None
    assert [row.command for row in rows] == [
        "McGroupSetupReq",
        "McGroupSetupAns",
        "FragSessionSetupReq",
        "FragSessionSetupAns",
        "McClassCSessionReq",
        "McClassCSessionAns",
        "FragSessionStatusReq",
        "FragSessionStatusAns",
    ]


async def test_the_log_has_the_fields_of_the_reference_server(autojump_clock: MockClock) -> None:
    devices = simulated(1)
    async with server(devices) as running:
        result = await running.carry_out(order(devices))
        rows = await running.journal.logs(result.status.id, devices[0].dev_eui)
    assert rows is not None
    fields = {row.command: dict(row.fields) for row in rows}
    assert set(fields["McGroupSetupReq"]) == {
        "mc_group_id",
        "mc_addr",
        "mc_key_encrypted",
        "min_mc_fcnt",
        "max_mc_fcnt",
    }
    assert fields["McGroupSetupAns"] == {"mc_group_id": "0", "id_error": "false"}
    setup = fields["FragSessionSetupReq"]
    assert (
        setup.items()
        >= {
            "frag_index": "0",
            "nb_frag": "41",
            "frag_size": "50",
            "fragmentation_matrix": "0",
            "block_ack_delay": "0",
            "padding": "40",
            "descriptor": "00000000",
        }.items()
    )
    assert set(fields["FragSessionSetupAns"]) >= {
        "frag_index",
        "wrong_descriptor",
        "frag_session_index_not_supported",
        "not_enough_memory",
        "encoding_unsupported",
    }
    session = fields["McClassCSessionReq"]
    assert session.items() >= {"session_time_out": "6", "dl_frequency": "869525000", "dr": "5"}.items()
    assert set(fields["McClassCSessionAns"]) >= {
        "mc_group_undefined",
        "freq_error",
        "dr_error",
        "mc_group_id",
    }
    assert fields["FragSessionStatusReq"] == {"frag_index": "0", "participants": "true"}
    assert fields["FragSessionStatusAns"] == {
        "frag_index": "0",
        "nb_frag_received": "41",
        "missing_frag": "0",
        "not_enough_matrix_memory": "false",
    }


# -- what the well-known servers get wrong -----------------------------------------------------------


async def test_devices_do_not_wait_for_each_other(autojump_clock: MockClock) -> None:
    """A device that answers late holds up nobody before the barrier of the session's start."""
    slow = Behaviour(answer_delay=timedelta(seconds=25))
    devices = simulated(4, lambda number: slow if number == 0 else Behaviour())
    async with server(devices) as running:
        result = await running.carry_out(order(devices, unicast_timeout=timedelta(seconds=60)))
    prepared = {each.dev_eui: each.milestones[Milestone.FRAG_SESSION_SETUP] for each in result.status.devices}
    late = prepared.pop(devices[0].dev_eui)
    assert late - max(prepared.values()) > timedelta(seconds=20)
    assert result.states() == {Complete}


async def test_one_start_for_all_that_no_retry_moves(autojump_clock: MockClock) -> None:
    deaf = Behaviour(downlink_loss=0.4)
    devices = simulated(6, lambda number: deaf)
    async with server(devices, radio=Radio(uplink_interval=timedelta(seconds=5))) as running:
        result = await running.carry_out(
            order(devices, unicast_attempt_count=10, fragmentation_redundancy=120, multicast_timeout=8)
        )
        starts = set()
        for device in devices:
            rows = await running.journal.logs(result.status.id, device.dev_eui)
            assert rows is not None
            starts |= {row.fields["session_time"] for row in rows if row.command == "McClassCSessionReq"}
    assert len(starts) == 1
    assert result.states() == {Complete}


async def test_a_clock_that_is_off_is_corrected(autojump_clock: MockClock) -> None:
    wrong = Behaviour(clock_offset=timedelta(seconds=-90))
    devices = simulated(3, lambda number: wrong if number == 0 else Behaviour())
    async with server(devices) as running:
        result = await running.carry_out(order(devices, unicast_attempt_count=5))
    assert result.states() == {Complete}


async def test_a_device_whose_clock_stays_wrong_is_not_counted_on(
    autojump_clock: MockClock,
) -> None:
    stubborn = Behaviour(clock_offset=timedelta(seconds=-90), ignores=frozenset({ForceDeviceResyncReq}))
    devices = simulated(3, lambda number: stubborn if number == 0 else Behaviour())
    async with server(devices) as running:
        result = await running.carry_out(order(devices))
    failed = result.state(devices[0].dev_eui)
    assert reason(failed) is Reason.CLOCK_OFF
    assert "clock is off by -9" in failed.detail
    assert {type(result.state(device.dev_eui)) for device in devices[1:]} == {Complete}


async def test_a_device_that_is_heard_late_is_not_taken_for_one_whose_clock_is_off(
    autojump_clock: MockClock,
) -> None:
    late = Behaviour(early_time_to_start=True, answer_delay=timedelta(seconds=20))
    devices = simulated(3, lambda number: late if number == 1 else Behaviour())
    async with server(devices) as running:
        result = await running.carry_out(order(devices, unicast_timeout=timedelta(seconds=60)))
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


@pytest.mark.parametrize(("attempts", "session"), [(8, 1), (1, 2)])
async def test_a_device_whose_clock_stays_wrong_does_not_put_off_the_start(
    attempts: int, session: int, autojump_clock: MockClock
) -> None:
    stubborn = Behaviour(clock_offset=timedelta(hours=1), ignores=frozenset({ForceDeviceResyncReq}))
    devices, journal = simulated(3, lambda number: stubborn if number == 0 else Behaviour()), MemoryJournal()
    async with server(devices, journal=journal) as running:
        await running.carry_out(order(devices, unicast_attempt_count=attempts))
    states = [transition.state for transition in journal.history]
    assert {state.session.number for state in states if isinstance(state, Transmitting)} == {session}


async def test_the_window_of_class_b_is_counted_in_beacon_periods(autojump_clock: MockClock) -> None:
    devices = simulated(2)
    async with server(devices) as running:
        result = await running.carry_out(
            order(
                devices, multicast_group_type=MulticastClass.B, multicast_timeout=2, multicast_periodicity=2
            )
        )
        rows = await running.journal.logs(result.status.id, devices[0].dev_eui)
    assert rows is not None
    (fields,) = [row.fields for row in rows if row.command == "McClassBSessionReq"]
    assert int(fields["session_time"]) % 128 == 0
    assert fields["session_time_out"] == "2"
    assert fields["session_periodicity"] == "2"
    assert result.at - result.status.milestones[Milestone.MC_SESSION] >= timedelta(seconds=4 * 128)
    assert result.states() == {Complete}


async def test_a_retry_does_not_pile_up_in_the_queue_of_a_silent_device(autojump_clock: MockClock) -> None:
    devices = simulated(2)
    never = timedelta(days=30)
    async with server(devices, radio=Radio(uplink_interval=never)) as running:
        result = await running.carry_out(order(devices))
        assert [len(running.world.chirpstack.queue(device.dev_eui).items) for device in devices] == [1, 1]
        rows = await running.journal.logs(result.status.id, devices[0].dev_eui)
    assert rows is not None
    assert [row.command for row in rows] == ["McGroupSetupReq"]


async def test_every_command_of_an_uplink_is_read(autojump_clock: MockClock) -> None:
    """The answers arrive behind other commands, and before one that nobody knows."""

    def packed(uplink: Uplink) -> tuple[Uplink]:
        if uplink.f_port not in (200, 201):
            return (uplink,)
        version = bytes((0, {200: 2, 201: 3}[uplink.f_port], 1))
        return (attrs.evolve(uplink, data=version + uplink.data + b"\x7f\x01"),)

    devices = simulated(2)
    async with server(devices, uplinks=packed) as running:
        result = await running.carry_out(order(devices))
    assert result.states() == {Complete}


@pytest.mark.parametrize(
    ("change", "field"),
    [({}, "McGroupID"), ({"multicast_group_id": 1}, "FragIndex")],
)
async def test_a_device_is_in_one_live_deployment_at_a_time(
    change: dict[str, Any], field: str, autojump_clock: MockClock
) -> None:
    devices = simulated(2)
    async with server(devices) as running:
        first = await running.orders.take(order(devices))
        with pytest.raises(Conflict) as caught:
            await running.orders.take(order(devices[:1], **change))
        assert caught.value.deployment_id == first
        assert caught.value.field == field
        await running.end_of(first)
        second = await running.carry_out(order(devices[:1]))
    assert second.states() == {Complete}


async def test_a_device_takes_part_in_several_deployments_with_other_ids(autojump_clock: MockClock) -> None:
    devices = simulated(2)
    async with server(devices) as running:
        first = await running.orders.take(order(devices))
        second = await running.orders.take(
            order(devices, multicast_group_id=1, fragmentation_session_index=1)
        )
        for deployment_id in (first, second):
            assert (await running.end_of(deployment_id)).states() == {Complete}


REFUSALS: list[tuple[Behaviour, Reason]] = [
    (Behaviour(silent=True), Reason.NO_ANSWER),
    (Behaviour(memory=100), Reason.FRAGMENTATION_REFUSED),
    (
        Behaviour(refuses={McGroupSetupReq: McGroupSetupAns(mc_group_id=0, id_error=True)}),
        Reason.GROUP_REFUSED,
    ),
    *[
        (
            Behaviour(refuses={FragSessionSetupReq: FragSessionSetupAns(frag_index=0, **{bit: True})}),
            Reason.FRAGMENTATION_REFUSED,
        )
        for bit in (
            "encoding_unsupported",
            "not_enough_memory",
            "frag_session_index_not_supported",
            "wrong_descriptor",
        )
    ],
    *[
        (
            Behaviour(refuses={McClassCSessionReq: McClassCSessionAns(mc_group_id=0, **{bit: True})}),
            Reason.SESSION_REFUSED,
        )
        for bit in ("dr_error", "freq_error", "mc_group_undefined")
    ],
    (
        Behaviour(refuses={McClassCSessionReq: McClassCSessionAns(mc_group_id=0, start_missed=True)}),
        Reason.START_MISSED,
    ),
    (Behaviour(ignores=frozenset({FragSessionStatusReq})), Reason.NO_ANSWER),
    (Behaviour(wrong_root_key=True), Reason.INCOMPLETE),
]


@pytest.mark.parametrize(("behaviour", "expected"), REFUSALS)
async def test_one_bad_device_fails_alone_with_a_reason(
    behaviour: Behaviour, expected: Reason, autojump_clock: MockClock
) -> None:
    devices = simulated(3, lambda number: behaviour if number == 1 else Behaviour())
    async with server(devices) as running:
        result = await running.carry_out(order(devices))
    bad = result.state(devices[1].dev_eui)
    assert reason(bad) is expected
    assert bad.detail
    assert {type(result.state(device.dev_eui)) for device in (devices[0], devices[2])} == {Complete}


@pytest.mark.parametrize("bit", ["dr_error", "freq_error", "mc_group_undefined"])
async def test_one_that_refuses_class_b_fails_alone(bit: str, autojump_clock: MockClock) -> None:
    refusal = McClassBSessionAns(mc_group_id=0, **{bit: True})
    refusing = Behaviour(refuses={McClassBSessionReq: refusal})
    devices = simulated(3, lambda number: refusing if number == 1 else Behaviour())
    async with server(devices) as running:
        result = await running.carry_out(
            order(devices, multicast_group_type=MulticastClass.B, multicast_timeout=1)
        )
    assert reason(result.state(devices[1].dev_eui)) is Reason.SESSION_REFUSED
    assert {type(result.state(device.dev_eui)) for device in (devices[0], devices[2])} == {Complete}


async def test_a_device_the_network_does_not_know_fails_alone(autojump_clock: MockClock) -> None:
    devices = simulated(3)
    async with server(devices[:2]) as running:
        result = await running.carry_out(order(devices))
    assert reason(result.state(devices[2].dev_eui)) is Reason.UNKNOWN_DEVICE
    assert {type(result.state(device.dev_eui)) for device in devices[:2]} == {Complete}


async def test_when_nobody_is_left_nothing_is_multicast(autojump_clock: MockClock) -> None:
    devices = simulated(3, lambda _: Behaviour(silent=True))
    sent: list[bytes] = []
    async with server(devices) as running:
        multicast = running.network.multicast

        async def counted(group: KnownGroup, f_port: int, data: bytes) -> None:
            sent.append(data)
            await multicast(group, f_port, data)

        running.network.multicast = counted  # type: ignore[method-assign]
        result = await running.carry_out(order(devices))
        assert not running.world.chirpstack.groups
    assert result.why is Why.NOBODY_LEFT
    assert not sent
    assert Milestone.ENQUEUE not in result.status.milestones


async def test_an_outage_of_chirpstack_costs_time_and_nothing_else(autojump_clock: MockClock) -> None:
    devices = simulated(4)
    async with server(devices) as running:
        running.network.conditions.outage(timedelta(minutes=5))
        result = await running.carry_out(order(devices))
    assert result.states() == {Complete}


async def test_calls_that_fail_now_and_then_are_made_again(autojump_clock: MockClock) -> None:
    devices = simulated(4)
    async with server(devices) as running:
        running.network.conditions.failing = 0.1
        result = await running.carry_out(order(devices))
        assert not running.world.chirpstack.groups
    assert result.states() == {Complete}


async def test_lost_uplinks_are_asked_for_again(autojump_clock: MockClock) -> None:
    devices = simulated(6, lambda _: Behaviour(uplink_loss=0.2))
    async with server(devices) as running:
        result = await running.carry_out(order(devices, unicast_attempt_count=8))
    assert result.states() == {Complete}
