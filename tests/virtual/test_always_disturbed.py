"""Something is away again and again, sooner than an answer has its time: all ends nevertheless."""

from datetime import timedelta

import pytest
import trio
from trio.testing import MockClock

from fuota.deployment.states import Ended
from fuota.device.machine import SPARED
from fuota.device.states import (
    AskingStatus,
    Complete,
    Failed,
    Reason,
    SettingUpFragments,
    SettingUpGroup,
    SettingUpSession,
    State,
)
from fuota.lorawan.fragmentation import FragSessionStatusReq
from fuota.simulation.behaviour import Behaviour
from tests.campaign import IMAGE, order, serving, simulated, surroundings

EVERY = 8.0
PATIENCE = timedelta(seconds=10)
ATTEMPTS = 2
"""Of these the last is made again while something is away; after a death of the process, both."""

SILENT = Behaviour(silent=True)
SILENT_IN_THE_END = Behaviour(ignores=frozenset({FragSessionStatusReq}))


@pytest.mark.parametrize("what", ["process", "database"])
@pytest.mark.parametrize("silent", [SILENT, SILENT_IN_THE_END], ids=["always", "in the end"])
async def test_a_silent_device_is_given_up(silent: Behaviour, what: str, autojump_clock: MockClock) -> None:
    devices = simulated(3, lambda number: silent if number == 2 else Behaviour())
    around = surroundings(devices)
    asked = order(devices, unicast_timeout=PATIENCE, unicast_attempt_count=ATTEMPTS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around) as running:
            deployment_id = await running.orders.take(asked)
        with trio.fail_after(3600):
            while True:
                async with serving(around) as running:
                    for _ in range(1 if what == "process" else 20):
                        await trio.sleep(EVERY)
                        running.services.health.disturbed()
                    status = await around.journal.status(deployment_id)
                assert status is not None
                if isinstance(status.state, Ended):
                    break
        nursery.cancel_scope.cancel()
    *others, last = [each.state for each in status.devices]
    assert {type(state) for state in others} == {Complete}
    assert {device.image for device in devices[:2]} == {IMAGE}
    assert isinstance(last, Failed)
    assert last.reason is Reason.NO_ANSWER
    spared = [getattr(each.state, "spared", 0) for each in around.journal.history]
    assert max(spared) == SPARED


@pytest.mark.parametrize("stage", [SettingUpGroup, SettingUpFragments, SettingUpSession, AskingStatus])
async def test_a_request_that_never_reaches_the_network_costs_nothing_however_often_the_process_dies(
    stage: type[State], autojump_clock: MockClock
) -> None:
    """Where a large fleet waits for a slow ChirpStack, no life of the process may be long enough."""
    devices = simulated(1)
    around = surroundings(devices)
    conditions, history = around.network.conditions, around.journal.history
    conditions.latency = 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around) as running:
            asked = order(devices, unicast_timeout=PATIENCE, unicast_attempt_count=1)
            deployment_id = await running.orders.take(asked)
            while not any(isinstance(each.state, stage) for each in history):  # noqa: ASYNC110
                await trio.sleep(0.1)
        conditions.latency = 60
        for _ in range(2 * SPARED):
            async with serving(around) as running:
                await trio.sleep(PATIENCE.total_seconds() + 5)
        conditions.latency = 0
        async with serving(around) as running:
            result = await running.end_of(deployment_id)
        nursery.cancel_scope.cancel()
    assert result.states() == {Complete}
    # the first time it may have been taken; and once more where a start has passed meanwhile
    assert max(getattr(each.state, "spared", 0) for each in history) <= 2
