"""A deployment is cancelled, wherever it stands: nothing is left behind, and its devices are free again."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import trio
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from trio.testing import MockClock

from fuota.api.cancellations import Cancellations
from fuota.api.running import Running
from fuota.deployment import states
from fuota.deployment.plan import MulticastClass
from fuota.deployment.states import Ended, State, Why
from fuota.device.states import Complete, Failed, Reason
from fuota.journal.port import Fenced, Journal
from fuota.simulation.behaviour import Behaviour
from tests.campaign import Server, order, server, serving, simulated, surroundings

LATE: dict[type[State], int] = {states.Transmitting: 20}
"""Fragments that have to be sent first."""


def cancellations(running: Server) -> Cancellations:
    deployments = running.tree.find("/deployments")
    assert deployments is not None
    return Cancellations(running.journal, Running(deployments))


async def until_it_is(journal: Journal, deployment_id: UUID, state: type[State]) -> None:
    with trio.fail_after(3600):
        while True:
            summary = await journal.summary(deployment_id)
            assert summary is not None
            if isinstance(summary.state, state) and getattr(summary.state, "sent", 0) >= LATE.get(state, 0):
                return
            await trio.sleep(0.1)


async def refusal(running: Server, deployment_id: UUID) -> tuple[Status, str | None]:
    with pytest.raises(GRPCError) as raised:
        await cancellations(running).take(deployment_id)
    return raised.value.status, raised.value.message


@pytest.mark.parametrize(
    "state",
    [
        states.SettingUpGroups,
        states.SettingUpFragments,
        states.ArrangingSession,
        states.AwaitingStart,
        states.Transmitting,
        states.AwaitingEnd,
        states.Settling,
    ],
)
@pytest.mark.parametrize("mc_class", MulticastClass)
async def test_in_every_state(
    state: type[State], mc_class: MulticastClass, autojump_clock: MockClock
) -> None:
    devices = simulated(4, lambda number: Behaviour(answer_delay=timedelta(seconds=8 * (number == 1))))
    time_out = 1 if mc_class is MulticastClass.B else 6
    ordered = order(devices, multicast_group_type=mc_class, multicast_timeout=time_out)
    async with server(devices) as running:
        running.network.conditions.latency = 0.3
        deployment_id = await running.orders.take(ordered)
        await until_it_is(running.journal, deployment_id, state)
        await cancellations(running).take(deployment_id)
        summary = await running.journal.summary(deployment_id)
        assert summary is not None
        assert getattr(summary.state, "why", None) is Why.CANCELLED
        result = await running.end_of(deployment_id, within=timedelta(minutes=1))
        assert result.why is Why.CANCELLED
        assert not running.world.chirpstack.groups
        for device in devices:
            end = result.state(device.dev_eui)
            assert isinstance(end, Complete) or end.reason is Reason.ABANDONED
        again = await running.carry_out(ordered)
    assert again.states() == {Complete}


@pytest.mark.parametrize("status", ["UNAVAILABLE", "UNAUTHENTICATED"])
async def test_while_chirpstack_is_away(status: str, autojump_clock: MockClock) -> None:
    """What has to be undone there is undone when it is back."""
    devices = simulated(3)
    async with server(devices) as running:
        running.network.conditions.outage(timedelta(hours=1), status)
        deployment_id = await running.orders.take(order(devices))
        await trio.sleep(60)
        await cancellations(running).take(deployment_id)
        await until_it_is(running.journal, deployment_id, states.CreatingGroupInVain)
        result = await running.end_of(deployment_id)
        assert not running.world.chirpstack.groups
    assert result.why is Why.CANCELLED
    assert {result.state(device.dev_eui).reason for device in devices} == {Reason.ABANDONED}


@pytest.mark.parametrize("status", ["UNAVAILABLE", "UNAUTHENTICATED"])
@pytest.mark.parametrize("again", [False, True], ids=["made", "made again"])
async def test_while_its_group_is_not_made_the_devices_are_free(
    again: bool, status: str, autojump_clock: MockClock
) -> None:
    """Only the deployment waits for the answer, for there may be a group to delete."""
    devices = simulated(3)
    ordered = order(devices)
    async with server(devices) as running:
        running.network.conditions.latency = 0.3
        deployment_id = await running.orders.take(ordered)
        if again:
            await until_it_is(running.journal, deployment_id, states.Transmitting)
            running.world.chirpstack.groups.clear()
            await until_it_is(running.journal, deployment_id, states.RestoringGroup)
        running.network.conditions.outage(timedelta(hours=1), status)
        await trio.sleep(60)
        await cancellations(running).take(deployment_id)
        await trio.sleep(60)
        cancelled = await running.journal.status(deployment_id)
        assert cancelled is not None
        assert cancelled.state == states.CreatingGroupInVain()
        assert {device.state for device in cancelled.devices} == {Failed(Reason.ABANDONED, "cancelled")}
        other = await running.carry_out(ordered)
        result = await running.end_of(deployment_id)
        assert not running.world.chirpstack.groups
    assert result.why is Why.CANCELLED
    assert other.states() == {Complete}


async def test_while_its_group_is_made_again(autojump_clock: MockClock) -> None:
    devices = simulated(3)
    async with server(devices) as running:
        running.network.conditions.latency = 0.3
        deployment_id = await running.orders.take(order(devices))
        await until_it_is(running.journal, deployment_id, states.Transmitting)
        running.world.chirpstack.groups.clear()
        await until_it_is(running.journal, deployment_id, states.RestoringGroup)
        await cancellations(running).take(deployment_id)
        await until_it_is(running.journal, deployment_id, states.CreatingGroupInVain)
        result = await running.end_of(deployment_id)
        await trio.sleep(60)
        assert not running.world.chirpstack.groups
    assert result.why is Why.CANCELLED


async def test_again_and_too_late(autojump_clock: MockClock) -> None:
    devices = simulated(2)
    async with server(devices) as running:
        deployment_id = await running.orders.take(order(devices))
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(cancellations(running).take, deployment_id)
        await cancellations(running).take(deployment_id)
        await running.end_of(deployment_id)
        await cancellations(running).take(deployment_id)

        done = await running.carry_out(order(devices))
        assert done.why is Why.DONE
        over = done.status.id
        assert await refusal(running, over) == (
            Status.FAILED_PRECONDITION,
            f"deployment {over} has ended: done",
        )
        nobody = uuid4()
        assert await refusal(running, nobody) == (Status.NOT_FOUND, f"there is no deployment {nobody}")


async def test_a_deployment_that_is_about_to_end_anyway(autojump_clock: MockClock) -> None:
    devices = simulated(2)
    async with server(devices) as running:
        deployment_id = await running.orders.take(order(devices))
        await until_it_is(running.journal, deployment_id, states.Settling)
        running.network.conditions.latency = 5
        await until_it_is(running.journal, deployment_id, states.DeletingGroup)
        status, said = await refusal(running, deployment_id)
        assert (status, said) == (
            Status.FAILED_PRECONDITION,
            f"deployment {deployment_id} is about to end: done",
        )
        assert (await running.end_of(deployment_id)).why is Why.DONE


async def test_the_process_dies_when_it_is_answered(autojump_clock: MockClock) -> None:
    devices = simulated(3)
    around = surroundings(devices)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        around.network.conditions.latency = 0.3
        async with serving(around) as running:
            deployment_id = await running.orders.take(order(devices))
            await until_it_is(running.journal, deployment_id, states.Transmitting)
            await cancellations(running).take(deployment_id)
        async with serving(around) as running:
            result = await running.end_of(deployment_id)
        nursery.cancel_scope.cancel()
    assert isinstance(result.status.state, Ended)
    assert result.why is Why.CANCELLED
    assert not around.world.chirpstack.groups
    assert {type(result.state(device.dev_eui)) for device in devices} == {Failed}


async def test_a_server_that_does_not_run_the_deployments_says_who_does(autojump_clock: MockClock) -> None:
    devices = simulated(1)
    async with server(devices) as running:
        deployment_id = await running.orders.take(order(devices))
        running.journal.ownership.lose("another server")
        with pytest.raises(Fenced, match="the deployments are run by another server"):
            await cancellations(running).take(deployment_id)
