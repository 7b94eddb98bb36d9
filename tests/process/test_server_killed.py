"""The server is killed again and again, all the way through one deployment to 200 devices."""

import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random

import attrs
import psycopg
import pytest
import trio

from fuota.simulation.behaviour import Behaviour
from tests.process.generations import Generation
from tests.process.live import LOOK, QUICK, Installation, chirpstack, complete, hold_the_image, quick, site

DEVICES = 200
WEIGHT = 5
"""Of a fragment, beside a step of a device."""
WHOLE = 4 * DEVICES + WEIGHT * 35
FAR = 0.95
"""It is at the last death: later, it may have ended before it is seen to be so far."""
KILLS = 22
SEED = 20
RADIO = attrs.evolve(QUICK, uplink_interval=timedelta(seconds=4))
"""So many devices that speak more often would only keep the machine busy."""

STANDING = """
select
    (select count(mc_group_setup_completed_at) + count(frag_session_setup_completed_at)
        + count(mc_session_completed_at) + count(frag_status_completed_at) from deployment_device)
    + %s * (select coalesce(max((state->>'sent')::int), 0) from transition where dev_eui = ''),
    state->>'state', live
from deployment
"""


@attrs.frozen
class Standing:
    """Of the deployment."""

    progress: int
    """From 0 to WHOLE: never less than before, whatever has to be said or sent twice."""
    state: str
    live: bool


Look = Callable[[], Awaitable[Standing]]


@pytest.fixture
def look(dsn: str) -> Iterator[Look]:
    """At the deployment, by one connection: to make another each time would keep the machine busy, too."""
    with psycopg.connect(dsn, autocommit=True) as connection:

        def read() -> Standing:
            row = connection.execute(STANDING, [WEIGHT]).fetchone()
            assert row is not None
            return Standing(*row)

        yield partial(trio.to_thread.run_sync, read)


@pytest.mark.alone
@pytest.mark.timeout(600)
async def test_a_deployment_outlives_twenty_deaths(
    tmp_path: Path, dsn: str, generation: Generation, look: Look
) -> None:
    random, devices = Random(SEED), quick([Behaviour()] * DEVICES)
    async with chirpstack(devices, generation, radio=RADIO) as field:
        field.conditions.latency = 0.02  # of each call, so that every phase takes a while
        installation = Installation.make(tmp_path, field.tables(dsn))
        async with site(installation, field) as running:
            deployment_id = await running.create(
                devices, multicastTimeout=7, unicastTimeout="6s", unicastAttemptCount=12
            )
            deaths = [await die(random, look, running.server.process, [])]
        while len(deaths) < KILLS:
            async with installation.serving() as server, field.posted_to(server):
                deaths.append(await die(random, look, server.process, deaths))
        async with site(installation, field) as running:
            status = await running.end(deployment_id, within=300)
            await field.until(lambda: not field.groups)
            assert await running.server.crashes() == []
            assert await running.server.stop() == 0
    assert len(complete(status)) == DEVICES
    assert hold_the_image(devices)
    assert field.groups.ever == [f"fuota-{generation.uuid(deployment_id)}"]
    assert {4 * death.progress // WHOLE for death in deaths} == {0, 1, 2, 3}
    assert len({death.state for death in deaths}) >= 3, deaths
    check_history(dsn)
    assert "Traceback" not in installation.stderr


async def die(random: Random, look: Look, process: trio.Process, before: Sequence[Standing]) -> Standing:
    """Kill it when the deployment is so far as is the turn of this death, and further than at the last one.

    What the deployment is seen to be afterwards, nobody is left to change: so it was when the server died.
    """
    number = FAR * WHOLE * (len(before) + random.random()) / KILLS
    if before:
        number = max(number, before[-1].progress + 1)
    while (seen := await look()).progress < number:
        assert seen.live, "it has ended too soon"
        assert process.poll() is None, "the server has ended by itself"
        await trio.sleep(LOOK)
    await trio.sleep(random.uniform(0, 0.2))  # not always just after a commit
    process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    left = await look()
    assert left.live, "it had ended when the server was killed"
    return left


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
