"""The database goes away in the middle of a deployment, and comes back."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from fuota.lorawan.multicast import McGroupSetupAns, package
from fuota.simulation.behaviour import Behaviour
from fuota.uplink import Uplink
from tests.process.cluster import Cluster
from tests.process.generations import Generation
from tests.process.live import Field, Installation, Site, chirpstack, complete, hold_the_image, quick, site

Fault = Callable[[Cluster], Awaitable[None]]
Moment = Callable[[Field], Awaitable[None]]


async def in_the_set_up(field: Field) -> None:
    await field.until(lambda: any(group.members for group in field.groups.values()))


async def in_the_transmission(field: Field) -> None:
    await field.until_sent(3)


async def refused(site: Site) -> str:
    """The code that an order for one more device is answered with."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  # the client's own class, in another module
        await site.create(quick([Behaviour()] * 11)[-1:])
    return str(getattr(caught.value, "code", caught.value))


@pytest.mark.parametrize(
    ("moment", "gone", "back", "seconds"),
    [
        (in_the_set_up, Cluster.stop, Cluster.start, 0),
        (in_the_set_up, Cluster.kill, Cluster.start, 3),
        (in_the_transmission, Cluster.stop, Cluster.start, 30),
        (in_the_transmission, Cluster.kill, Cluster.start, 0),
        (in_the_transmission, Cluster.fill, Cluster.empty, 1),
        (in_the_transmission, Cluster.freeze, Cluster.thaw, 1),
    ],
    ids=[
        "set-up, restarted",
        "set-up, killed",
        "transmission, away for 30 s",
        "transmission, killed",
        "transmission, full",
        "transmission, frozen",
    ],
)
async def test_the_deployment_goes_on(
    moment: Moment,
    gone: Fault,
    back: Fault,
    seconds: float,
    tmp_path: Path,
    cluster: Cluster,
    generation: Generation,
) -> None:
    devices = quick([Behaviour()] * 10)
    async with chirpstack(devices, generation) as field:
        field.conditions.latency = 0.05  # the transmission takes its time
        installation = Installation.make(tmp_path, field.tables(cluster.dsn))
        async with site(installation, field) as running:
            deployment_id = await running.create(devices, multicastTimeout=4)
            await moment(field)
            await gone(cluster)
            if seconds:
                await running.server.until_it_says("readyz", lambda said: "postgresql" in said["ailments"])
                assert (await running.server.says("readyz"))[0] == 503
                assert await refused(running) == "UNAVAILABLE"
                await trio.sleep(seconds)
            await back(cluster)
            status = await running.end(deployment_id, within=90)
            await field.until(lambda: not field.groups)
            assert await running.server.crashes() == []
            assert (await running.server.says("readyz"))[0] == 200
            assert await running.server.stop() == 0
    assert len(complete(status)) == 10
    assert hold_the_image(devices)
    assert len(field.groups.ever) == 1
    assert "Traceback" not in installation.stderr


async def test_an_uplink_is_taken_when_it_is_safe_and_refused_when_that_takes_too_long(
    tmp_path: Path, cluster: Cluster, generation: Generation
) -> None:
    """What has come meanwhile is not forgotten: the device is further when the database is back."""
    devices = quick([Behaviour(silent=True)])
    async with chirpstack(devices, generation) as field:
        installation = Installation.make(tmp_path, field.tables(cluster.dsn))
        async with site(installation, field) as running:
            assert running.webhook is not None
            deployment_id = await running.create(devices, unicastTimeout="60s")
            await in_the_set_up(field)
            await field.until(lambda: field.world.chirpstack.queue(devices[0].dev_eui).next_f_cnt)
            await cluster.stop()
            taken, lost = running.webhook.taken, running.webhook.lost
            answer = package.write(McGroupSetupAns(mc_group_id=0, id_error=False), version=1)
            await running.webhook.deliver(
                Uplink(
                    dev_eui=devices[0].dev_eui,
                    f_port=package.port,
                    f_cnt=10_000,
                    data=answer,
                    received_at=datetime.now(UTC),
                )
            )
            assert running.webhook.lost == lost + 1
            assert running.webhook.taken >= taken
            await cluster.start()
            with trio.fail_after(20):
                while "mcGroupSetupCompletedAt" not in await running.status(deployment_id):  # noqa: ASYNC110
                    await trio.sleep(0.1)
            assert await running.server.crashes() == []
            assert await running.server.stop() == 0


@pytest.mark.parametrize("gone", [Cluster.stop, Cluster.freeze], ids=["away", "frozen"])
async def test_it_stops_in_time_though_the_database_is_gone(
    gone: Fault, tmp_path: Path, cluster: Cluster, generation: Generation
) -> None:
    devices = quick([Behaviour()] * 5)
    async with chirpstack(devices, generation) as field:
        installation = Installation.make(tmp_path, field.tables(cluster.dsn))
        async with site(installation, field) as running:
            await running.create(devices, multicastTimeout=4)
            await in_the_set_up(field)
            await gone(cluster)
            try:
                assert await running.server.stop() == 0
            finally:
                if gone is Cluster.freeze:
                    await cluster.thaw()
    assert "Traceback" not in installation.stderr
