"""What a running server answers to those who ask for something wrong, and to those who ask what it is."""

import base64
import http.client
import json
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc  # type: ignore[import-untyped]
import psycopg
import pytest
import trio
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpclib.reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from fuota.simulation.behaviour import Behaviour
from tests.process.clients import CallFailed
from tests.process.live import EVENT_TOKEN, Installation, Site, in_base64, quick

NOWHERE = "127.0.0.1:1"
"""No ChirpStack: deployments wait for it for ever."""


def installation(folder: Path, dsn: str) -> Installation:
    return Installation.make(
        folder,
        {
            "postgresql": {"dsn": dsn},
            "application_server.api": {"server": NOWHERE},
            "application_server.event_handler.http": {"token": EVENT_TOKEN},
        },
    )


async def refusal(call: Any) -> CallFailed:
    with pytest.raises(CallFailed) as raised:
        await call
    return raised.value


async def test_the_api_says_what_is_wrong(tmp_path: Path, dsn: str, official_client: Any) -> None:
    made = installation(tmp_path, dsn)
    async with made.serving() as server, official_client(server.api) as client:
        asking = Site(server, client)
        await every_bad_field_at_once(asking)
        await conflicts(asking)
        await ids(asking)
        await sizes(asking)
        assert await server.stop() == 0
    assert "Traceback" not in made.stderr


async def every_bad_field_at_once(site: Site) -> None:
    bad = {
        "devices": [{"devEui": in_base64(bytes(7)), "mcRootKey": in_base64(bytes(15))}],
        "multicastGroupType": "CLASS_B",
        "multicastDr": 16,
        "multicastPingSlotPeriod": 33,
        "multicastFrequency": 869_525_050,
        "multicastGroupId": 4,
        "multicastTimeout": 16,
        "unicastTimeout": "0s",
        "fragmentationFragmentSize": 0,
        "fragmentationRedundancy": 16384,
        "fragmentationSessionIndex": 4,
        "fragmentationMatrix": 1,
        "fragmentationBlockAckDelay": 8,
        "fragmentationDescriptor": in_base64(bytes(3)),
        "requestFragmentationSessionStatus": 3,
    }
    error = await refusal(site.client("CreateDeployment", deployment=bad))
    assert error.code == "INVALID_ARGUMENT"
    assert set(error.violations) == {
        "application_id",
        "devices[0].dev_eui",
        "devices[0].mc_root_key",
        "multicast_dr",
        "multicast_ping_slot_period",
        "multicast_frequency",
        "multicast_group_id",
        "multicast_timeout",
        "unicast_timeout",
        "unicast_attempt_count",
        "fragmentation_fragment_size",
        "payload",
        "fragmentation_redundancy",
        "fragmentation_session_index",
        "fragmentation_matrix",
        "fragmentation_block_ack_delay",
        "fragmentation_descriptor",
        "request_fragmentation_session_status",
    }
    for field, description in error.violations.items():
        assert f"{field} {description}" in error.detail
    missing = await refusal(site.client("CreateDeployment"))
    assert (missing.code, missing.violations) == ("INVALID_ARGUMENT", {"deployment": "is missing"})
    too_long = await refusal(site.create(quick([Behaviour()]), multicastTimeout=0))
    assert too_long.code == "INVALID_ARGUMENT"
    assert set(too_long.violations) == {"multicast_timeout"}


async def conflicts(site: Site) -> None:
    devices = quick([Behaviour()] * 3)
    first = await site.create(devices[:2])
    for change, field in (({}, "McGroupID 0"), ({"multicastGroupId": 1}, "FragIndex 0")):
        error = await refusal(site.create(devices[1:], **change))
        assert error.code == "FAILED_PRECONDITION"
        assert str(UUID(bytes=base64.b64decode(first))) in error.detail
        assert str(devices[1].dev_eui) in error.detail
        assert field in error.detail
    await site.create(devices[1:], multicastGroupId=1, fragmentationSessionIndex=1)


async def ids(site: Site) -> None:
    unknown = uuid4()
    answers = [
        await refusal(site.client("GetDeploymentStatus", id=in_base64(unknown.bytes))),
        await refusal(
            site.client(
                "GetDeploymentDeviceLogs", deploymentId=in_base64(unknown.bytes), devEui=in_base64(bytes(8))
            )
        ),
    ]
    for error in answers:
        assert error.code == "NOT_FOUND"
        assert str(unknown) in error.detail
    for octets in (b"", bytes(15), bytes(17)):
        error = await refusal(site.client("GetDeploymentStatus", id=in_base64(octets)))
        assert (error.code, set(error.violations)) == ("INVALID_ARGUMENT", {"id"})
    error = await refusal(site.client("GetDeploymentDeviceLogs", deploymentId=in_base64(bytes(15))))
    assert (error.code, set(error.violations)) == ("INVALID_ARGUMENT", {"deployment_id", "dev_eui"})


async def sizes(site: Site) -> None:
    """16 MiB may be asked, and are then looked at; more is not even read."""
    huge = await refusal(site.create([], payload=in_base64(bytes(17 << 20))))
    large = await refusal(site.create([], payload=in_base64(bytes(15 << 20))))
    assert huge.code == "RESOURCE_EXHAUSTED"
    assert large.code == "INVALID_ARGUMENT"
    assert "devices" in large.violations


JSON, PROTOBUF = "application/json", "application/octet-stream"
UPLINK = json.dumps({"devEUI": "70b3d57ed0000001", "fPort": 200, "fCnt": 1, "data": "AAA="}).encode()

EVENTS: list[tuple[str, str, dict[str, str], bytes, int]] = [
    ("POST", "/?event=up", {"Content-Type": JSON}, UPLINK, 200),
    ("POST", "/any/path?event=up", {"Content-Type": f"{JSON}; charset=utf-8"}, UPLINK, 200),
    ("POST", "/?event=join", {"Content-Type": JSON}, b"what is not looked at", 200),
    ("POST", "/?event=up", {"Content-Type": JSON}, b"{", 400),
    ("POST", "/?event=up", {"Content-Type": JSON}, b"[]", 400),
    ("POST", "/?event=up", {"Content-Type": JSON}, UPLINK.replace(b"0001", b"000g"), 400),
    ("POST", "/?event=up", {"Content-Type": JSON}, b"\xff", 400),
    ("POST", "/?event=up", {"Content-Type": JSON}, b"[" * 100_000, 400),
    ("POST", "/?event=up", {"Content-Type": JSON}, b"", 400),
    ("POST", "/?event=up", {"Content-Type": PROTOBUF}, b"\xff\xff", 400),
    ("POST", "/?event=up", {"Content-Type": PROTOBUF}, b"", 400),
    ("POST", "/?event=up", {}, UPLINK, 400),  # without a Content-Type it is protobuf
    ("POST", "/?event=up", {"Content-Type": "text/plain"}, UPLINK, 400),  # nor is it with another
    ("POST", "/?event=up", {"Content-Type": JSON, "Authorization": "Bearer guessed"}, UPLINK, 401),
    ("POST", "/?event=up", {"Content-Type": JSON, "Authorization": ""}, UPLINK, 401),
    ("GET", "/?event=up", {}, b"", 405),
    ("PUT", "/?event=up", {"Content-Type": JSON}, UPLINK, 405),
    ("POST", "/?event=up", {"Content-Type": JSON}, bytes(1 << 20), 400),
    ("POST", "/?event=up", {"Content-Type": JSON}, bytes((1 << 20) + 1), 413),
]


async def test_the_integration_says_what_is_wrong(tmp_path: Path, dsn: str) -> None:
    made = installation(tmp_path, dsn)
    async with made.serving() as server:
        address = server.integration.removeprefix("http://").rstrip("/")

        def post(method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
            connection = http.client.HTTPConnection(address, timeout=5)
            try:
                given = {"Authorization": f"Bearer {EVENT_TOKEN}"} | headers
                connection.request(method, path, body, given)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            finally:
                connection.close()

        for method, path, headers, body, status in EVENTS:
            got, reason = await trio.to_thread.run_sync(post, method, path, headers, body)
            assert got == status, (method, path, headers, reason)
            assert reason.count("\n") == 1
        assert await server.stop() == 0
    assert "Traceback" not in made.stderr
    assert "guessed" not in made.stderr
    assert made.stderr.count("event refused") == 2


async def test_the_server_describes_itself(tmp_path: Path, dsn: str) -> None:
    """Health and reflection, to a client of grpcio; and the debug endpoint."""
    made = installation(tmp_path, dsn)
    async with made.serving() as server:
        health, services, files = await trio.to_thread.run_sync(described, server.api)
        assert health == [HealthCheckResponse.SERVING] * 3
        assert {"fuota.FUOTAServerService", "fuota.v1.DeploymentService"} <= {*services}
        assert b"CreateDeployment" in files
        assert b"GetDeploymentDeviceLogs" in files
        assert b"CancelDeployment" in files
        assert await server.look("healthz") == {"ailments": {}}
        assert await server.look("readyz") == {"ailments": {}, "started": True}
        tree = await server.look("debug/actors")
        paths = [child["path"] for child in tree["children"]]
        assert paths == ["/dispatcher", "/deployments", "/integration", "/api", "/debug"]


def described(address: str) -> tuple[list[int], list[str], bytes]:
    """Health of all and of ours, names of the services, and the files that declare ours."""
    with grpc.insecure_channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        reflect = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=ServerReflectionRequest.SerializeToString,
            response_deserializer=ServerReflectionResponse.FromString,
        )
        ours = ("fuota.FUOTAServerService", "fuota.v1.DeploymentService")
        health = [check(HealthCheckRequest(service=name), timeout=5).status for name in ("", *ours)]
        questions = [
            ServerReflectionRequest(list_services=""),
            *(ServerReflectionRequest(file_containing_symbol=name) for name in ours),
        ]
        listed, *declared = reflect(iter(questions), timeout=5)
        services = [service.name for service in listed.list_services_response.service]
        files = [each.file_descriptor_response.file_descriptor_proto for each in declared]
        return health, services, b"".join(chain(*files))


async def test_the_number_of_connections_is_bounded_as_configured(
    tmp_path: Path, dsn: str, official_client: Any
) -> None:
    """Also by two: one for all that is written and read, one for the lock of the owner."""
    made = installation(tmp_path, dsn)
    made.tables["postgresql"] |= {"max_open_connections": 2}
    async with made.serving() as server, official_client(server.api) as client:
        asking = Site(server, client)
        ordered = [await asking.create([device]) for device in quick([Behaviour()] * 5)]
        assert [len((await asking.status(each))["deviceStatus"]) for each in ordered] == [1] * 5
        assert await connections(dsn) == 2
        assert await server.stop() == 0


async def connections(dsn: str) -> int:
    """Of the server, to the database."""

    def count() -> int:
        with psycopg.connect(dsn) as connection:
            row = connection.execute(
                "select count(*) from pg_stat_activity "
                "where application_name = 'fuota' and datname = current_database()"
            ).fetchone()
            assert row is not None
            return int(row[0])

    return await trio.to_thread.run_sync(count)
