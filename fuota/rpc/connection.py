"""One HTTP/2 connection of grpclib, whichever side opened it, hardened against its peer."""

import asyncio
import math
import socket
from functools import partial
from typing import Any

import trio
from google.protobuf.message import DecodeError
from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.protocol import AbstractHandler, H2Protocol, Stream
from h2.config import H2Configuration
from h2.utilities import SizeLimitDict

MESSAGE_LIMIT = 16 * 2**20
"""Bytes of one message, in either direction."""
REMEMBERED = 200
"""Calls that have ended of which it is known how. That matters when headers still come for one, as of an
answer to a call that was given up just then; those are fewer than may be under way, which are 100. h2 itself
would remember 65 536 on each connection, which are 7 MiB."""
UNKNOWN, BAD = (str(status.value) for status in (Status.UNKNOWN, Status.INVALID_ARGUMENT))
A_BUG = "Internal Server Error"
"""What grpclib says when a service has failed. It also calls UNKNOWN what the peer has done wrong: a header
that is missing or makes no sense."""


class Connection(H2Protocol):
    """Goes on after frames it does not know, notices a peer that has gone, and takes no oversize message."""

    transport: asyncio.Transport

    def __init__(
        self,
        handler: AbstractHandler,
        config: Configuration,
        h2_config: H2Configuration,
        open_ones: set["Connection"],
    ) -> None:
        """`open_ones` holds the connection for as long as it is open."""
        super().__init__(handler, config, h2_config)
        self.heard_at = -math.inf
        """When the peer last sent anything, on Trio's clock."""
        self.closed = trio.Event()
        self._open_ones = open_ones

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._open_ones.add(self)
        super().connection_made(transport)
        self.connection._connection._closed_streams = SizeLimitDict(size_limit=REMEMBERED)
        # grpclib takes these for errors that end the connection; HTTP/2 wants them ignored (RFC 9113, 4.1)
        self.processor.processors = _Ignoring(self.processor.processors)
        self.connection.create_stream = partial(  # type: ignore[method-assign]  # it has no other way in
            self.new_stream, self.connection, self.connection._connection, transport
        )
        _expect_signs_of_life(transport.get_extra_info("socket"))

    def new_stream(self, *args: Any, **kwargs: Any) -> "LimitedStream":
        """What grpclib makes a `Stream` of."""
        return LimitedStream(*args, **kwargs)

    def data_received(self, data: bytes) -> None:
        self.heard_at = trio.current_time()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._open_ones.discard(self)
        self.closed.set()

    def say_goodbye(self) -> None:
        """Close in a way that tells the peer to come again (GOAWAY), after what is still to be sent."""
        if not self.connection.is_closing():
            self.connection._connection.close_connection()
            self.connection.flush()
        self.processor.close()

    def abandon(self) -> None:
        """Close at once: what is still to be sent is lost."""
        self.processor.close()
        self.transport.abort()


class _Ignoring(dict[Any, Any]):
    def __missing__(self, event: type) -> Any:
        return _ignore


def _ignore(event: object) -> None:
    pass


class LimitedStream(Stream):
    """One call, which ends when the peer ends it.

    grpclib reads a message in two: five octets that announce its length, then that many.
    """

    _announced = False
    """Whether the five octets were read last."""

    async def recv_data(self, size: int) -> bytes:
        if size > MESSAGE_LIMIT:
            raise GRPCError(
                Status.RESOURCE_EXHAUSTED, f"a message of {size} bytes: {MESSAGE_LIMIT} are allowed"
            )
        self._announced = not self._announced
        try:
            data = await self.collect(size)
        except AssertionError as error:
            raise DecodeError("The message is shorter than announced") from error
        if len(data) < size and (data or not self._announced):
            raise DecodeError("The message is shorter than announced")
        return data

    async def collect(self, size: int) -> bytes:
        """So many octets; fewer if no more come."""
        return await super().recv_data(size)

    async def send_headers(self, headers: list[tuple[str, str]], end_stream: bool = False) -> None:
        said = dict(headers)
        if said.get("grpc-status") == UNKNOWN and said.get("grpc-message") != A_BUG:
            headers = [(name, BAD if name == "grpc-status" else value) for name, value in headers]
        await super().send_headers(headers, end_stream)

    def __ended__(self) -> None:
        super().__ended__()
        if self.trailers is None:  # grpclib would go on waiting for them
            self.trailers = []
            self.trailers_received.set()


def lenient(config: H2Configuration) -> H2Configuration:
    """Headers that are not ASCII are read, not stumbled over: what they name just does not exist."""
    config.header_encoding = "latin-1"
    return config


def _expect_signs_of_life(sock: socket.socket | None) -> None:
    """Let the kernel find out within a minute or two that the peer's machine or the way to it is gone.

    HTTP/2 pings would do it too, but a server in Go, as ChirpStack's, takes more than one in five minutes
    for an attack and hangs up.
    """
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", 60),
        ("TCP_KEEPINTVL", 15),
        ("TCP_KEEPCNT", 4),
        ("TCP_USER_TIMEOUT", 60_000),
    ):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
