"""The methods of a grpclib service, of functions in Trio: one crossing per call, and an end to waiting."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, TypeAlias, TypeVar, cast

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream

from fuota.bridge import in_asyncio, in_trio
from fuota.rpc.serialized import Serialized
from fuota.rpc.served import ServedStream

S = TypeVar("S")
Req = TypeVar("Req")
Res = TypeVar("Res")
Method: TypeAlias = Callable[[S, Stream[Req, Res]], Coroutine[Any, Any, None]]
Send: TypeAlias = Callable[[Res], Awaitable[None]]

ASKING = 60.0
"""Seconds in which a message has to arrive."""
TAKING = 60.0
"""Seconds in which a client has to take the answer."""


def unary(method: Callable[[S, Req], Awaitable[Res]]) -> Method[S, Req, Res]:
    """A method of a grpclib service, of a Trio function that takes the request and returns the response."""

    @wraps(method)
    async def call(self: S, stream: Stream[Req, Res]) -> None:
        request = await _request(stream)
        with served(stream).serving(to_its_end=True):
            response = await in_trio(method, self, request)
            async with _within(TAKING, "the answer was not taken"):
                await stream.send_message(response)

    return call


def unary_in_octets(method: Callable[[S, Req], Awaitable[Serialized[Res]]]) -> Method[S, Req, Res]:
    """The same of a function whose response is long."""
    return cast(Method[S, Req, Res], unary(method))


def streaming(method: Callable[[S, Req, Send[Res]], Awaitable[None]]) -> Method[S, Req, Res]:
    """A method of a grpclib service, of a Trio function that takes the request and sends the responses.

    When the server stops, such a call is not waited for.
    """

    @wraps(method)
    async def call(self: S, stream: Stream[Req, Res]) -> None:
        async def send(response: Res) -> None:
            await in_asyncio(stream.send_message, response)

        request = await _request(stream)
        with served(stream).serving(to_its_end=False):
            await in_trio(method, self, request, send)

    return call


def served(stream: Stream[Any, Any]) -> ServedStream:
    """What is below it."""
    assert isinstance(stream._stream, ServedStream)
    return stream._stream


async def _request(stream: Stream[Req, Any]) -> Req:
    async with _within(ASKING, "the message did not arrive"):
        request = await stream.recv_message()
    if request is None:
        raise GRPCError(Status.INVALID_ARGUMENT, "a call without a message")
    return request


@asynccontextmanager
async def _within(seconds: float, otherwise: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise GRPCError(Status.DEADLINE_EXCEEDED, f"{otherwise} within {seconds:g} s") from error
