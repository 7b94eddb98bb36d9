"""asyncio inside Trio: crossings, cancellation, and errors nobody awaits."""

import asyncio
import threading

import pytest
import trio
from structlog.testing import capture_logs

from fuota.bridge import in_asyncio, in_trio, open_loop


async def test_crossing_both_ways() -> None:
    async def trio_half(a: int, b: int) -> int:
        await trio.lowlevel.checkpoint()
        return a + b

    async def asyncio_half(a: int, *, b: int) -> int:
        await asyncio.sleep(0)
        return await in_trio(trio_half, a, b)

    async with open_loop():
        assert await in_asyncio(asyncio_half, 1, b=2) == 3


async def test_errors_cross_as_they_are() -> None:
    async def trio_half() -> None:
        raise LookupError("lost")

    async def asyncio_half() -> None:
        await in_trio(trio_half)

    async with open_loop():
        with pytest.raises(LookupError, match="lost"):
            await in_asyncio(asyncio_half)


async def test_cancellation_crosses() -> None:
    seen: list[str] = []

    async def trio_half() -> None:
        began.set()
        try:
            await trio.sleep_forever()
        finally:
            seen.append("trio")

    async def asyncio_half() -> None:
        try:
            await in_trio(trio_half)
        except asyncio.CancelledError:
            seen.append("asyncio")
            raise

    began = trio.Event()
    async with open_loop():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_asyncio, asyncio_half)
            await began.wait()
            nursery.cancel_scope.cancel()
        assert seen == ["trio", "asyncio"]


async def test_an_error_nobody_awaits_is_logged() -> None:
    def stumble() -> None:
        raise UnicodeError("a peer's fault")

    async def later() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(stumble)
        await asyncio.sleep(0)

    with capture_logs() as logs:
        async with open_loop():
            await in_asyncio(later)
            await in_asyncio(later)
    assert [str(entry["exc_info"]) for entry in logs] == ["a peer's fault"] * 2


async def test_the_end_does_not_wait_for_a_name_server() -> None:
    released, ended = threading.Event(), threading.Event()
    began = trio.Event()

    def look_up() -> None:
        trio.from_thread.run_sync(began.set)
        released.wait(5)
        ended.set()

    async def resolve() -> None:
        await asyncio.get_running_loop().run_in_executor(None, look_up)

    try:
        async with open_loop(), trio.open_nursery() as nursery:
            nursery.start_soon(in_asyncio, resolve)
            await began.wait()
            nursery.cancel_scope.cancel()
        assert not ended.is_set()
    finally:
        released.set()
