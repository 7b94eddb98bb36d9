"""The gRPC API's port with TLS: handshakes that go wrong, what comes instead of them, and behind them."""

import ssl
import tempfile
from functools import partial
from pathlib import Path
from random import Random

import trio

from fuota.config.value import Bind
from tests.fuzz import grpc
from tests.fuzz.http import PREFACE
from tests.fuzz.mutate import mutated
from tests.fuzz.sockets import DEAF, HASTY, feed, send
from tests.fuzz.watch import Watch, watched
from tests.process.certificates import Authority

RECORDS = (0x14, 0x15, 0x16, 0x17)
"""What a record of TLS begins with (RFC 8446 section 5.1)."""


def hello() -> bytes:
    """What a client begins with."""
    sent = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return sent.read()
    raise AssertionError("nobody has answered")


def check(sent: bytes, answer: bytes) -> None:
    assert not answer or answer[0] in RECORDS, answer[:80]


async def behind(trust: ssl.SSLContext, bind: Bind, sent: bytes, manner: float) -> bytes:
    """What is answered to what comes once hands are shaken, until it is quiet; some ask and do not listen.

    With TLS nobody can say that he has nothing more to say, but by hanging up.
    """
    received = bytearray()
    try:
        async with await trio.open_ssl_over_tcp_stream(
            bind.host, bind.port, ssl_context=trust, https_compatible=manner < 0.5
        ) as stream:
            await send(stream, sent, manner)
            while manner < HASTY:
                with trio.move_on_after(DEAF / 5) as quiet:
                    piece = await stream.receive_some()
                if quiet.cancelled_caught or not piece:
                    break
                received += piece
    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        pass  # the server has hung up on it
    return bytes(received)


async def fuzz(random: Random, inputs: int) -> Watch:
    samples = [hello(), hello() + PREFACE, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", PREFACE, b"\x16\x03\x01"]
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder), "authority")
        issued, own = authority.issue("localhost"), authority.own()
        trust = ssl.create_default_context(cafile=own)
        trust.set_alpn_protocols(["h2"])
        async with watched(issued, trust) as watch:
            made = partial(mutated, samples=samples)
            await feed(watch.victim.api, random, inputs - inputs // 2, made, check, watch)
            answered = 0

            def check_calls(sent: bytes, answer: bytes) -> None:
                nonlocal answered
                answered += bool(answer)
                grpc.check(sent, answer)

            through = partial(behind, trust)
            await feed(watch.victim.api, random, inputs // 2, grpc.calls, check_calls, watch, through)
            assert answered > inputs // 4, "hands were hardly ever shaken"
        return watch
