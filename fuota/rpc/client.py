"""Calls gRPC from Trio: every call has a time limit, and one kind of error."""

import asyncio
import math
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import trio
from google.protobuf.message import DecodeError
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.protocol import H2Protocol
from h2.exceptions import H2Error

from fuota.bridge import in_asyncio
from fuota.config.value import Bind
from fuota.rpc.calling import Calling, NotTaken, permitted
from fuota.rpc.connection import Connection, lenient
from fuota.rpc.errors import RpcError

Req = TypeVar("Req")
Res = TypeVar("Res")

HTTP_STATUS = "Received :status = "
"""What grpclib says where no gRPC server has answered. To it, 404 means that there is no such method; but so
says a proxy while it has nobody to pass a call on to."""

NEXT_ADDRESS = 0.25
"""Seconds in which an address of the peer may answer before its next one is tried beside it (RFC 8305)."""

_NO_CONNECTION = (StreamTerminatedError, OSError, H2Error, asyncio.CancelledError)
_NOT_GRPC = (ProtocolError, DecodeError, AssertionError, LookupError, NotImplementedError, ValueError)
"""What grpclib stumbles over in an answer: no message, half a message, a missing header…"""


@asynccontextmanager
async def connect(server: Bind, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Channel]:
    """A channel for the generated stubs, inside `open_loop`.

    It connects with the first call, and again with the next one after the connection was lost.
    """
    channel = _Channel(server.host, server.port, tls)
    try:
        yield channel
    finally:
        channel.hang_up()


@contextmanager
def only_if(may: Callable[[], bool]) -> Iterator[None]:
    """Nothing of a call that is made inside is sent unless it `may` be at that moment.

    Before it is sent it crosses into asyncio, and waits for a connection and its turn there; meanwhile the
    process may have been suspended for as long as you like. `call` raises `NotPermitted` then.
    """
    before = permitted.set(may)
    try:
        yield
    finally:
        permitted.reset(before)


async def call(
    method: UnaryUnaryMethod[Req, Res],
    request: Req,
    *,
    timeout: float,  # noqa: ASYNC109  # the server is told it too
    metadata: Mapping[str, str | bytes] | None = None,
) -> Res:
    """Call a method of a stub whose channel is from `connect`, for at most `timeout` seconds.

    Raises `RpcError`, and nothing else unless `only_if` is around it. Cancelling cancels the call at the
    server too.
    """
    began = trio.current_time()
    try:
        return await _taken(method, request, began + timeout, metadata)
    except GRPCError as error:
        status, said = error.status, error.message or ""
        if said.startswith(HTTP_STATUS) and status is Status.UNIMPLEMENTED:
            status = Status.UNAVAILABLE
        raise RpcError(status, said) from error
    except TimeoutError as error:
        assert isinstance(method.channel, _Channel)
        method.channel.suspect(silent_since=began)
        raise RpcError(Status.DEADLINE_EXCEEDED, f"no answer within {timeout:g} s") from error
    except _NO_CONNECTION as error:
        raise RpcError(Status.UNAVAILABLE, str(error) or "the connection was lost") from error
    except _NOT_GRPC as error:  # without the cause, in whose text a token may stand
        raise RpcError(Status.INTERNAL, f"the answer is not gRPC ({type(error).__name__})") from None


async def _taken(
    method: UnaryUnaryMethod[Req, Res],
    request: Req,
    until: float,
    metadata: Mapping[str, str | bytes] | None,
) -> Res:
    """Over the next connection if this one takes no more calls: where many wait for their turn, one may see
    several end like that. Raises `NotTaken` the second time that a connection takes none at all."""
    in_vain = False
    while True:
        try:
            return await in_asyncio(method, request, timeout=until - trio.current_time(), metadata=metadata)
        except NotTaken as error:
            if in_vain and not error.others:
                raise
            in_vain = in_vain or not error.others


class _Channel(Channel):
    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(host, port, ssl=tls)
        lenient(self._h2_config)
        self._connections: set[Connection] = set()

    def _protocol_factory(self) -> Connection:
        made = super()._protocol_factory()
        return Calling(made.handler, made.config, made.h2_config, self._connections)

    async def _create_connection(self) -> H2Protocol:
        _, connection = await self._loop.create_connection(
            self._protocol_factory,
            self._host,
            self._port,
            ssl=self._ssl,
            happy_eyeballs_delay=NEXT_ADDRESS,
        )
        return connection

    def suspect(self, *, silent_since: float) -> None:
        """Leave a connection on which nothing at all was heard: grpclib would ask a frozen peer for ever."""
        for connection in tuple(self._connections):
            if connection.heard_at <= silent_since:
                connection.abandon()

    def hang_up(self) -> None:
        self.suspect(silent_since=math.inf)
        self.close()
