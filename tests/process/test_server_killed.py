"""The server is killed again and again, at random moments of one deployment to 200 devices."""

import signal
from datetime import timedelta
from pathlib import Path
from random import Random

import attrs
import psycopg
import pytest
import trio

from fuota.simulation.behaviour import Behaviour
from tests.process.generations import Generation
from tests.process.live import QUICK, Installation, chirpstack, complete, hold_the_image, quick, site

DEVICES = 200
WEIGHT = 5
"""Of a fragment, beside a step of a device."""
WHOLE = 4 * DEVICES + WEIGHT * 35
KILLS = 22
SEED = 20
RADIO = attrs.evolve(QUICK, uplink_interval=timedelta(seconds=1))
"""So many devices that speak more often would only keep the machine busy."""


PROGRESS = """
select
    (select count(mc_group_setup_completed_at) + count(frag_session_setup_completed_at)
        + count(mc_session_completed_at) + count(frag_status_completed_at) from deployment_device)
    + %s * (select coalesce((state->>'sent')::int, 0) from deployment)
"""


async def progress(dsn: str) -> int:
    """From 0 to WHOLE, more or less: never less than before, whatever has to be said twice."""

    def count() -> int:
        with psycopg.connect(dsn) as connection:
            row = connection.execute(PROGRESS, [WEIGHT]).fetchone()
            assert row is not None
            return int(row[0])

    return await trio.to_thread.run_sync(count)


async def until(dsn: str, number: float, within: float) -> None:
    """Return when it is so far, or the time is over."""
    with trio.move_on_after(within):
        while await progress(dsn) < number:  # noqa: ASYNC110  # the database tells nobody
            await trio.sleep(0.02)


async def state(dsn: str) -> str:
    def read() -> str:
        with psycopg.connect(dsn) as connection:
            row = connection.execute("select state->>'state' from deployment").fetchone()
            assert row is not None
            return str(row[0])

    return await trio.to_thread.run_sync(read)


@pytest.mark.alone
@pytest.mark.timeout(600)
async def test_a_deployment_outlives_twenty_deaths(tmp_path: Path, dsn: str, generation: Generation) -> None:
    random, seen = Random(SEED), set()
    devices = quick([Behaviour()] * DEVICES)
    async with chirpstack(devices, generation, radio=RADIO) as field:
        field.conditions.latency = 0.02  # of each call, so that every phase takes a while
        installation = Installation.make(tmp_path, field.tables(dsn))
        async with site(installation, field) as running:
            deployment_id = await running.create(
                devices, multicastTimeout=5, unicastTimeout="2s", unicastAttemptCount=50
            )
            await die(random, dsn, running.server.process, 0)
        for death in range(1, KILLS):
            async with installation.serving() as server, field.posted_to(server):
                await die(random, dsn, server.process, death)
            seen.add(await state(dsn))
        async with site(installation, field) as running:
            status = await running.end(deployment_id, within=300)
            await field.until(lambda: not field.groups)
            assert await running.server.crashes() == []
            assert await running.server.stop() == 0
    assert len(complete(status)) == DEVICES
    assert hold_the_image(devices)
    assert field.groups.ever == [f"fuota-{generation.uuid(deployment_id)}"]
    assert len(seen) >= 3, f"it died only in {seen}"
    check_history(dsn)
    assert "Traceback" not in installation.stderr


async def die(random: Random, dsn: str, process: trio.Process, death: int) -> None:
    """So far on the way as it is the turn of this death, or a while later if that takes too long."""
    await until(dsn, WHOLE * (death + random.random()) / KILLS, within=random.uniform(3, 6))
    await trio.sleep(random.uniform(0, 0.2))
    process.send_signal(signal.SIGKILL)
    await process.wait()


def check_history(dsn: str) -> None:
    """Versions without a gap; what is claimed to be sent grows, and never beyond what there is."""
    with psycopg.connect(dsn) as connection:
        gaps = connection.execute(
            "select dev_eui from transition group by deployment_id, dev_eui having max(version) <> count(*)"
        ).fetchall()
        assert not gaps
        claimed = connection.execute(
            "select (state->>'sent')::int from transition "
            "where dev_eui = '' and state ? 'sent' order by version"
        ).fetchall()
        numbers = [sent for (sent,) in claimed]
        assert numbers == sorted(numbers)
        assert numbers[-1] == 35
        assert connection.execute("select count(*) from deployment_device where live").fetchone() == (0,)
