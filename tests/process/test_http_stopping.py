"""The HTTP server stops in time, and finishes first what it can."""

import pytest
import trio

from fuota import http, http_connection
from fuota.config.value import Bind
from tests.process.http_peers import application, connect


async def test_a_request_under_way_is_finished_when_the_server_stops() -> None:
    async with trio.open_nursery() as nursery:
        address = await nursery.start(http.serve, application(), Bind("127.0.0.1", 0))
        async with await connect(address) as stream, await connect(address) as idle:
            await stream.send_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
            with trio.fail_after(5, shield=True):
                assert b"at last" in b"".join([part async for part in stream])
                assert await idle.receive_some() == b""
    with pytest.raises(OSError, match="all attempts"):
        await connect(address)


async def test_connections_that_idle_after_an_answer_do_not_hold_up_the_stop() -> None:
    async with trio.open_nursery() as nursery:
        address = await nursery.start(http.serve, application(), Bind("127.0.0.1", 0))
        idle = await connect(address)
        await idle.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await idle.receive_some()).startswith(b"HTTP/1.1 200")
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
        began = trio.current_time()
    assert trio.current_time() - began < http.GRACE / 2
    await idle.aclose()


async def test_a_request_that_comes_behind_the_last_answer_does_not_hold_up_the_stop() -> None:
    async with trio.open_nursery() as nursery:
        address = await nursery.start(http.serve, application(), Bind("127.0.0.1", 0))
        stream = await connect(address)
        await stream.send_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
        began = trio.current_time()
        with trio.CancelScope(shield=True):
            assert b"200" in await stream.receive_some()
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert trio.current_time() - began < http_connection.LINGERING + 1
    await stream.aclose()


async def test_a_request_without_end_does_not_keep_the_server_from_stopping(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "GRACE", 0.1)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            address = await nursery.start(http.serve, application(), Bind("127.0.0.1", 0))
            stream = await connect(address)
            await stream.send_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            await trio.testing.wait_all_tasks_blocked(0.05)
            nursery.cancel_scope.cancel()
    await trio.aclose_forcefully(stream)
