"""Who comes to an HTTP server that is full: some wait, and others make room for them."""

from socket import SO_LINGER, SOL_SOCKET
from struct import pack

import pytest
import trio

from fuota import http, places
from fuota.config.value import Bind
from tests.process.http_peers import application, connect, works


async def test_who_finds_everybody_served_is_served_next(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "CONNECTIONS", 1)
    address = await nursery.start(http.serve, application(), Bind("127.0.0.1", 0))
    async with await connect(address) as first:
        await first.send_all(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert await works(address)
        with trio.fail_after(5):
            assert b"at last" in b"".join([part async for part in first])
    nursery.cancel_scope.cancel()


async def test_who_waits_for_a_place_does_not_hold_up_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CONNECTIONS", 1)
    async with trio.open_nursery() as nursery:
        address = await nursery.start(http.serve, application(), Bind("127.0.0.1", 0))
        async with await connect(address) as served, await connect(address) as waiting:
            await served.send_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
            with trio.fail_after(5, shield=True):
                assert await waiting.receive_some() == b""
                assert b"at last" in b"".join([part async for part in served])


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: ",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf",
    ],
)
async def test_a_stranger_makes_room_for_who_comes_later(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, half: bytes
) -> None:
    monkeypatch.setattr(http, "CONNECTIONS", 2)
    monkeypatch.setattr(places, "YOUTH", 0.0)
    address = await nursery.start(http.serve, application(), Bind("127.0.0.1", 0))
    async with await connect(address) as served, await connect(address) as stranger:
        await served.send_all(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await stranger.send_all(half)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert await works(address)
        with trio.fail_after(5):
            assert await stranger.receive_some() == b""
            assert b"at last" in b"".join([part async for part in served])
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("requests", [1, 2, 3])
async def test_a_peer_that_hangs_up_before_its_answers_leaves_its_place(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, requests: int
) -> None:
    monkeypatch.setattr(http, "CONNECTIONS", 1)
    address = await nursery.start(http.serve, application(), Bind("127.0.0.1", 0))
    stream = await connect(address)
    await stream.send_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" * requests)
    await trio.testing.wait_all_tasks_blocked(0.01)
    stream.socket.setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))  # reset, not ended
    await trio.aclose_forcefully(stream)
    with trio.fail_after(5):
        while not await works(address):  # as soon as the server knows
            await trio.lowlevel.checkpoint()
    nursery.cancel_scope.cancel()
