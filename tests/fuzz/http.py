"""The endpoint for ChirpStack's events, over HTTP/1.1 and h2c."""

import re
from datetime import UTC, datetime
from functools import partial
from random import Random

import trio
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from fuota import http
from fuota.actor import Child, Ref, Registry, open_tree
from fuota.clock import SystemClock
from fuota.config import Bind
from fuota.dispatcher import Dispatcher, Route
from fuota.integration import chirpstack3
from fuota.integration.endpoint import endpoint
from fuota.lorawan.eui import EUI64
from fuota.network.simulated import SimulatedNetwork
from fuota.ownership import Ownership
from fuota.simulation.post import Poster
from fuota.simulation.webhook import event
from fuota.simulation.world import World
from fuota.uplink import Uplink
from tests.fuzz.codecs import JSON
from tests.fuzz.mutate import mutated
from tests.fuzz.sockets import feed
from tests.fuzz.watch import Watch, watched

STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
UPLINK = Uplink(
    dev_eui=EUI64(bytes(range(8))), f_port=201, f_cnt=7, data=b"\x02\x01", received_at=datetime.now(UTC)
)
BODY = event(UPLINK, "1").SerializeToString()


def _request(head: bytes, body: bytes = b"", kind: bytes = b"application/octet-stream") -> bytes:
    length = b"" if b"ransfer-" in head else b"Content-Length: %d\r\n" % len(body)
    return b"%s\r\nHost: x\r\nContent-Type: %s\r\n%s\r\n%s" % (head, kind, length, body)


def _chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


ONE = [
    _request(b"POST /?event=up HTTP/1.1", BODY),
    _request(b"POST /a/b?event=up HTTP/1.1", JSON, b"application/json"),
    _request(b"POST /?event=up HTTP/1.1\r\nTransfer-Encoding: chunked", _chunked(BODY)),
    _request(b"POST /?event=up HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3", _chunked(BODY)),
    _request(b"POST /?event=up HTTP/1.1\r\nExpect: 100-continue", BODY),
    _request(
        b"POST /?event=up HTTP/1.1\r\n"
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk"
    ),
    _request(
        b"GET /?event=up HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    ),
    _request(b"CONNECT x:80 HTTP/1.1"),
    _request(b"OPTIONS * HTTP/1.1"),
    _request(b"POST /%ff%00//..;/?event=%ff HTTP/1.0"),
    b"POST /?event=up HTTP/1.1\r\n" + b"X: %s\r\n" % (b"y" * 9000) + b"\r\n",
    b"POST /?event=up HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 400 + b"\r\n",
]
PIPELINED = [ONE[0] * 3, ONE[0] + ONE[1] + ONE[2]]


def one_one(random: Random) -> bytes:
    return mutated(random, ONE + PIPELINED)


def h2c(random: Random) -> bytes:
    """Frames of a request, and others, in the wrong order, number and shape."""
    encoder = Encoder()
    frames: list[Frame] = [SettingsFrame(0)]
    for stream in range(1, random.choice((2, 4, 30)), 2):
        frames += _stream(random, encoder, stream)
    if random.random() < 0.3:
        frames.insert(random.randint(0, len(frames)), random.choice(frames))
    if random.random() < 0.3:
        random.shuffle(frames)
    wire = b"".join(frame.serialize() for frame in frames)
    return PREFACE + (mutated(random, [wire], most=2) if random.random() < 0.7 else wire)


def _stream(random: Random, encoder: Encoder, stream: int) -> list[Frame]:
    path = random.choice(("/?event=up", "/\xe9", "*", "", "/" + "x" * 5000))
    headers = [
        (":method", random.choice(("POST", "GET", "CONNECT", "PRI"))),
        (":scheme", "http"),
        (":path", path),
        (":authority", "x"),
        ("content-type", "application/octet-stream"),
        *[("x", "y" * random.choice((1, 3000)))] * random.choice((0, 0, 1, 60)),
    ]
    if random.random() < 0.2:
        headers.pop(random.randrange(len(headers)))
    block = encoder.encode(headers)
    cut = random.choice((len(block), 5))
    head = HeadersFrame(stream, block[:cut], flags=["END_HEADERS"] if cut == len(block) else [])
    rest = [] if cut == len(block) else [ContinuationFrame(stream, block[cut:], flags=["END_HEADERS"])]
    body = DataFrame(stream, BODY, flags=["END_STREAM"])
    kinds: list[list[Frame]] = [
        [],
        [RstStreamFrame(stream, error_code=8)],
        [*[WindowUpdateFrame(stream, window_increment=2**31 - 1)] * 2],
        [*[PingFrame(0, b"12345678")] * 50],
        [PriorityFrame(stream, depends_on=stream, stream_weight=1)],
        [*[SettingsFrame(0, settings={4: 2**31 - 1, 5: 16384, 1: 0})] * 5],
        [GoAwayFrame(0)],
        [*[DataFrame(stream, b"")] * 40],
        [DataFrame(stream + 100, b"nobody's")],
    ]
    return [head, *rest, *random.choice(kinds), body]


def check(sent: bytes, answer: bytes) -> None:
    statuses = {int(found) for found in STATUS.findall(answer)}
    assert all(status < 500 for status in statuses), statuses
    assert not answer or answer.startswith(b"HTTP/1.1 "), answer[:80]
    if sent.startswith(PREFACE):
        assert statuses <= {400}, statuses


async def fuzz(random: Random, inputs: int, *, two: bool) -> Watch:
    """`two`: HTTP/2 without TLS, as hypercorn takes it."""
    world = World([], clock=SystemClock())
    devices, network = Registry[EUI64, object](), SimulatedNetwork(world)
    dispatcher = Child("dispatcher", lambda: Dispatcher(devices, network, Ownership.sole()), room=1024)  # type: ignore[arg-type]
    async with open_tree([dispatcher]) as tree, trio.open_nursery() as nursery:
        ref: Ref[Route] | None = tree.find("/dispatcher")
        assert ref is not None
        app = endpoint(chirpstack3, ref, SystemClock(), marshaler="protobuf", token="")
        address: str = await nursery.start(partial(http.serve, app, Bind("127.0.0.1", 0)))
        poster = Poster(f"http://{address}/?event=up")

        async def behave() -> None:
            assert await poster.post(BODY, {"Content-Type": "application/octet-stream"}) == 200

        async with watched(behave) as watch:
            await feed(address, random, inputs, h2c if two else one_one, check, watch)
        await poster.aclose()
        nursery.cancel_scope.cancel()
    return watch
