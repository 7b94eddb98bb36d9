"""Much of what costs its sender nothing: small frames and chunks, headers without end, calls taken back."""

from collections.abc import Callable
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

from tests.fuzz import grpc, http
from tests.fuzz.http import PREFACE
from tests.fuzz.mutate import mutated
from tests.fuzz.sockets import feed
from tests.fuzz.watch import Watch, watched

MOST = 4000
"""Frames, chunks or headers."""
HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", f"{grpc.SERVICE}/GetDeploymentStatus"),
    (":authority", "x"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]
BLOCK = Encoder().encode(HEADERS)
OPEN = HeadersFrame(1, BLOCK, flags=["END_HEADERS"])
BOMB = Encoder().encode([*HEADERS, ("x", "y" * 4000)]) + b"\xbe" * 12_000
"""A header of 4000 octets that is put into the table, and named another 12 000 times."""

Frames = Callable[[int], list[Frame]]


def _rapid_reset(many: int) -> list[Frame]:
    """A call, and that it is taken back; many times."""
    frames: list[Frame] = []
    for stream in range(1, 2 * many, 2):
        frames += [HeadersFrame(stream, BLOCK, flags=["END_HEADERS"]), RstStreamFrame(stream, error_code=8)]
    return frames


FRAMES: list[Frames] = [
    _rapid_reset,
    lambda many: [HeadersFrame(stream, BLOCK, flags=["END_HEADERS"]) for stream in range(1, 2 * many, 2)],
    lambda many: [PingFrame(0, b"12345678")] * many,
    lambda many: [SettingsFrame(0, settings={4: 1 << 16})] * many,
    lambda many: [SettingsFrame(0, settings={1: number % 2 << 20}) for number in range(many)],
    lambda many: [PriorityFrame(2 * number + 1, depends_on=0) for number in range(many)],
    lambda many: [PriorityFrame(2 * number + 3, depends_on=2 * number + 1) for number in range(many)],
    lambda many: [OPEN, *[WindowUpdateFrame(1, window_increment=1)] * many],
    lambda many: [OPEN, *[DataFrame(1, b"")] * many],
    lambda many: [OPEN, *[DataFrame(1, b"x", pad_length=255, flags=["PADDED"])] * (many // 8)],
    lambda many: [OPEN, *[RstStreamFrame(1, error_code=8)] * many],
    lambda many: [HeadersFrame(1, b""), *[ContinuationFrame(1, b"")] * many],
    lambda many: [HeadersFrame(1, b""), *[ContinuationFrame(1, b"x" * 16_000)] * (many // 100)],
    lambda many: [HeadersFrame(1, BOMB, flags=["END_HEADERS"])],
    lambda many: [GoAwayFrame(0)] * many,
]

REQUEST = b"POST /?event=up HTTP/1.1\r\nHost: x\r\n"
TEXTS: list[Callable[[int], bytes]] = [
    lambda many: REQUEST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * many + b"0\r\n\r\n",
    lambda many: REQUEST + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * many,
    lambda many: (REQUEST + b"Content-Length: 0\r\n\r\n") * (many // 20),
    lambda many: REQUEST + b"X: y\r\n" * many + b"\r\n",
    lambda many: REQUEST + b"X: " + b"y" * many * 20,
    lambda many: b"POST /" + b"%2f" * many + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    lambda many: b"POST /?" + b"&a" * many + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    lambda many: b"\r\n" * many,
    lambda many: REQUEST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % many + b"x" * many,
    lambda many: (
        REQUEST + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % many + b"[" * many
    ),
]


def frames(random: Random) -> bytes:
    made = random.choice(FRAMES)(random.randint(1, MOST))
    wire = b"".join(frame.serialize() for frame in (SettingsFrame(0), *made))
    return PREFACE + (mutated(random, [wire], most=1) if random.random() < 0.2 else wire)


def texts(random: Random) -> bytes:
    made = random.choice(TEXTS)(random.randint(1, MOST))
    return mutated(random, [made], most=1) if random.random() < 0.2 else made


async def fuzz(random: Random, inputs: int) -> Watch:
    """Half of them to each port."""
    async with watched() as watch:
        await feed(watch.victim.api, random, inputs - inputs // 2, frames, grpc.check, watch)
        await feed(watch.victim.integration, random, inputs // 2, texts, http.check, watch)
    return watch
