"""What many large bodies at once can take of the memory is bounded, and the events of others pass by."""

import pytest
import trio

from fuota import http
from fuota.actor import Actor, Child, open_tree
from fuota.clock import SystemClock
from fuota.config.value import Bind
from fuota.dispatcher import Outcome, Route
from fuota.integration import chirpstack3
from fuota.integration import endpoint as module
from fuota.integration.endpoint import LARGE, endpoint


class Dispatcher(Actor[Route]):
    async def receive(self, route: Route) -> None:
        route.reply.give(Outcome.TAKEN)


async def ask(address: str, head: bytes, body: bytes) -> bytes:
    """The first line of the answer."""
    bind = Bind.parse(address)
    with trio.fail_after(5):
        async with await trio.open_tcp_stream(bind.host, bind.port) as stream:
            await stream.send_all(b"POST /?event=up HTTP/1.1\r\nHost: x\r\n%s\r\n%s" % (head, body))
            return bytes(await stream.receive_some()).partition(b"\r\n")[0]


async def test_few_large_bodies_are_in_memory_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE_AT_ONCE", 1)
    large = b"Content-Length: %d\r\n" % (LARGE + 1)
    chunked = b"Transfer-Encoding: chunked\r\n"
    async with open_tree([Child("dispatcher", Dispatcher)]) as tree, trio.open_nursery() as nursery:
        ref = tree.find("/dispatcher")
        assert ref is not None
        app = endpoint(
            chirpstack3, ref, SystemClock(), tell=print, late=print, marshaler="protobuf", token=""
        )
        address: str = await nursery.start(http.serve, app, Bind("127.0.0.1", 0))
        bind = Bind.parse(address)
        async with await trio.open_tcp_stream(bind.host, bind.port) as slow:
            await slow.send_all(b"POST /?event=up HTTP/1.1\r\nHost: x\r\n" + large + b"\r\n\x0a")
            with trio.fail_after(5):
                while await ask(address, large, bytes(LARGE + 1)) != b"HTTP/1.1 503 ":
                    await trio.lowlevel.checkpoint()
            assert await ask(address, chunked, b"1\r\n\n\r\n0\r\n\r\n") == b"HTTP/1.1 503 "
            assert await ask(address, b"Content-Length: 1\r\n", b"\n") == b"HTTP/1.1 400 "
        with trio.fail_after(5):
            while await ask(address, large, bytes(LARGE + 1)) == b"HTTP/1.1 503 ":
                await trio.lowlevel.checkpoint()  # until the server knows that the slow one has gone
        nursery.cancel_scope.cancel()
