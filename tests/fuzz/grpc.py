"""The gRPC API: frames, messages and paths of every kind."""

import re
from collections.abc import Mapping
from datetime import timedelta
from random import Random

from grpclib.const import Status
from h2.errors import ErrorCodes
from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    ExtensionFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
)

from fuota.api.paging import token
from fuota.generated.chirpstack3 import fuota_pb2 as pb
from fuota.generated.fuota_v1 import deployment_pb2 as v1
from tests.fuzz import http
from tests.fuzz.codecs import ORDER3
from tests.fuzz.mutate import mutated
from tests.fuzz.sockets import feed
from tests.fuzz.watch import Watch, watched

SERVICE = "/fuota.FUOTAServerService"
OURS = "/fuota.v1.DeploymentService"
NOBODY = "5f0c2b1e-0000-4000-8000-000000000002"
PATHS = (
    f"{SERVICE}/CreateDeployment",
    f"{SERVICE}/GetDeploymentStatus",
    f"{SERVICE}/GetDeploymentDeviceLogs",
    f"{SERVICE}/NoSuchMethod",
    *(f"{OURS}/{method}" for method in ("CreateDeployment", "GetDeployment", "CancelDeployment")),
    *(f"{OURS}/{method}" for method in ("ListDeployments", "ListDevices")),
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/\xe9/x",
)
TIMEOUTS = ("1S", "0n", "99999999H", "x")
PLAN = v1.Plan(
    application_id="7",
    multicast=v1.Multicast(group_class=v1.GROUP_CLASS_C, frequency=869_525_000, dr=5, session_timeout=9),
    unicast=v1.Unicast(timeout=timedelta(seconds=60), attempts=3),
    fragmentation=v1.Fragmentation(fragment_size=50),
    status_request=v1.STATUS_REQUEST_NO_REQUEST,
)
DEVICE = v1.NewDevice(dev_eui="70b3d57ed0000001", mc_root_key=bytes(16))
ENDED = [v1.DEPLOYMENT_STATE_UNRECORDED, v1.DEPLOYMENT_STATE_ENDED]
TIMES = (b"2026-11-27T10:00:00+00:00", b"0001-01-01T00:00:00+14:00", b"9999-12-31T23:59:59-14:00")
MESSAGES = [
    pb.CreateDeploymentRequest(deployment=pb.Deployment.FromString(ORDER3)).SerializeToString(),
    pb.GetDeploymentStatusRequest(id=bytes(16)).SerializeToString(),
    pb.GetDeploymentDeviceLogsRequest(deployment_id=bytes(16), dev_eui=bytes(8)).SerializeToString(),
    v1.CreateDeploymentRequest(plan=PLAN, firmware=bytes(100), devices=[DEVICE]).SerializeToString(),
    v1.GetDeploymentRequest(id=NOBODY).SerializeToString(),
    v1.ListDevicesRequest(
        deployment_id=NOBODY, reasons=[v1.FAILURE_REASON_NO_ANSWER], page_size=2**32 - 1
    ).SerializeToString(),
    b"",
    b"\x0a\x00",
]
OUR_FAULT = {Status.UNKNOWN, Status.INTERNAL, Status.UNAVAILABLE, Status.DATA_LOSS}
"""Nothing is away, and nothing is lost: there is no reason for any of them."""
STATUSES = {str(status.value) for status in {*Status} - OUR_FAULT}


def calls(random: Random) -> bytes:
    """Some calls on one connection, whose frames and messages are sound or not."""
    encoder = Encoder()
    frames: list[Frame] = [SettingsFrame(0)]
    for stream in range(1, random.choice((2, 4, 8)), 2):
        frames += _call(random, encoder, stream)
    wire = b"".join(frame.serialize() for frame in frames)
    if random.random() < 0.1:
        return http.http2(random)
    return http.PREFACE + (mutated(random, [wire], most=2) if random.random() < 0.4 else wire)


def _call(random: Random, encoder: Encoder, stream: int) -> list[Frame]:
    path, message = random.choice(PATHS), mutated(random, MESSAGES, most=2)
    if random.random() < 0.1:
        path, message = f"{OURS}/ListDeployments", _next_page(random)
    headers = [
        (":method", random.choice(("POST", "POST", "POST", "GET"))),
        (":scheme", "http"),
        (":path", path),
        (":authority", "x"),
        ("te", "trailers"),
        (
            "content-type",
            random.choice(("application/grpc", "application/grpc", "application/grpc+proto", "text/html")),
        ),
        *random.choice(
            (
                (),
                (("grpc-timeout", random.choice(("1S", "0n", "99999999H", "x"))),),
                (("grpc-encoding", "gzip"),),
            )
        ),
    ]
    length = random.choice(
        (len(message), len(message), len(message), 2**32 - 1, len(message) + 1, 17 << 20, 0)
    )
    framed = bytes([random.choice((0, 0, 0, 1, 255))]) + length.to_bytes(4, "big") + message
    body = [DataFrame(stream, framed[i : i + 16_000]) for i in range(0, len(framed), 16_000)]
    end = random.choice(("END_STREAM", "END_STREAM", "RST", "nothing"))
    if end == "END_STREAM":
        body[-1].flags.add("END_STREAM")
    head = HeadersFrame(stream, encoder.encode(headers), flags=["END_HEADERS"])
    return [head, *body, *([RstStreamFrame(stream, error_code=8)] if end == "RST" else [])]


def _next_page(random: Random) -> bytes:
    """Asked for with a token in which all is right but the place that it names."""
    place = f"{mutated(random, TIMES, most=2).decode('latin-1')} {NOBODY}"
    return v1.ListDeploymentsRequest(states=ENDED, page_token=token(place, ENDED)).SerializeToString()


def check(sent: bytes, answer: bytes) -> None:
    """It is HTTP/2, and every call that was answered has a status, none of which says that we have failed."""
    decoder, at = Decoder(), 0
    decoder.max_allowed_table_size = 2**31  # what was sent may have allowed it
    said: dict[int, dict[str, str]] = {}
    assert not answer or answer[3:4] == bytes([SettingsFrame.type]), answer[:80]
    while at + 9 <= len(answer):
        frame, length = Frame.parse_frame_header(memoryview(answer[at : at + 9]))
        assert not isinstance(frame, ExtensionFrame), answer[at : at + 80]
        body = answer[at + 9 : at + 9 + length]
        at += 9 + length
        if len(body) < length:
            break  # one of the two has hung up
        frame.parse_body(memoryview(body))
        if isinstance(frame, HeadersFrame):
            headers = {str(name): str(value) for name, value in decoder.decode(frame.data)}
            said.setdefault(frame.stream_id, {}).update(headers)
        broken_off = frame.error_code if isinstance(frame, RstStreamFrame | GoAwayFrame) else None
        assert broken_off != ErrorCodes.INTERNAL_ERROR, frame
        if frame.stream_id and ("END_STREAM" in frame.flags or broken_off == ErrorCodes.NO_ERROR):
            check_call(said.get(frame.stream_id, {}))


def check_call(said: Mapping[str, str]) -> None:
    """What was said of a call that has ended, in its headers and its trailers: 4xx need no status of gRPC."""
    served = said.get(":status") == "200"
    assert served or re.fullmatch("4[0-9][0-9]", said.get(":status", "")), said
    assert said.get("grpc-status", None if served else "0") in STATUSES, said


async def fuzz(random: Random, inputs: int) -> Watch:
    async with watched() as watch:
        await feed(watch.victim.api, random, inputs, calls, check, watch)
    return watch
