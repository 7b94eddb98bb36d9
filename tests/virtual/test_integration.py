"""What ChirpStack posts is taken, refused with a reason, or not in time: never lost in silence."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
import trio
from google.protobuf import json_format
from quart.typing import TestClientProtocol as Client

from fuota.actor import Actor, Child, open_tree
from fuota.clock import TrioClock
from fuota.dispatcher import Outcome, Route
from fuota.generated.chirpstack3.integration_pb2 import UplinkEvent
from fuota.integration import chirpstack3
from fuota.integration.endpoint import IMPATIENT, MAX_BODY, PATIENT, Marshaler, endpoint
from fuota.lorawan import gpstime
from fuota.lorawan.eui import EUI64
from fuota.places import CONNECTIONS
from fuota.uplink import Uplink

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEV_EUI = bytes.fromhex("70b3d50000000001")
PROTOBUF, JSON = {"Content-Type": "application/octet-stream"}, {"Content-Type": "application/json"}


class Dispatcher(Actor[Route]):
    """Gives each uplink the outcome it is made for."""

    def __init__(self, settle: Callable[[Route], None]) -> None:
        self.uplinks: list[Uplink] = []
        self._settle = settle

    async def receive(self, route: Route) -> None:
        self.uplinks.append(route.uplink)
        self._settle(route)


def take(route: Route) -> None:
    route.reply.give(Outcome.TAKEN)


@attrs.define
class Posted:
    """The endpoint, and the uplinks that came through it."""

    client: Client
    uplinks: list[Uplink]

    async def __call__(
        self, body: bytes | str, headers: dict[str, str] = PROTOBUF, path: str = "/?event=up"
    ) -> tuple[int, str]:
        response = await self.client.post(path, data=body, headers=headers)
        assert response.mimetype == "text/plain"
        return response.status_code, (await response.get_data(as_text=True)).strip()

    async def only(self, body: bytes | str, headers: dict[str, str] = PROTOBUF) -> Uplink:
        """The uplink that this event is read as."""
        assert await self(body, headers) == (200, "taken")
        (uplink,) = self.uplinks
        return uplink


@asynccontextmanager
async def opened(
    settle: Callable[[Route], None] = take, *, marshaler: Marshaler = "protobuf", token: str = ""
) -> AsyncIterator[Posted]:
    dispatcher = Dispatcher(settle)
    with trio.fail_after(100):
        async with open_tree([Child("dispatcher", lambda: dispatcher)]) as tree:
            ref = tree.find("/dispatcher")
            assert ref is not None
            app = endpoint(chirpstack3, ref, TrioClock(NOW), marshaler=marshaler, token=token)
            yield Posted(app.test_client(), dispatcher.uplinks)


def event(**fields: Any) -> UplinkEvent:
    given: dict[str, Any] = {
        "dev_eui": DEV_EUI,
        "f_port": 200,
        "f_cnt": 7,
        "data": b"\x02\x00",
        "dev_addr": b"\x01\x02\x03\x04",
    }
    return UplinkEvent(**(given | fields))


def in_json(**fields: Any) -> str:
    written: str = json_format.MessageToJson(event(**fields), always_print_fields_with_no_presence=True)
    return written


def plain_json(**fields: Any) -> str:
    given = {"devEUI": base64.b64encode(DEV_EUI).decode(), "fPort": 200, "fCnt": 7, "data": "AgA="}
    return json.dumps(given | fields)


UPLINK = Uplink(dev_eui=EUI64(DEV_EUI), f_port=200, f_cnt=7, data=b"\x02\x00", received_at=NOW)


async def test_protobuf(autojump_clock: object) -> None:
    async with opened() as post:
        assert await post.only(event().SerializeToString()) == UPLINK


async def test_json_of_the_protobuf_mapping(autojump_clock: object) -> None:
    async with opened() as post:
        assert await post.only(in_json(), JSON) == UPLINK


@pytest.mark.parametrize(
    "fields",
    [
        {"devEUI": "70b3d50000000001"},
        {"devEUI": "70B3D50000000001"},
        {"devEUI": "cLPVAAAAAAE"},
        {"fPort": "200", "fCnt": "7"},
        {"rxInfo": None, "txInfo": None, "objectJSON": None, "tags": None, "unheardOf": {"a": [1]}},
        {"rxInfo": [{"time": None, "timeSinceGPSEpoch": None}, None, 5]},
        {"rxInfo": [{"time": "whenever", "timeSinceGPSEpoch": "5"}], "publishedAt": 12},
        {"publishedAt": "0001-01-01T00:00:00+23:00"},
    ],
)
async def test_json_of_other_writers(autojump_clock: object, fields: dict[str, Any]) -> None:
    async with opened() as post:
        assert await post.only(plain_json(**fields), JSON) == UPLINK


async def test_what_is_absent_is_zero(autojump_clock: object) -> None:
    async with opened() as post:
        uplink = await post.only(plain_json(fCnt=None, data=None), JSON)
        assert (uplink.f_cnt, uplink.data) == (0, b"")


@pytest.mark.parametrize(
    ("headers", "marshaler", "body"),
    [
        ({"Content-Type": "application/json; charset=utf-8"}, "protobuf", in_json()),
        ({"Content-Type": "Application/JSON"}, "protobuf", in_json()),
        ({"Content-Type": "application/octet-stream"}, "json", event().SerializeToString()),
        ({}, "json", in_json()),
        ({"Content-Type": "text/plain; charset=utf-8"}, "json", in_json()),
        ({"Content-Type": "application/x-protobuf"}, "protobuf", event().SerializeToString()),
        ({"Content-Type": "of no kind"}, "json", in_json()),
        ({}, "protobuf", event().SerializeToString()),
    ],
)
async def test_the_content_type_decides_and_where_it_does_not_say_the_marshaler(
    autojump_clock: object, headers: dict[str, str], marshaler: Marshaler, body: bytes | str
) -> None:
    async with opened(marshaler=marshaler) as post:
        assert await post.only(body, headers) == UPLINK


async def test_what_the_marshaler_can_not_read_is_malformed(autojump_clock: object) -> None:
    async with opened() as post:
        status, reason = await post(in_json(), {"Content-Type": "text/html"})
        assert (status, reason) == (400, "not an integration.UplinkEvent in protobuf")


@pytest.mark.parametrize("path", ["/?event=up", "/a/b/c?event=up", "//x//?event=up", "/%ff?a=1&event=up"])
async def test_any_path(autojump_clock: object, path: str) -> None:
    async with opened() as post:
        assert await post(event().SerializeToString(), path=path) == (200, "taken")


@pytest.mark.parametrize("query", ["", "?event=status", "?event=join", "?event=", "?eventType=up"])
async def test_other_events_are_ignored_whatever_they_hold(autojump_clock: object, query: str) -> None:
    async with opened() as post:
        assert await post(b"\xff\xff", path=f"/{query}") == (200, "not of interest")
        assert post.uplinks == []


@pytest.mark.parametrize(
    ("f_port", "interest"),
    [(0, False), (199, False), (200, True), (201, True), (202, True), (203, True), (204, False)],
)
async def test_only_the_ports_of_the_packages_are_passed_on(
    autojump_clock: object, f_port: int, interest: bool
) -> None:
    async with opened() as post:
        status, _ = await post(event(f_port=f_port).SerializeToString())
        assert (status, len(post.uplinks)) == (200, int(interest))


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (b"\xff\xff\xff", PROTOBUF, "not an integration.UplinkEvent in protobuf"),
        (b"", PROTOBUF, "devEUI: wanted 8 octets, got 0"),
        (event(dev_eui=b"\x01").SerializeToString(), PROTOBUF, "devEUI: wanted 8 octets, got 1"),
        (b"", JSON, "not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"{", JSON, "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"[" * 100_000, JSON, "not JSON: maximum recursion depth exceeded"),
        (b"\xff", JSON, "not JSON: 'utf-8' codec can't decode byte 0xff"),
        ("[]", JSON, "wanted a JSON object, got array"),
        ("{}", JSON, "devEUI: wanted 8 octets, got 0"),
        (plain_json(devEUI="70b3d5"), JSON, "devEUI: wanted 8 octets, got 4"),
        (plain_json(devEUI="zzb3d50000000001"), JSON, "devEUI: wanted 16 hexadecimal digits or base64"),
        (plain_json(devEUI=7), JSON, "devEUI: wanted base64, got 7"),
        (plain_json(fPort=-1), JSON, "fPort: wanted a number from 0 to 4294967295, got -1"),
        (plain_json(fPort=True), JSON, "fPort: wanted a number from 0 to 4294967295, got boolean"),
        (plain_json(fCnt=1 << 32), JSON, "fCnt: wanted a number from 0 to 4294967295, got 4294967296"),
        (
            plain_json(fCnt=10**400),
            JSON,
            "fCnt: wanted a number from 0 to 4294967295, got a number of 1329 bits",
        ),
        (plain_json(devEUI=-(10**400)), JSON, "devEUI: wanted base64, got a number of 1329 bits"),
        (plain_json(fCnt="seven"), JSON, "fCnt: wanted a number from 0 to 4294967295, got string"),
        (plain_json(data="*"), JSON, "data: wanted base64, got '*'"),
        (plain_json(data=["AgA="]), JSON, "data: wanted base64, got array"),
    ],
)
async def test_the_malformed_is_refused_with_a_reason(
    autojump_clock: object, body: bytes | str, headers: dict[str, str], reason: str
) -> None:
    async with opened() as post:
        status, said = await post(body, headers)
        assert status == 400
        assert said.startswith(reason)
        assert "\n" not in said
        assert post.uplinks == []


async def test_only_post(autojump_clock: object) -> None:
    async with opened() as post:
        for method in ("GET", "PUT", "DELETE", "OPTIONS", "HEAD"):
            response = await post.client.open("/?event=up", method=method, json=None)
            assert response.status_code == 405
            assert response.headers["Allow"] == "POST"


async def test_a_body_over_a_mebibyte(autojump_clock: object) -> None:
    async with opened() as post:
        assert (await post(bytes(MAX_BODY + 1)))[0] == 413
        fits = event(object_json="x" * (MAX_BODY - 100)).SerializeToString()
        assert await post(fits) == (200, "taken")


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer other", "Basic secret-ü", "secret-ü", "Bearer secret-üü"]
)
async def test_without_the_token_nothing_is_taken(autojump_clock: object, authorization: str | None) -> None:
    async with opened(token="secret-ü") as post:
        headers = PROTOBUF | ({} if authorization is None else {"Authorization": authorization})
        response = await post.client.post("/?event=up", data=event().SerializeToString(), headers=headers)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert post.uplinks == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_with_the_token_it_is(autojump_clock: object, scheme: str) -> None:
    async with opened(token="secret") as post:
        assert await post.only(event().SerializeToString(), PROTOBUF | {"Authorization": f"{scheme} secret"})


async def test_busy(autojump_clock: object) -> None:
    async with opened(lambda route: route.reply.give(Outcome.BUSY)) as post:
        assert await post(event().SerializeToString()) == (503, "too busy")


async def test_not_in_time(autojump_clock: object) -> None:
    async with opened(lambda route: None) as post:
        before = trio.current_time()
        assert await post(event().SerializeToString()) == (503, "kept, but not safe yet")
        assert trio.current_time() - before == pytest.approx(chirpstack3.WITHIN)


async def test_the_more_uplinks_wait_the_sooner_the_next_is_answered(autojump_clock: object) -> None:
    """It is kept all the same, and its connection is free for another."""
    took: list[float] = []
    body = event().SerializeToString()
    short = PROTOBUF | {"Content-Length": str(len(body))}
    async with opened(lambda route: None) as post:

        async def wait() -> None:
            before = trio.current_time()
            assert await post(body, short) == (503, "kept, but not safe yet")
            took.append(trio.current_time() - before)

        async with trio.open_nursery() as nursery:
            for _ in range(CONNECTIONS):
                nursery.start_soon(wait)
        assert len(post.uplinks) == CONNECTIONS
    half = int(CONNECTIONS * PATIENT / 2)
    assert min(took) == pytest.approx(IMPATIENT)
    assert max(took) == pytest.approx(chirpstack3.WITHIN)
    assert sorted(took)[-half] == pytest.approx(chirpstack3.WITHIN / 2, rel=0.1)
    assert sum(each > IMPATIENT * 1.01 for each in took) < CONNECTIONS * PATIENT


async def test_crashed(autojump_clock: object) -> None:
    def crash(route: Route) -> None:
        raise ArithmeticError

    async with opened(crash) as post:
        assert await post(event().SerializeToString()) == (503, "not taken")


async def test_stopped(autojump_clock: object) -> None:
    async with opened() as post:
        pass
    assert await post(event().SerializeToString()) == (503, "not taken")


GPS = timedelta(seconds=gpstime.gps_seconds(NOW))
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("rx_info", "published_at", "received_at"),
    [
        pytest.param([], None, NOW, id="nothing known"),
        pytest.param([{"time_since_gps_epoch": GPS - 2.5 * SECOND}], None, NOW - 2.5 * SECOND, id="GPS"),
        pytest.param([{"time": NOW - SECOND}], None, NOW - SECOND, id="time"),
        pytest.param([], NOW - SECOND, NOW - SECOND, id="published"),
        pytest.param(
            [{"time": NOW - SECOND}, {"time": NOW - 9 * SECOND, "time_since_gps_epoch": GPS - 3 * SECOND}],
            NOW,
            NOW - 3 * SECOND,
            id="GPS of any gateway before the time of another",
        ),
        pytest.param([{"time": NOW + 4 * SECOND}], None, NOW + 4 * SECOND, id="a clock a little fast"),
        pytest.param([{"time": NOW + 6 * SECOND}], NOW - SECOND, NOW - SECOND, id="a clock too fast"),
        pytest.param([{"time_since_gps_epoch": GPS + 6 * SECOND}], None, NOW, id="GPS too fast"),
        pytest.param([{"time": NOW - 23 * HOUR}], None, NOW - 23 * HOUR, id="kept through an outage"),
        pytest.param([{"time": NOW - 25 * HOUR}], None, NOW, id="too old"),
        pytest.param([{"time": datetime(1970, 1, 1, 5, tzinfo=UTC)}], None, NOW, id="no clock at all"),
        pytest.param([{"time_since_gps_epoch": timedelta(days=3_000_000)}], None, NOW, id="beyond all years"),
    ],
)
@pytest.mark.parametrize("form", ["protobuf", "json", "json with the message's own names"])
async def test_when_it_was_received(
    autojump_clock: object,
    form: str,
    rx_info: list[dict[str, Any]],
    published_at: datetime | None,
    received_at: datetime,
) -> None:
    fields = {"rx_info": rx_info, "published_at": published_at}
    async with opened() as post:
        if form == "protobuf":
            uplink = await post.only(event(**fields).SerializeToString())
        elif form == "json":
            uplink = await post.only(in_json(**fields), JSON)
        else:
            own = json_format.MessageToJson(event(**fields), preserving_proto_field_name=True)
            assert '"dev_eui"' in own
            uplink = await post.only(own, JSON)
        assert uplink == attrs.evolve(UPLINK, received_at=received_at)


async def test_times_that_no_protobuf_library_would_write(autojump_clock: object) -> None:
    wild = event(rx_info=[{}])
    wild.rx_info[0].time.seconds = 1 << 62
    wild.rx_info[0].time.nanos = -5
    wild.rx_info[0].time_since_gps_epoch.seconds = -(1 << 62)
    async with opened() as post:
        assert await post.only(wild.SerializeToString()) == UPLINK
