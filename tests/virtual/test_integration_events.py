"""An event is read the same in whatever form it is posted, and only if it is of interest."""

from typing import Any

import pytest

from fuota.integration.endpoint import Marshaler
from tests.virtual.posted import JSON, UPLINK, event, in_json, opened, plain_json


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
