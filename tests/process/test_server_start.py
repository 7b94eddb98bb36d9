"""How the server starts, or says in one line why it does not."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import psycopg
import pytest
import trio
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from fuota.journal import migrations
from fuota.simulation.behaviour import Behaviour
from tests.postgres.clusters import only_read
from tests.process.certificates import Authority, Issued
from tests.process.live import LOOK, Installation, Site, quick

NOBODY = "postgresql://127.0.0.1:1/fuota?user=fuota&password=secret"


def serving(address: str, ca_cert: Path | None, client: Issued | None) -> bool:
    """Whether a client of grpcio with these certificates is answered."""
    credentials = grpc.ssl_channel_credentials(
        ca_cert and ca_cert.read_bytes(),
        client and client.key.read_bytes(),
        client and client.cert.read_bytes(),
    )
    plain = ca_cert is None
    with grpc.insecure_channel(address) if plain else grpc.secure_channel(address, credentials) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        answer = check.future(HealthCheckRequest(), timeout=3)
        code = answer.code()  # waits
        assert code in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)
        return bool(code is grpc.StatusCode.OK and answer.result().status == HealthCheckResponse.SERVING)


@pytest.mark.parametrize("mutual", [False, True])
async def test_tls(mutual: bool, tmp_path: Path, dsn: str) -> None:
    authority, stranger = Authority(tmp_path, "authority"), Authority(tmp_path, "another")
    ca_cert, server, client = authority.own(), authority.issue("localhost"), authority.issue("client")
    api = {"tls_cert": str(server.cert), "tls_key": str(server.key)}
    if mutual:
        api["ca_cert"] = str(ca_cert)
    made = Installation.make(tmp_path, {"postgresql": {"dsn": dsn}, "fuota_server.api": api})
    async with made.serving() as running:

        async def answered(trust: Path | None, shown: Issued | None) -> bool:
            return await trio.to_thread.run_sync(serving, running.api, trust, shown)

        assert await answered(ca_cert, client)
        assert await answered(ca_cert, None) is not mutual
        assert await answered(ca_cert, stranger.issue("client")) is not mutual
        assert not await answered(None, None)
        assert await running.stop() == 0
    assert "Traceback" not in made.stderr


def bad_certificates(folder: Path) -> dict[str, object]:
    issued = [Authority(folder, "authority").issue(name) for name in ("localhost", "other")]
    return {"tls_cert": str(issued[0].cert), "tls_key": str(issued[1].key)}


async def test_what_is_wrong_is_one_line(tmp_path: Path, dsn: str) -> None:
    open_to_all = tmp_path / "\x1b[31mkey"
    open_to_all.write_text("ab" * 32)
    open_to_all.chmod(0o644)
    async with Installation.make(tmp_path, {"postgresql": {"dsn": dsn}}).serving() as running:
        in_use = running.debug.removeprefix("http://").rstrip("/")
        mistakes: list[tuple[dict[str, dict[str, object]], int, str]] = [
            ({"debug": {"bnid": "x"}}, 2, "there is no such key; did you mean debug.bind?"),
            ({"postgresql": {"dsn": "postgres://%%%"}}, 2, "[postgresql] dsn: "),
            ({"postgresql": {"dsn": f"{NOBODY}&sslmode=maybe"}}, 2, "[postgresql] dsn: sslmode must be "),
            ({"postgresql": {"dsn": "postgres://u:p@secret/1@db/x"}}, 2, "[postgresql] dsn: in a URI, an @ "),
            ({"postgresql": {"dsn": NOBODY.replace(":1/", ":abc/")}}, 2, "[postgresql] dsn: port must be "),
            ({"secrets": {"master_key": "ab"}}, 2, "secrets.master_key = (a secret): "),
            ({"secrets": {"key_file": "/dev/null/key"}}, 1, "[secrets] key_file: master key: "),
            ({"secrets": {"key_file": str(open_to_all)}}, 1, "/\\x1b[31mkey (mode 0644)"),
            (
                {"fuota_server.api": {"bind": in_use}},
                1,
                f"can not listen on {in_use}: Address already in use",
            ),
            ({"debug": {"bind": in_use}}, 1, f"can not listen on {in_use}: Address already in use"),
            ({"fuota_server.api": {"bind": "192.0.2.1:0"}}, 1, "can not listen on 192.0.2.1:0: "),
            ({"fuota_server.api": bad_certificates(tmp_path)}, 1, "KEY_VALUES_MISMATCH"),
        ]
        for tables, code, said in mistakes:
            folder = tmp_path / "bad"
            folder.mkdir(exist_ok=True)
            made = Installation.make(folder, {"postgresql": {"dsn": dsn}, **tables})
            got, stderr = await made.refused()
            assert (got, stderr.count("\n")) == (code, 1), (tables, stderr)
            assert stderr.startswith("fuota: ")
            assert said in stderr
            assert stderr.rstrip("\n").isprintable()


@pytest.mark.parametrize("events", ["application_server.event_handler.http", "chirpstack.event_handler.http"])
async def test_two_addresses_that_are_one(events: str, tmp_path: Path, free_port: int) -> None:
    """It is a mistake in the configuration, so the database that is away is not waited for."""
    bind = f"127.0.0.1:{free_port}"
    for one, other in (("fuota_server.api", events), (events, "debug"), ("fuota_server.api", "debug")):
        tables = {"postgresql": {"dsn": NOBODY}, events: {}, one: {"bind": bind}, other: {"bind": bind}}
        code, stderr = await Installation.make(tmp_path, tables).refused()
        assert (code, stderr.count("\n")) == (2, 1), stderr
        assert stderr.startswith(
            f'fuota: {other}.bind = "{bind}": {one}.bind = "{bind}" is in its way: each '
        )


async def test_another_master_key(tmp_path: Path, dsn: str, official_client: Any) -> None:
    """With a deployment under way, whose keys it can not open."""
    made = Installation.make(
        tmp_path, {"postgresql": {"dsn": dsn}, "application_server.api": {"server": "127.0.0.1:1"}}
    )
    async with made.serving() as running, official_client(running.api) as client:
        await Site(running, client).create(quick([Behaviour()]))
        assert await running.stop() == 0
    made.tables["secrets"] = {"master_key": "ab" * 32}
    code, stderr = await made.refused()
    assert (code, stderr.count("\n")) == (1, 1), stderr
    assert stderr.startswith("fuota: the McKey of deployment ")
    assert "sealed with another master key" in stderr


async def test_a_database_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    """It may be started later than the server; meanwhile the server can be stopped."""
    made = Installation.make(tmp_path, {"postgresql": {"dsn": NOBODY}})
    with trio.fail_after(10):
        async with made.running() as process:
            while "waiting for the database" not in made.stderr:  # noqa: ASYNC110  # a file tells nobody
                await trio.sleep(LOOK)
            process.terminate()
            assert await process.wait() == 0
    assert made.stderr.count("waiting for the database") == 1
    assert "Connection refused" in made.stderr
    assert "secret" not in made.stderr
    assert "Traceback" not in made.stderr


def leads_to(process: int, descriptor: int) -> str:
    return str(Path(f"/proc/{process}/fd/{descriptor}").readlink())


@pytest.mark.parametrize("closed", ["2>&-", "<&- 2>&-"])
async def test_a_standard_stream_that_is_closed_leads_nowhere(closed: str, tmp_path: Path, dsn: str) -> None:
    """And no socket takes its place, to which the next error would be written."""
    command, environ = Installation.make(tmp_path, {"postgresql": {"dsn": dsn}}).command()
    process = await trio.lowlevel.open_process(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command], env=environ, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    printed = b""
    with trio.fail_after(30):
        async with process.stdout as stdout:
            while b"debug endpoint listening" not in printed:
                received = await stdout.receive_some()
                assert received, "the server has ended"
                printed += received
            descriptors = [0, 2] if "<" in closed else [2]
            assert all(leads_to(process.pid, each) == "/dev/null" for each in descriptors)
            process.terminate()
            assert await process.wait() == 0


@contextmanager
def migrating(dsn: str) -> Iterator[None]:
    """Another server, which was frozen in its migration."""
    with psycopg.connect(dsn) as connection:
        connection.execute("select pg_advisory_xact_lock(%s)", [migrations.LOCK])
        yield
        connection.rollback()


@pytest.mark.parametrize(
    ("fault", "told"),
    [(migrating, "another server is migrating the database"), (only_read, "read-only transaction")],
    ids=["migrating", "only reads"],
)
async def test_a_database_that_can_not_be_prepared_is_waited_for(
    fault: Callable[[str], AbstractContextManager[None]], told: str, tmp_path: Path, dsn: str
) -> None:
    """It is said why, in one line, and the server starts when that is over."""
    made = Installation.make(tmp_path, {"postgresql": {"dsn": dsn}})
    with trio.fail_after(30):
        async with made.running() as process:
            with fault(dsn):
                while "waiting for the database" not in made.stderr:
                    assert process.poll() is None, made.stderr
                    await trio.sleep(LOOK)
                assert told in made.stderr
                await trio.sleep(1.5)  # it is tried again meanwhile
            while "[info] started" not in made.stderr:  # noqa: ASYNC110
                await trio.sleep(LOOK)
            process.terminate()
            assert await process.wait() == 0
    assert made.stderr.count("waiting for the database") == 1
    assert "Traceback" not in made.stderr


@pytest.mark.parametrize("token", ["", "some"])
async def test_an_open_debug_endpoint_is_warned_of(token: str, tmp_path: Path, dsn: str) -> None:
    made = Installation.make(
        tmp_path, {"postgresql": {"dsn": dsn}, "debug": {"bind": "0.0.0.0:0", "token": token}}
    )
    async with made.serving() as running:
        assert await running.stop() == 0
    assert ("set [debug] token" in made.stderr) is not bool(token)
