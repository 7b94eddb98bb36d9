"""No peer can end the HTTP server or hold it up: what is sent here comes over real sockets."""

from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import trio

from fuota import http, http_connection
from fuota.config.value import Bind
from tests.process.http_peers import MIB, application, connect, exchange, works


@pytest.fixture
async def address(nursery: trio.Nursery) -> AsyncIterator[str]:
    yield await nursery.start(http.serve, application(), Bind("127.0.0.1", 0))
    nursery.cancel_scope.cancel()


HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""What a client begins with that takes HTTP/2 without TLS for granted: a preface and SETTINGS."""
WEBSOCKET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"

BROKEN = {
    "nothing": b"",
    "empty lines": b"\r\n\r\n",
    "every octet": bytes(range(256)) * 40,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "path not ASCII": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "no path": b"GET ?x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "absolute path": b"GET http://%00/%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "endless head": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000,
    "negative length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "bad chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "both lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "CONNECT": b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "websocket without a key": WEBSOCKET + b"\r\n",
    "websocket": WEBSOCKET
    + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "h2c upgrade": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"Upgrade: h2c\r\nHTTP2-Settings: !!!\r\n\r\n",
    "HTTP/2": HTTP2,
    "HTTP/2 garbage": HTTP2[:24] + b"\xff" * 100,
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_peer_is_alone_with_it(address: str, data: bytes) -> None:
    async with await connect(address) as stream:
        await stream.send_all(data)
        await stream.send_eof()
        with trio.fail_after(5):
            async for _ in stream:
                pass
    assert await works(address)


@pytest.mark.parametrize(
    "data",
    [
        HTTP2,
        b"GET / HTTP/0.9\r\nHost: x\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET ?x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
async def test_what_is_not_served_is_refused(address: str, data: bytes) -> None:
    assert (await exchange(address, data)).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("target", [b"http://x/slow", b"HTTP://x:80/slow?a=b", b"https://[::1]/slow"])
async def test_a_target_may_be_a_whole_url(address: str, target: bytes) -> None:
    """As a proxy is asked (RFC 9112, 3.2.2)."""
    answer = await exchange(address, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"at last")


@pytest.mark.parametrize("target", [b"http://x", b"http://x?a=b"])
async def test_a_url_without_a_path_has_the_shortest_one(address: str, target: bytes) -> None:
    answer = await exchange(address, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "upgrade",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        WEBSOCKET.partition(b"Host: x\r\n")[2],
    ],
)
async def test_an_upgrade_is_not_taken_up(address: str, upgrade: bytes) -> None:
    answer = await exchange(address, b"GET /slow HTTP/1.0\r\nHost: x\r\n" + upgrade + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"at last")


async def test_a_peer_that_leaves_early(address: str) -> None:
    for data in (b"PO", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", HTTP2):
        stream = await connect(address)
        await stream.send_all(data)
        await trio.aclose_forcefully(stream)
    assert await works(address)


async def test_many_requests_over_one_connection(address: str) -> None:
    async with await connect(address) as stream:
        for _ in range(20):
            await stream.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
            answer = b""
            while not answer.endswith(b"\r\n\r\nhi"):
                answer += await stream.receive_some()


async def test_a_body_that_does_not_come_is_not_waited_for(address: str) -> None:
    answer = await exchange(address, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
    assert answer.startswith(b"HTTP/1.1 408")


async def test_a_head_that_does_not_come_is_not_waited_for(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "FIRST_REQUEST", 0.1)
    assert await exchange(address, b"POST / HTTP/1.1\r\nHost: x\r\nX: ") == b""


async def test_a_body_too_large_is_refused_by_its_content_length(address: str) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (2 * MIB)
    assert (await exchange(address, head + bytes(2 * MIB))).startswith(b"HTTP/1.1 413")


async def test_a_body_too_large_is_refused_in_chunks(address: str) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = (b"10000\r\n" + bytes(65536) + b"\r\n") * 40
    assert (await exchange(address, head + chunks + b"0\r\n\r\n")).startswith(b"HTTP/1.1 413")


async def test_a_peer_that_reads_nothing_is_hung_up_on(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "SENDING", 0.2)
    async with await connect(address) as stream:
        await stream.send_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        received = 0
        with trio.fail_after(5), suppress(trio.BrokenResourceError):
            await trio.sleep(0.5)
            async for part in stream:
                received += len(part)
        assert received < 32 * MIB


async def test_a_connection_that_idles_after_an_answer_is_closed_in_time(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "KEEP_ALIVE", 0.1)
    answer = await exchange(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


async def test_ipv6(nursery: trio.Nursery) -> None:
    address = await nursery.start(http.serve, application(), Bind("::1", 0))
    assert address.startswith("[::1]:")
    assert await works(address)
    nursery.cancel_scope.cancel()


async def test_an_address_in_use_is_named(address: str) -> None:
    bind = Bind("127.0.0.1", int(address.rpartition(":")[2]))
    with pytest.raises(OSError, match=rf"can not listen on {address}: Address already in use"):
        await http.serve(application(), bind)
