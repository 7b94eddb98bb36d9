"""What ChirpStack may not post is refused with a reason."""

import base64

import pytest
from structlog.testing import capture_logs

from fuota.integration.endpoint import MAX_BODY
from fuota.lorawan.package import MAX_PAYLOAD
from tests.virtual.posted import JSON, PROTOBUF, event, in_json, opened, plain_json


async def test_what_the_marshaler_can_not_read_is_malformed(autojump_clock: object) -> None:
    async with opened() as post:
        status, reason = await post(in_json(), {"Content-Type": "text/html"})
        assert (status, reason) == (400, "not an integration.UplinkEvent in protobuf")


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
        (
            plain_json(data=base64.b64encode(bytes(256)).decode()),
            JSON,
            "data: wanted at most 255 octets, got 256",
        ),
        (event(data=bytes(256)).SerializeToString(), PROTOBUF, "data: wanted at most 255 octets, got 256"),
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


async def test_what_a_frame_has_room_for_is_taken(autojump_clock: object) -> None:
    async with opened() as post:
        assert (await post.only(event(data=bytes(MAX_PAYLOAD)).SerializeToString())).data == bytes(
            MAX_PAYLOAD
        )


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
        with capture_logs() as said:
            response = await post.client.post("/?event=up", data=event().SerializeToString(), headers=headers)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert post.uplinks == []
        assert [line["event"] for line in said] == ["event refused"]
        assert "secret" not in str(said)


async def test_an_event_whose_kind_has_been_lost_on_the_way_is_warned_of(autojump_clock: object) -> None:
    async with opened() as post:
        with capture_logs() as said:
            assert await post(event().SerializeToString(), path="/") == (200, "not of interest")
            assert await post(event().SerializeToString(), path="/?event=join") == (200, "not of interest")
    assert [line["event"] for line in said] == ["event of no kind"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_with_the_token_it_is(autojump_clock: object, scheme: str) -> None:
    async with opened(token="secret") as post:
        assert await post.only(event().SerializeToString(), PROTOBUF | {"Authorization": f"{scheme} secret"})
