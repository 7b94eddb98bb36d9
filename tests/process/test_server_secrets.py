"""After a whole deployment, with all that can go wrong in it, no secret is anywhere it should not be."""

import json
from hashlib import sha256
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psycopg
import pytest
import trio

from fuota.config.value import Bind
from fuota.generated.fuota_v1 import deployment_pb2 as pb
from fuota.generated.fuota_v1.deployment_grpc import DeploymentServiceStub
from fuota.journal.keyfile import keyring, load_or_create
from fuota.journal.sealing import Kind
from fuota.lorawan import keys
from fuota.rpc.client import call, connect
from fuota.simulation.behaviour import Behaviour
from tests.process.generations import Generation
from tests.process.live import (
    API_TOKEN,
    EVENT_TOKEN,
    IMAGE,
    Installation,
    chirpstack,
    complete,
    in_base64,
    quick,
    site,
)
from tests.secrets import traces

DEBUG_TOKEN = "the token of the debug endpoint"
PASSWORD = "the password of the database"
PAGES = ("", "?path=/deployments", "debug/actors?depth=8&limit=1000", "metrics", "healthz", "readyz")


def look(url: str, token: str = "", data: bytes | None = None) -> bytes:
    """What is answered, whatever the status, with its headers."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        with urlopen(Request(url, data, headers), timeout=5) as answer:
            return bytes(answer.read()) + str(answer.headers).encode()
    except HTTPError as refused:
        return bytes(refused.read()) + str(refused.headers).encode()


def dump(dsn: str) -> bytes:
    """All that is in the database, octets as they are and as text."""
    found = []
    with psycopg.connect(dsn) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        for (table,) in tables:
            for row in connection.execute(f"select * from {table}".encode()):
                found += [each if isinstance(each, bytes) else str(each).encode() for each in row]
    return b"\n".join(found)


def hang_up(dsn: str) -> None:
    """The database ends all sessions of the server."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name = 'fuota' and datname = current_database()"
        )


def mc_key(folder: Path, dsn: str) -> bytes:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("select id, mc_key from deployment").fetchone()
    assert row is not None
    return keyring(load_or_create(folder / "master.key")).open(row[1], Kind.MC_KEY, row[0])


async def test_no_secret_is_shown(tmp_path: Path, dsn: str, generation: Generation) -> None:
    devices = quick([Behaviour(), Behaviour(), Behaviour(silent=True), Behaviour(wrong_root_key=True)])
    places: dict[str, bytes] = {}
    async with chirpstack(devices, generation) as field:
        field.conditions.failing = 0.1
        installation = Installation.make(tmp_path, field.tables(f"{dsn} password='{PASSWORD}'"))
        installation.tables |= {
            "general": {"log_level": 5},
            "debug": {"bind": "127.0.0.1:0", "token": DEBUG_TOKEN},
            "secrets": {"key_file": str(tmp_path / "master.key")},
        }
        async with (
            site(installation, field) as running,
            connect(Bind.parse(running.server.api)) as channel,
        ):
            server, service = running.server, DeploymentServiceStub(channel)
            deployment_id = await running.create(devices)
            same = str(generation.uuid(deployment_id))

            async def ask(what: str, url: str, token: str = "", body: bytes | None = None) -> None:
                places[what] = await trio.to_thread.run_sync(look, url, token, body)

            async def visit(moment: str) -> None:
                for page in PAGES:
                    for token in (DEBUG_TOKEN, "wrong", ""):
                        await ask(f"{page} {moment} {len(token)}", f"{server.debug}{page}", token)
                for method, request in (
                    ("GetDeployment", pb.GetDeploymentRequest(id=same)),
                    ("ListDeployments", pb.ListDeploymentsRequest()),
                    ("ListDevices", pb.ListDevicesRequest(deployment_id=same)),
                ):
                    answer = await call(getattr(service, method), request, timeout=15)
                    places[f"{method} {moment}"] = answer.SerializeToString()

            await visit("in the set-up")
            for wrong in (
                {"multicastDr": 99, "devices": [{"devEui": "AA==", "mcRootKey": in_base64(bytes(3))}]},
                {},  # a conflict: the devices are taken
                {"payload": ""},
            ):
                with pytest.raises(Exception) as refused:  # noqa: PT011  # of another module
                    await running.create(devices, **wrong)
                places[f"the answer to {wrong}"] = repr(refused.value).encode()
            for number, body in enumerate((b"\x08", b'{"devEUI": 1}', EVENT_TOKEN.encode())):
                for token in (EVENT_TOKEN, "wrong"):
                    events = f"{server.integration}?event=up"
                    await ask(f"the answer to event {number} {len(token)}", events, token, body)
            await trio.to_thread.run_sync(hang_up, dsn)
            await field.until_sent(3)
            [group] = field.groups.values()
            session_keys = {
                "McNwkSKey": group.settings.mc_nwk_s_key,
                "McAppSKey": group.settings.mc_app_s_key,
            }
            await visit("in the transmission")
            field.conditions.outages.clear()
            status = await running.end(deployment_id)
            places["the status"] = json.dumps(status).encode()
            for device in devices:
                places[f"the log of {device.dev_eui}"] = json.dumps(
                    await running.logs(deployment_id, device)
                ).encode()
            await visit("at the end")
            assert await server.stop() == 0
    assert len(complete(status)) == 2
    places["what it said"] = installation.stderr.encode()
    places["the database"] = dump(dsn)
    for said in (b"[debug]", b"malformed event", b"in doubt: PostgreSQL", b"device failed"):
        assert said in places["what it said"]
    for method in ("GetDeployment", "ListDeployments"):
        assert sha256(IMAGE).digest() in places[f"{method} at the end"]
    for device in devices:
        assert str(device.dev_eui).encode() in places["ListDevices at the end"]
    key = mc_key(tmp_path, dsn)
    assert keys.mc_app_s_key(key, group.settings.mc_addr) == session_keys["McAppSKey"]
    secrets = {
        **session_keys,
        "McKey": key,
        "the master key": next(iter(load_or_create(tmp_path / "master.key").values())),
        "the API token": API_TOKEN.encode(),
        "the event token": EVENT_TOKEN.encode(),
        "the debug token": DEBUG_TOKEN.encode(),
        "the password": PASSWORD.encode(),
        **{f"the McRootKey of {device.dev_eui}": device.mc_root_key for device in devices},
        **{f"the McKEKey of {device.dev_eui}": keys.mc_ke_key(device.mc_root_key) for device in devices},
    }
    assert traces(places, secrets) == []
