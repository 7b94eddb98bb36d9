"""Somebody deletes a deployment from the database while it runs, or restores a backup from before it."""

import pytest
import structlog
import trio
from trio.testing import MockClock

from fuota.deployment.states import Why
from fuota.device.states import Complete
from fuota.journal.memory import MemoryJournal
from tests.campaign import order, server, simulated


@pytest.mark.parametrize("after", [1, 10, 40, 80], ids="after {} s".format)
async def test_a_deployment_that_is_deleted_while_it_runs_is_told_of_in_one_line(
    after: float, autojump_clock: MockClock
) -> None:
    """However many of its actors find out; other deployments go on."""
    journal, devices = MemoryJournal(), simulated(12)
    async with server(devices, journal=journal) as running:
        running.network.conditions.latency = 0.2
        deleted = await running.orders.take(order(devices[:10]))
        other = await running.orders.take(order(devices[10:]))
        await trio.sleep(after)
        with structlog.testing.capture_logs() as said:
            journal.delete(deleted)
            result = await running.end_of(other)
    assert (result.why, result.states()) == (Why.DONE, {Complete})
    (line,) = [line for line in said if line["log_level"] == "error"]
    assert (line["id"], line["group"]) == (str(deleted), f"fuota-{deleted}")
