"""Whole deployments in virtual time, against devices that really decode."""

from datetime import timedelta
from typing import Any

import attrs
import pytest
from trio.testing import MockClock

from fuota.api.running import Running
from fuota.deployment.plan import MulticastClass, StatusRequest
from fuota.deployment.states import Why
from fuota.device.states import Complete, Released
from fuota.journal.port import Conflict, Milestone
from fuota.simulation.radio import Radio
from fuota.uplink import Uplink
from tests.campaign import IMAGE, order, server, simulated

ALL_MILESTONES = set(Milestone)


OF_DEVICES = ALL_MILESTONES - {Milestone.ENQUEUE}


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


async def test_an_order_that_is_written_while_the_server_stops_is_not_refused(
    autojump_clock: MockClock,
) -> None:
    devices = simulated(1)
    async with server(devices) as running:
        deployments = running.tree.find("/deployments")
        assert deployments is not None
        begin = Running(deployments).begin
    assert deployments.stopped
    orders = attrs.evolve(running.orders, begin=begin)
    assert await running.journal.summary(await orders.take(order(devices))) is not None
