"""Thousands of connections at once, that ask nothing, or half of something, and stay."""

from random import Random

import trio

from fuota.config.value import Bind
from tests.fuzz.floods import OPEN, REQUEST
from tests.fuzz.http import PREFACE
from tests.fuzz.watch import PATIENCE, Watch, watched

AT_ONCE = 200
"""Connections that are being made."""
STAY = 3.0
"""Seconds that all of them stay when the last has come."""
TIMES = 2
"""A server takes memory for as many as it has places for, once: the second crowd must find it there."""
TO_HTTP = (
    b"",
    REQUEST,
    REQUEST + b"Content-Length: 900\r\n\r\nx",
    REQUEST + b"Transfer-Encoding: chunked\r\n\r\n5",
)
TO_GRPC = (
    b"",
    PREFACE[:9],
    PREFACE + b"\0\0\0\4\0\0\0\0\0",
    PREFACE + b"\0\0\0\4\0\0\0\0\0" + OPEN.serialize(),
)


async def fuzz(random: Random, inputs: int) -> Watch:
    """So many connections to each of the two ports, all at the same time as far as it lets them, twice."""
    async with watched(typical=PATIENCE / 2) as watch:
        for _ in range(TIMES):
            watch.mark()
            for bind, texts in ((watch.victim.integration, TO_HTTP), (watch.victim.api, TO_GRPC)):
                await _crowd(bind, [random.choice(texts) for _ in range(inputs)], watch)
    return watch


async def _crowd(bind: Bind, texts: list[bytes], watch: Watch) -> None:
    places = trio.CapacityLimiter(AT_ONCE)

    async def stay(text: bytes) -> None:
        try:
            async with places:
                stream = await trio.open_tcp_stream(bind.host, bind.port)
            async with stream:
                await stream.send_all(text)
                while await stream.receive_some():
                    pass
        except (OSError, trio.BrokenResourceError):
            pass  # the server has hung up on it

    async with trio.open_nursery() as nursery:
        for text in texts:
            nursery.start_soon(stay, text)
        watch.inputs += len(texts)
        watch.sent += sum(map(len, texts))
        while places.borrowed_tokens or places.statistics().tasks_waiting:  # noqa: ASYNC110  # until all are there
            await trio.sleep(0.05)
        await trio.sleep(STAY)
        nursery.cancel_scope.cancel()
