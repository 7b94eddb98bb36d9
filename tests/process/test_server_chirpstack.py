"""ChirpStack on bad days: nobody there, answers are lost, connections freeze or break, tokens are wrong."""

from pathlib import Path
from uuid import UUID

import trio

from fuota.simulation.behaviour import Behaviour
from tests.process.generations import FOUR, THREE, Generation
from tests.process.live import (
    API_TOKEN,
    Installation,
    Server,
    chirpstack,
    complete,
    hold_the_image,
    quick,
    runs_nothing,
    site,
)
from tests.process.operators import operator
from tests.process.wire import open_wire


async def test_connections_freeze_and_break(tmp_path: Path, dsn: str, generation: Generation) -> None:
    """In the set-up answers are lost: of such a call nobody knows whether it has been carried out."""
    devices = quick([Behaviour()] * 6)
    async with chirpstack(devices, generation) as field, open_wire(field.address) as wire:
        field.conditions.latency = 0.05  # the transmission takes its time
        tables = field.tables(dsn)
        tables[generation.api]["server"] = wire.address
        installation = Installation.make(tmp_path, tables)
        async with site(installation, field) as running:
            field.conditions.unsaid = 0.5
            deployment_id = await running.create(devices, multicastTimeout=4, unicastAttemptCount=12)
            await field.until(lambda: field.groups)
            wire.cut()
            await field.until_sent(5)
            field.conditions.unsaid = 0
            wire.frozen, known = True, wire.connections
            await field.until(lambda: wire.connections > known)  # the frozen one was left
            wire.frozen = False
            await field.until_sent(10)
            wire.cut()
            status = await running.end(deployment_id, within=90)
            await field.until(lambda: not field.groups)
            assert await running.server.crashes() == []
            assert await running.server.look("healthz") == {"ailments": {}}
            assert await running.server.stop() == 0
    assert len(complete(status)) == 6
    assert hold_the_image(devices)
    assert len(field.groups.ever) == 1
    assert "Traceback" not in installation.stderr


async def test_a_port_that_is_closed_is_waited_for(
    tmp_path: Path, dsn: str, generation: Generation, free_port: int
) -> None:
    """ChirpStack is started later than the server."""
    devices = quick([Behaviour()] * 2)
    async with chirpstack(devices, generation) as field:
        tables = field.tables(dsn)
        tables[generation.api]["server"] = f"127.0.0.1:{free_port}"
        installation = Installation.make(tmp_path, tables)
        async with site(installation, field) as running:
            deployment_id = await running.create(devices)
            await running.server.until_it_says("readyz", lambda said: "chirpstack" in said["ailments"])
            code, said = await running.server.says("readyz")
            assert code == 503
            assert "Connect call failed" in said["ailments"]["chirpstack"]
            assert "Connect call failed" in await trouble(running.server, generation.uuid(deployment_id))
            async with open_wire(field.address, free_port):
                status = await running.end(deployment_id)
                assert (await running.server.says("readyz"))[0] == 200
                assert await running.server.crashes() == []
                assert await running.server.stop() == 0
    assert len(complete(status)) == 2
    assert hold_the_image(devices)
    assert "ailing" in installation.stderr
    assert "recovered" in installation.stderr
    assert "Traceback" not in installation.stderr


async def test_a_wrong_token_is_mended(tmp_path: Path, dsn: str, generation: Generation) -> None:
    """Before anything was done, and in the middle: the server is started again with the right one."""
    devices = quick([Behaviour()] * 4)
    async with chirpstack(devices, generation) as field:
        tables = field.tables(dsn)
        installation = Installation.make(tmp_path, tables)
        api = installation.tables[generation.api]
        api["token"] = "of yesterday"
        async with site(installation, field) as running:
            deployment_id = generation.uuid(told := await running.create(devices))
            await refused(running.server, installation, deployment_id, times=1)
            assert await running.server.stop() == 0
        api["token"] = API_TOKEN
        async with installation.serving() as server, field.posted_to(server):
            await field.until(lambda: any(group.members for group in field.groups.values()))
            assert await server.stop() == 0
        api["token"] = "of tomorrow"
        async with installation.serving() as server, field.posted_to(server):
            await refused(server, installation, deployment_id, times=2)
            assert await server.stop() == 0
        api["token"] = API_TOKEN
        async with site(installation, field) as running:
            status = await running.end(told)
            assert await running.server.look("healthz") == {"ailments": {}}
            assert await trouble(running.server, deployment_id) == ""
    assert len(complete(status)) == 4
    assert hold_the_image(devices)
    assert "device failed" not in installation.stderr


async def test_an_application_that_is_not_the_tokens_ends_the_deployment(tmp_path: Path, dsn: str) -> None:
    """A token of one tenant is told so in the same words as a wrong one; nobody has to mend anything here."""
    devices = quick([Behaviour()] * 2)
    async with chirpstack(devices, FOUR) as field:
        field.conditions.limited = True
        installation = Installation.make(tmp_path, field.tables(dsn))
        async with site(installation, field) as running:
            await running.create(devices, applicationId=str(UUID(int=7)))
            await field.until(lambda: "good otherwise" in installation.stderr)
            await running.server.until_it_says("debug/actors?path=/deployments", runs_nothing)
            deployment_id = await running.create(devices)
            status = await running.end(deployment_id)
            assert await running.server.look("healthz") == {"ailments": {}}
            assert await running.server.stop() == 0
    assert len(complete(status)) == 2
    assert "refuses the token" not in installation.stderr


async def refused(server: Server, installation: Installation, deployment_id: UUID, *, times: int) -> None:
    """Everything says that the token is refused, and goes on waiting; the log says it once in each life."""
    await server.until_it_says("readyz", lambda said: "token" in said["ailments"].get("chirpstack", ""))
    tree = await server.look("debug/actors?path=/deployments&depth=2")
    assert "not authorized" in " ".join(str(child["description"]) for child in tree["children"])
    assert "not authorized" in await trouble(server, deployment_id)
    await trio.sleep(1)  # some more calls are refused meanwhile
    errors = [line for line in installation.stderr.splitlines() if "[error]" in line]
    assert len(errors) == times
    assert "refuses the token" in errors[-1]
    assert "of yesterday" not in installation.stderr


async def trouble(server: Server, deployment_id: UUID) -> str:
    """What `fuota.v1` says of it, which is the same beside both generations."""
    async with operator(server.api, THREE) as ask:
        return (await ask.get(str(deployment_id))).trouble
