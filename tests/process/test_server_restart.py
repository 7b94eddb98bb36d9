"""The server ends in the middle of a deployment, and goes on with it when it is started again."""

import signal
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
import trio

from fuota.config.value import Bind
from fuota.journal import holder
from fuota.postgresql import open_postgresql
from fuota.simulation.behaviour import Behaviour
from tests.postgres.clusters import value
from tests.process.generations import Generation
from tests.process.live import (
    EVENT_TOKEN,
    Field,
    Installation,
    chirpstack,
    complete,
    hold_the_image,
    quick,
    site,
)

PHASES = (
    "SettingUpGroups",
    "SettingUpFragments",
    "ArrangingSession",
    "AwaitingStart",
    "Transmitting",
    "AwaitingEnd",
    "Settling",
    "DeletingGroup",
)
"""In their order; in the first of all, CreatingGroup, it is stopped as soon as the order is taken."""


async def test_it_ends_four_times(tmp_path: Path, dsn: str, generation: Generation) -> None:
    """Asked to and killed, in the set-up and in the transmission."""
    devices = quick([Behaviour()] * 5)
    async with chirpstack(devices, generation) as field:
        field.conditions.latency = 0.05  # the transmission takes its time
        installation = Installation.make(tmp_path, field.tables(dsn))
        async with site(installation, field) as running:
            deployment_id = await running.create(devices, multicastTimeout=4)
            await field.until(lambda: any(group.members for group in field.groups.values()))
            assert await running.server.stop() == 0
        for number, code, sent in (
            (signal.SIGKILL, -signal.SIGKILL, 0),
            (signal.SIGTERM, 0, 3),
            (signal.SIGKILL, -signal.SIGKILL, 6),
        ):
            async with installation.serving() as server, field.posted_to(server):
                await field.until_sent(sent)
                assert await server.stop(number) == code
        assert not hold_the_image(devices)
        async with site(installation, field) as running:
            status = await running.end(deployment_id)
            await field.until(lambda: not field.groups)
            assert await running.server.stop() == 0
    assert len(complete(status)) == 5
    assert hold_the_image(devices)
    assert field.groups.ever == [f"fuota-{generation.uuid(deployment_id)}"]
    assert_gap_free(dsn)
    assert "Traceback" not in installation.stderr


async def test_it_is_asked_to_stop_in_every_phase(tmp_path: Path, dsn: str, generation: Generation) -> None:
    """As soon as the deployment has entered it, and before its first call is answered."""
    devices = quick([Behaviour()] * 3)
    async with chirpstack(devices, generation) as field:
        field.conditions.latency = 0.1
        installation = Installation.make(tmp_path, field.tables(dsn))
        async with site(installation, field) as running:
            deployment_id = await running.create(
                devices, requestFragmentationSessionStatus="AFTER_SESSION_TIMEOUT"
            )
            assert await running.server.stop() == 0
        for number, phase in enumerate(PHASES):
            async with installation.serving() as server, field.posted_to(server):
                await until_entered(field, installation, phase)
                assert await server.stop((signal.SIGTERM, signal.SIGINT)[number % 2]) == 0
        async with site(installation, field) as running:
            status = await running.end(deployment_id)
            await field.until(lambda: not field.groups)
            assert await running.server.stop() == 0
    assert len(complete(status)) == 3
    assert hold_the_image(devices)
    assert len(field.groups.ever) == 1
    assert "Traceback" not in installation.stderr


async def until_entered(field: Field, installation: Installation, phase: str) -> None:
    await field.until(lambda: f"state={phase}" in installation.stderr)


def assert_gap_free(dsn: str) -> None:
    """The versions of each actor's transitions are 1, 2, 3…, and the last of them has ended."""
    versions: dict[bytes, list[int]] = defaultdict(list)
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("select dev_eui, version, live from transition order by version")
        last: dict[bytes, bool] = {}
        for dev_eui, version, live in rows:
            versions[dev_eui].append(version)
            last[dev_eui] = live
    assert len(versions) == 6
    for numbers in versions.values():
        first = numbers[0]
        assert numbers == list(range(first, first + len(numbers)))
        assert first in (1, 2)  # the first is the creation, which may have no row of its own
    assert not any(last.values())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_the_embedded_postgresql_waits_for_it(
    number: signal.Signals, tmp_path: Path, generation: Generation
) -> None:
    """Nobody is hung up on, and the last word is written: there is no owner any more."""
    devices = quick([Behaviour()] * 5)
    async with chirpstack(devices, generation) as field:
        field.conditions.latency = 0.05
        installation = Installation.make(tmp_path, field.tables(""))
        installation.tables["postgresql"] = {"data_dir": str(tmp_path / "data")}
        async with site(installation, field) as running:
            await running.create(devices, multicastTimeout=4)
            await field.until_sent(3)
            assert await running.server.stop(number) == 0
    assert "[postgresql]" not in installation.stderr
    async with open_postgresql(tmp_path / "data") as dsn:
        assert value(dsn, "select holder from ownership") == holder.NOBODY


HALF = f"""POST /?event=up HTTP/1.1\r
Host: x\r
Authorization: Bearer {EVENT_TOKEN}\r
Content-Length: 8\r
\r
half""".encode()


async def test_asked_to_stop_twice_it_stops_at_once(tmp_path: Path, dsn: str) -> None:
    """A peer that has sent half a request is given some seconds to send the rest, but not when in a hurry:
    what comes after the second signal is not answered any more."""
    async with chirpstack(quick([Behaviour()])) as field:
        installation = Installation.make(tmp_path, field.tables(dsn))
        async with installation.serving() as server:
            integration = Bind.parse(server.integration.removeprefix("http://").rstrip("/"))
            async with await trio.open_tcp_stream(integration.host, integration.port) as half:
                await half.send_all(HALF)
                await server.look("healthz")  # by then the half has arrived
                server.process.send_signal(signal.SIGTERM)
                await field.until(lambda: "stopping" in installation.stderr)
                server.process.send_signal(signal.SIGTERM)
                answer = b""
                with suppress(trio.BrokenResourceError):  # it may have ended by now
                    await half.send_all(b" now")
                    answer = await half.receive_some()
                assert answer == b""
                assert await server.process.wait() == 128 + signal.SIGTERM


async def test_stops_in_time_though_chirpstack_hangs(
    tmp_path: Path, dsn: str, generation: Generation
) -> None:
    """No call to it comes back, while more deployments wait than there may be calls."""
    devices = quick([Behaviour()] * 34)
    async with chirpstack(devices, generation) as field:
        field.conditions.latency = 60
        installation = Installation.make(tmp_path, field.tables(dsn))
        async with site(installation, field) as running:
            taken = [await running.create([device]) for device in devices]
            assert await running.server.stop(signal.SIGINT) == 0
        async with site(installation, field) as running:
            assert [len((await running.status(each))["deviceStatus"]) for each in taken] == [1] * 34
    assert "Traceback" not in installation.stderr
