"""Inputs on their way to a server: each on a connection of its own, many connections at a time."""

from collections.abc import Awaitable, Callable
from random import Random

import trio

from tests.fuzz.watch import Watch

AT_ONCE = 24
ANSWER = 20.0
"""Seconds in which a server has to have ended a connection whose other end has nothing more to say."""

Check = Callable[[bytes, bytes], None]
"""Of what was sent and what was answered."""


async def feed(
    address: str, random: Random, inputs: int, make: Callable[[Random], bytes], check: Check, watch: Watch
) -> None:
    """Send so many inputs, some of them in pieces, some without waiting for an answer."""
    host, _, port = address.rpartition(":")
    places = trio.CapacityLimiter(AT_ONCE)

    async def one(sent: bytes, manner: float) -> None:
        async with places:
            answer = await exchange(host, int(port), sent, manner)
        try:
            check(sent, answer)
        except AssertionError as error:
            error.add_note(f"input {sent.hex()}")
            raise

    async with trio.open_nursery() as nursery:
        for number in range(inputs):
            while places.available_tokens == 0:  # noqa: ASYNC110  # no more than these are in memory
                await trio.sleep(0.0005)
            nursery.start_soon(one, make(random), random.random())
            watch.inputs += 1
            if number == inputs // 10:
                watch.mark()
            await trio.lowlevel.checkpoint()


async def exchange(host: str, port: int, sent: bytes, manner: float) -> bytes:
    received = bytearray()
    try:
        async with await trio.open_tcp_stream(host, port) as stream:
            middle = len(sent) // 2 if manner < 0.2 else len(sent)
            await stream.send_all(sent[:middle])
            if middle < len(sent):
                await trio.lowlevel.checkpoint()
                await stream.send_all(sent[middle:])
            if manner > 0.9:
                return b""  # and hang up at once
            await stream.send_eof()
            with trio.fail_after(ANSWER):
                async for piece in stream:
                    received += piece
    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        pass  # the server has hung up on it
    return bytes(received)


Fuzz = Callable[[Random, int], Awaitable[Watch]]
