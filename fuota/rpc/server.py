"""Serves gRPC: bodies run in Trio, errors have a status, and the end is orderly."""

import asyncio
import logging
import os
import re
import ssl
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import trio
from google.protobuf.message import DecodeError
from grpclib.const import Status
from grpclib.encoding.proto import ProtoStatusDetailsCodec
from grpclib.events import RecvRequest, listen
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Handler, Server, Stream
from h2.exceptions import H2Error

from fuota.bridge import in_asyncio
from fuota.config.value import Bind
from fuota.places import CONNECTIONS, Place, Places, room
from fuota.rpc.connection import Connection, lenient
from fuota.rpc.door import Door
from fuota.rpc.memory import Memory
from fuota.rpc.methods import served
from fuota.rpc.serialized import Codec
from fuota.rpc.served import CONFIGURATION, MESSAGES, PIECE, Served

if TYPE_CHECKING:
    from grpclib._typing import IServable

Answer: TypeAlias = Callable[[Exception], GRPCError | None]
"""What an error means to a client; None if it is none of its business: that is a bug, logged and UNKNOWN."""

AT_ONCE = 16
"""Newcomers that are let in before those who are there have their turn."""
GRACE = 4.0
"""Seconds for the calls under way when the server stops."""
REQUIRED = ((":method", ""), (":path", ""))
"""What grpclib stumbles over if a peer leaves it out. (And over metadata in octets, `-bin`, that is not in
Base64: nobody reads it here.)"""
TIMEOUT = "grpc-timeout"
UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
"""Of a client's deadline, in seconds."""
FAR = 60.0
"""Seconds until a deadline, beyond which it is the client's business alone."""
OUTLIVED = "Failed to handle cancellation"
"""What grpclib says, as an error, of a body that ends otherwise than by being cancelled."""
HANGING_UP = 1.0
"""Seconds for peers to receive what has been sent, and to close their side."""


async def serve(
    services: Collection["IServable"],
    bind: Bind,
    *,
    tls: ssl.SSLContext | None = None,
    answer: Answer = lambda error: None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; then accept no more, and give the calls under way `GRACE` to finish.

    `services` are grpclib's, with methods made as in `methods.py`; `answer` says what an error raised
    by one of them (or by several at once, in an exception group) means to the client. `task_status` is given
    the address in use, as `host:port`: it matters when `bind` has port 0. Has to run inside `open_loop`.
    Raises OSError that names the address when it can not be listened on.
    """
    logging.getLogger("grpclib.server").addFilter(_news)
    server = _Server(services, answer)
    try:
        await in_asyncio(server.listen, bind, tls)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise OSError(error.errno, f"can not listen on {bind}: {reason}") from error
    try:
        task_status.started(server.address())
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await server.stop()


class _Server(Server):
    def __init__(self, services: Collection["IServable"], answer: Answer) -> None:
        super().__init__(
            services, codec=Codec(), status_details_codec=ProtoStatusDetailsCodec(), config=CONFIGURATION
        )
        lenient(self._h2_config)
        self._answer = answer
        self._connections: set[Connection] = set()
        self._handshakes: set[asyncio.Transport] = set()
        self._places = Places("gRPC", room(CONNECTIONS))
        self._memory = Memory(MESSAGES)
        self._ending: set[asyncio.Task[Any]] = set()
        """The calls that end by themselves: the unary ones."""
        self._stopping = False
        listen(self, RecvRequest, self._guard)

    def _protocol_factory(self, place: Place | None = None) -> Served:
        self.__gc_step__()
        calls = _Calls(self._mapping, self._codec, self._status_details_codec, self.__dispatch__)
        self._handlers.add(calls)
        return Served(
            calls, self._config, self._h2_config, self._connections, self._places, place, self._memory
        )

    async def listen(self, bind: Bind, tls: ssl.SSLContext | None) -> None:
        """As `start`, which lets in as many at once as may queue, and all of them before their handshake."""

        def door() -> Door:
            assert tls is not None
            return Door(tls, self._places, self._handshakes, self._protocol_factory)

        factory = self._protocol_factory if tls is None else door
        self._server = await self._loop.create_server(factory, bind.host or None, bind.port, backlog=AT_ONCE)
        assert isinstance(self._server, asyncio.Server)
        for listener in self._server.sockets:
            with listener.dup() as queue:
                queue.listen(CONNECTIONS)

    def address(self) -> str:
        assert isinstance(self._server, asyncio.Server)
        host, port, *_ = self._server.sockets[0].getsockname()
        return str(Bind(host, port))

    async def _guard(self, event: RecvRequest) -> None:
        if self._stopping:
            raise _stopping()
        method = event.method_func
        call = asyncio.current_task()
        if call is not None and not self._mapping[event.method_name].cardinality.server_streaming:
            self._ending.add(call)
            call.add_done_callback(self._ending.discard)

        async def guarded(stream: Stream[Any, Any]) -> None:
            with _Translating(self._meaning):
                served(stream).hold(PIECE)
                await method(stream)

        event.method_func = guarded

    def _meaning(self, error: BaseException) -> GRPCError | None:
        match error:
            case GRPCError():
                return error
            case DecodeError():
                return GRPCError(Status.INVALID_ARGUMENT, str(error))
            case NotImplementedError():  # grpclib, of a compressed message
                return GRPCError(Status.UNIMPLEMENTED, str(error))
            case asyncio.CancelledError():
                return _stopping() if self._stopping else None
            case ExceptionGroup():
                meanings = [self._meaning(each) for each in error.exceptions]
                return None if None in meanings else meanings[0]
            case Exception():
                return self._answer(error)
        return None

    async def stop(self) -> None:
        assert self._server is not None
        self._stopping = True
        self._server.close()
        for handshake in self._handshakes:
            handshake.abort()
        with trio.move_on_after(GRACE):
            if self._ending:
                await in_asyncio(asyncio.wait, tuple(self._ending))
        handlers = tuple(self._handlers)
        for handler in handlers:
            handler.close()
        with trio.move_on_after(HANGING_UP):  # a peer that reads nothing is told nothing
            async with trio.open_nursery() as nursery:
                for handler in handlers:
                    nursery.start_soon(in_asyncio, handler.wait_closed)
        connections = tuple(self._connections)
        for connection in connections:
            connection.say_goodbye()
        with trio.move_on_after(HANGING_UP):
            for connection in connections:
                await connection.closed.wait()
        for connection in tuple(self._connections):
            connection.abandon()
        with trio.move_on_after(HANGING_UP):
            await in_asyncio(self._server.wait_closed)


class _Calls(Handler):
    """Of one connection."""

    def accept(self, stream: Any, headers: list[tuple[str, str]], release_stream: Callable[[], Any]) -> None:
        kept = [(name, value) for name, value in headers if name != TIMEOUT and not name.endswith("-bin")]
        given = [_deadline(value) for name, value in headers if name == TIMEOUT]
        kept += [(TIMEOUT, deadline) for deadline in given if deadline is not None]
        super().accept(stream, [*REQUIRED, *kept], release_stream)
        # a call that is reset at once is cancelled before it has begun, and would never be released
        self._tasks[stream].add_done_callback(lambda _: release_stream())


@attrs.frozen
class _Translating:
    """Turns an error that passes into what it means, if it means something."""

    meaning: Callable[[BaseException], GRPCError | None]

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        meaning = None if error is None else self.meaning(error)
        if meaning is not None and meaning is not error:
            raise meaning from error


def _stopping() -> GRPCError:
    return GRPCError(Status.UNAVAILABLE, "the server is stopping")


def _deadline(value: str) -> str | None:
    """What is made of a client's deadline; None: there is none.

    It is put at least a second away, for one that is over before the call begins would be a bug to grpclib;
    the client waits no longer than it said. One that is far off is left to the client, who takes the call
    back then: trio-asyncio keeps a timer in memory until its time has come, though the call may end at once.
    """
    if not (found := re.fullmatch(r"([0-9]{1,8})([HMSmun])", value)):
        return value
    seconds = int(found[1]) * UNITS[found[2]]
    if seconds > FAR:
        return None
    return "1S" if seconds < 1 else value


def _news(record: logging.LogRecord) -> bool:
    """Whether the log should have it. It is no news that a peer has gone before its answer could be sent, or
    that its deadline was over before a body that goes on to its end had come there."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, TimeoutError) and record.msg == OUTLIVED:
        return not isinstance(error.__context__, GRPCError | H2Error | None)
    return not isinstance(error, StreamTerminatedError)
