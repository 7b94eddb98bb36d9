"""asyncio inside Trio: the only module that knows trio_asyncio.

grpclib speaks asyncio, everything of ours speaks Trio. A crossing costs a task and two turns of the loop,
so a call crosses once: grpclib receives and sends, our body in between runs in Trio (fuota/rpc).
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar, TypeVarTuple

import structlog
import trio
import trio_asyncio  # type: ignore[import-untyped]

P = ParamSpec("P")
Ts = TypeVarTuple("Ts")
R = TypeVar("R")

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_loop() -> AsyncIterator[None]:
    """An asyncio loop for everything inside; its tasks are cancelled and awaited at the end.

    An error that no task awaits is logged. (trio-asyncio would raise it here and so end the process,
    which one peer with a malformed frame could bring about.)
    """
    async with trio_asyncio.open_loop() as loop:
        loop.set_exception_handler(_log)
        loop.set_default_executor(_Threads())
        yield


async def in_asyncio(function: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
    """From Trio, inside `open_loop`: await `function(...)` in asyncio. Cancelling this cancels that."""
    result: R = await trio_asyncio.aio_as_trio(function)(*args, **kwargs)
    return result


async def in_trio(function: Callable[[*Ts], Awaitable[R]], *args: *Ts) -> R:
    """From asyncio, inside `open_loop`: await `function(...)` in Trio. Cancelling this cancels that."""
    result: R = await trio_asyncio.trio_as_aio(function)(*args)
    return result


class _Threads(trio_asyncio.TrioExecutor):  # type: ignore[misc]  # trio_asyncio has no types
    """Where asyncio looks up host names. That can take half a minute; the loop's end does not wait for it."""

    async def submit(self, function: Callable[[*Ts], R], *args: *Ts) -> R:
        return await trio.to_thread.run_sync(function, *args, abandon_on_cancel=True)


def _log(loop: object, context: dict[str, Any]) -> None:
    log.error("asyncio", problem=context.get("message"), exc_info=context.get("exception"))
