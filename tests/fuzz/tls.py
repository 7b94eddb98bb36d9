"""The gRPC API's port with TLS: handshakes that go wrong, and what comes instead of them."""

import ssl
import tempfile
from pathlib import Path
from random import Random

from tests.fuzz.http import PREFACE
from tests.fuzz.mutate import mutated
from tests.fuzz.sockets import feed
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


async def fuzz(random: Random, inputs: int) -> Watch:
    samples = [hello(), hello() + PREFACE, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", PREFACE, b"\x16\x03\x01"]
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder), "authority")
        issued, own = authority.issue("localhost"), authority.own()
        async with watched(issued, ssl.create_default_context(cafile=own)) as watch:
            await feed(
                watch.victim.api, random, inputs, lambda random: mutated(random, samples), check, watch
            )
        return watch
