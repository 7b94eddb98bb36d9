"""Two servers on one database: one runs the deployments, the other takes over when it ends, or hangs."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from fuota.simulation.behaviour import Behaviour
from fuota.uplink import Uplink
from tests.process.cluster import Cluster
from tests.process.generations import Generation
from tests.process.live import (
    Field,
    Installation,
    Server,
    Site,
    chirpstack,
    complete,
    hold_the_image,
    quick,
    runs_nothing,
)


@asynccontextmanager
async def posted_to_both(field: Field, *servers: Server) -> AsyncIterator[None]:
    """ChirpStack's integration has both addresses."""
    async with (
        field.webhook(servers[0]) as one,
        field.webhook(servers[1]) as other,
    ):

        async def deliver(uplink: Uplink) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.deliver, uplink)
                nursery.start_soon(other.deliver, uplink)

        field.deliver = deliver
        try:
            yield
        finally:
            field.deliver = None


def installations(folder: Path, field: Field, dsn: str) -> list[Installation]:
    made = []
    for name in ("first", "second"):
        (folder / name).mkdir()
        made.append(Installation.make(folder / name, field.tables(dsn)))
        made[-1].tables["secrets"] = {"key_file": str(folder / "master.key")}
    return made


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP], ids=lambda how: how.name)
async def test_the_second_takes_over(
    how: signal.Signals, tmp_path: Path, dsn: str, generation: Generation
) -> None:
    devices = quick([Behaviour()] * 5)
    async with chirpstack(devices, generation) as field:
        first, second = installations(tmp_path, field, dsn)
        field.conditions.latency = 0.1  # the transmission takes its time
        async with (
            first.serving() as owner,
            second.serving() as standby,
            generation.client(owner.api) as client,
            generation.client(standby.api) as other,
            posted_to_both(field, owner, standby),
        ):
            code, said = await standby.says("readyz")
            assert code == 503
            assert f"process {owner.process.pid}" in said["ailments"]["ownership"]
            with pytest.raises(Exception, match=f"run by .*process {owner.process.pid}"):
                await Site(standby, other, generation=generation).create(devices)
            deployment_id = await Site(owner, client, generation=generation).create(
                devices, multicastTimeout=4
            )
            await field.until_sent(3)
            assert runs_nothing(await standby.look("debug/actors?path=/deployments"))
            await field.until_called()  # a call that the owner is about to make can be held back by nobody
            if how is signal.SIGTERM:
                assert await owner.stop() == 0
            else:
                owner.process.send_signal(how)
            if how is signal.SIGKILL:
                await owner.process.wait()  # so that it is gone for the other, too
            await standby.until_it_says("readyz", lambda said: "ownership" not in said["ailments"], within=30)
            status = await Site(standby, other, generation=generation).end(deployment_id, within=90)
            await field.until(lambda: not field.groups)
            calls = field.conditions.calls
            if how is signal.SIGSTOP:
                owner.process.send_signal(signal.SIGCONT)
                await owner.until_it_says(
                    "readyz", lambda said: "run by" in said["ailments"].get("ownership", "")
                )
                await owner.until_it_says("debug/actors?path=/deployments", runs_nothing)
                assert await owner.crashes() == []
                assert await owner.stop() == 0
            assert await standby.crashes() == []
            assert await standby.stop() == 0
            assert field.conditions.calls == calls, "who is fenced calls nobody"
    assert len(complete(status)) == 5
    assert hold_the_image(devices)
    assert len(field.groups.ever) == 1
    assert "Traceback" not in first.stderr + second.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
async def test_the_second_waits_for_the_data_directory(
    how: signal.Signals, tmp_path: Path, generation: Generation
) -> None:
    """The embedded PostgreSQL is one server's; it says whose."""
    devices = quick([Behaviour()] * 3)
    async with chirpstack(devices, generation) as field:
        first, second = installations(tmp_path, field, dsn="")
        for each in (first, second):
            each.tables["postgresql"] = {"data_dir": str(tmp_path / "data")}
        async with (
            first.serving() as owner,
            generation.client(owner.api) as client,
            field.posted_to(owner),
            trio.open_nursery() as nursery,
        ):
            deployment_id = await Site(owner, client, generation=generation).create(devices)

            async def end_the_first() -> None:
                await field.until(lambda: "waiting for the database" in second.stderr)
                owner.process.send_signal(how)
                await owner.process.wait()

            nursery.start_soon(end_the_first)
            async with (
                second.serving() as standby,
                generation.client(standby.api) as other,
                field.posted_to(standby),
            ):
                status = await Site(standby, other, generation=generation).end(deployment_id)
                assert await standby.stop() == 0
    assert len(complete(status)) == 3
    assert second.stderr.count("waiting for the database") == 1
    assert f"database='the embedded PostgreSQL in {tmp_path}/data'" in first.stderr
    assert f"data is in use by process {owner.process.pid}" in second.stderr
    assert "Traceback" not in first.stderr + second.stderr


async def test_a_standby_with_another_master_key_says_so_and_ends(
    tmp_path: Path, dsn: str, generation: Generation
) -> None:
    """When it would have to take over; the owner had begun nothing when the other was started."""
    devices = quick([Behaviour()])
    async with chirpstack(devices, generation) as field:
        first, second = installations(tmp_path, field, dsn)
        del second.tables["secrets"]
        async with (
            first.serving() as owner,
            second.serving() as standby,
            generation.client(owner.api) as client,
        ):
            await Site(owner, client, generation=generation).create(devices)
            owner.process.send_signal(signal.SIGKILL)
            await owner.process.wait()
            with trio.fail_after(30):
                assert await standby.process.wait() == 1
    assert "sealed with another master key" in second.stderr.splitlines()[-1]
    assert "Traceback" not in second.stderr


async def test_a_restart_of_the_database_moves_nothing(
    tmp_path: Path, cluster: Cluster, generation: Generation
) -> None:
    """Although the lock of the owner is free then, and the other server asks for it."""
    devices = quick([Behaviour()] * 5)
    async with chirpstack(devices, generation) as field:
        first, second = installations(tmp_path, field, cluster.dsn)
        field.conditions.latency = 0.05  # the transmission takes its time
        async with (
            first.serving() as owner,
            second.serving() as standby,
            generation.client(owner.api) as client,
            posted_to_both(field, owner, standby),
        ):
            deployment_id = await Site(owner, client, generation=generation).create(
                devices, multicastTimeout=4
            )
            await field.until_sent(3)
            await cluster.stop()
            await cluster.start()
            status = await Site(owner, client, generation=generation).end(deployment_id, within=90)
            for server in (standby, owner):
                assert runs_nothing(await server.look("debug/actors?path=/deployments"))
                assert await server.crashes() == []
                assert await server.stop() == 0
    assert len(complete(status)) == 5
    assert second.stderr.count("this server runs the deployments now") == 0
