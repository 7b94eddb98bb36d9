"""Inputs on their way to a server: each on a connection of its own, many connections at a time."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

import trio

from fuota.config.value import Bind
from tests.fuzz.watch import Watch

AT_ONCE = 24
ANSWER = 60.0
"""Seconds in which a server has to have ended a connection whose other end has nothing more to say."""
DEAF = 0.5
"""Seconds that a peer stays which reads nothing."""
DRIPS, HALVES, PATIENT, HASTY = 0.05, 0.2, 0.85, 0.98
"""Below these are the manners: to let the end drip, to send in two halves, at once, to hang up then, and to
read nothing."""
DROPS, DROP = 8, 0.02
"""The last octets of what drips, which is the end of its body, and the seconds before each of them: few of
those that are served at the same time do so, and none for long."""

Check = Callable[[bytes, bytes], None]
"""Of what was sent and what was answered."""
Exchange = Callable[[Bind, bytes, float], Awaitable[bytes]]
"""What is answered to what is sent in such a manner."""


async def send(stream: trio.abc.SendStream, sent: bytes, manner: float) -> None:
    """All of it, at once, in two halves, or with an end that drips."""
    middle = max(0, len(sent) - DROPS) if manner < DRIPS else len(sent) // 2 if manner < HALVES else 0
    await stream.send_all(sent[:middle])
    await trio.lowlevel.checkpoint()
    if manner < DRIPS:
        for octet in sent[middle:]:
            await trio.sleep(DROP)
            await stream.send_all(bytes([octet]))
    else:
        await stream.send_all(sent[middle:])


async def exchange(bind: Bind, sent: bytes, manner: float) -> bytes:
    """What is answered; by `manner`, some send bit by bit, hang up when all is sent, or read nothing."""
    received, said = bytearray(), trio.Event()

    async def say(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await send(stream, sent, manner)
            if manner < PATIENT:
                await stream.send_eof()
        said.set()

    try:
        async with await trio.open_tcp_stream(bind.host, bind.port) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(say, stream)
            if manner < PATIENT:
                with trio.fail_after(ANSWER):
                    async for piece in stream:
                        received += piece
            else:
                with trio.move_on_after(DEAF):
                    await (trio.sleep_forever if manner > HASTY else said.wait)()
            nursery.cancel_scope.cancel()
    except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        pass  # the server has hung up on it
    return bytes(received)


async def feed(
    bind: Bind,
    random: Random,
    inputs: int,
    make: Callable[[Random], bytes],
    check: Check,
    watch: Watch,
    exchange: Exchange = exchange,
) -> None:
    """Send so many inputs, some of them in pieces, some without waiting for an answer."""
    given, taken = trio.open_memory_channel[tuple[bytes, float]](0)

    async def work(taken: trio.MemoryReceiveChannel[tuple[bytes, float]]) -> None:
        async with taken:
            async for sent, manner in taken:
                answer = await exchange(bind, sent, manner)
                try:
                    check(sent, answer)
                except Exception as error:
                    error.add_note(f"input {sent[:4000].hex()}")
                    raise

    async with trio.open_nursery() as nursery, given, taken:
        for _ in range(AT_ONCE):
            nursery.start_soon(work, taken.clone())
        for number in range(inputs):
            made = make(random)
            await given.send((made, random.random()))
            watch.inputs += 1
            watch.sent += len(made)
            if number == inputs // 10:
                watch.mark()
