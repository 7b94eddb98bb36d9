"""The endpoints for ChirpStack's events and for operators, over HTTP/1.1 and, in vain, HTTP/2."""

import json
import re
from collections.abc import Callable, Mapping
from random import Random

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

from fuota.config.value import Bind
from tests.fuzz.codecs import EVENT3, JSON3
from tests.fuzz.mutate import mutated
from tests.fuzz.sockets import feed
from tests.fuzz.victim import Victim
from tests.fuzz.watch import Watch, watched

STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BODY = EVENT3


def _request(head: bytes, body: bytes = b"", kind: bytes = b"application/octet-stream") -> bytes:
    length = b"" if b"ransfer-" in head else b"Content-Length: %d\r\n" % len(body)
    return b"%s\r\nHost: x\r\nContent-Type: %s\r\n%s\r\n%s" % (head, kind, length, body)


def _chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


ONE = [
    _request(b"POST /?event=up HTTP/1.1", BODY),
    _request(b"POST /a/b?event=up HTTP/1.1", json.dumps(JSON3).encode(), b"application/json"),
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
PAGES = [
    b"GET %s HTTP/1.1\r\nHost: x\r\nCookie: fuota-debug=00\r\nIf-None-Match: *\r\nRange: bytes=0-1\r\n\r\n"
    % path
    for path in (
        b"/",
        b"/?open=/&open=/deployments&show=40&token=x",
        b"/debug/actors?path=/dispatcher&depth=3&limit=10",
        b"/healthz",
        b"/readyz",
        b"/metrics",
        b"/static/../%2e%2e/etc/passwd",
    )
] + [b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"]
PIPELINED = [ONE[0] * 3, ONE[0] + ONE[1] + ONE[2]]


def events(random: Random) -> bytes:
    return mutated(random, ONE + PIPELINED)


def pages(random: Random) -> bytes:
    return mutated(random, PAGES)


def http2(random: Random) -> bytes:
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
    """No redirection, no other protocol, and nothing that is our fault: nobody is too busy here for a 503."""
    statuses = {int(found) for found in STATUS.findall(answer)}
    assert not answer or STATUS.match(answer), answer[:80]
    assert all(status in (100, 200) or 400 <= status < 500 for status in statuses), statuses
    assert b"Traceback" not in answer, answer
    if sent.startswith(PREFACE):
        assert statuses <= {400}, statuses


KINDS: Mapping[str, tuple[Callable[[Random], bytes], Callable[[Victim], Bind]]] = {
    "events over HTTP/1.1": (events, lambda victim: victim.integration),
    "pages over HTTP/1.1": (pages, lambda victim: victim.debug),
    "HTTP/2 without TLS": (http2, lambda victim: victim.integration),
}


async def fuzz(kind: str, random: Random, inputs: int) -> Watch:
    """`kind` is a key of `KINDS`."""
    make, port = KINDS[kind]
    async with watched() as watch:
        await feed(port(watch.victim), random, inputs, make, check, watch)
    return watch
