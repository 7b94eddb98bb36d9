"""Serves gRPC: bodies run in Trio, errors have a status, and the end is orderly."""

import asyncio
import logging
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Collection, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import attrs
import trio
from google.protobuf.message import DecodeError
from grpclib.const import Status
from grpclib.events import RecvRequest, listen
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Server, Stream

from fuota.bridge import in_asyncio, in_trio
from fuota.config import Bind
from fuota.rpc.connection import Connection, lenient

if TYPE_CHECKING:
    from grpclib._typing import IServable

S = TypeVar("S")
Req = TypeVar("Req")
Res = TypeVar("Res")
Method: TypeAlias = Callable[[S, Stream[Req, Res]], Coroutine[Any, Any, None]]
Send: TypeAlias = Callable[[Res], Awaitable[None]]
Answer: TypeAlias = Callable[[Exception], GRPCError | None]
"""What an error means to a client; None if it is none of its business: that is a bug, logged and UNKNOWN."""

GRACE = 4.0
"""Seconds for the calls under way when the server stops."""
REQUIRED = ((":method", ""), (":path", ""))
"""What grpclib stumbles over if a peer leaves it out."""
HANGING_UP = 1.0
"""Seconds for peers to receive what has been sent, and to close their side."""


def unary(method: Callable[[S, Req], Awaitable[Res]]) -> Method[S, Req, Res]:
    """A method of a grpclib service, of a Trio function that takes the request and returns the response."""

    @wraps(method)
    async def call(self: S, stream: Stream[Req, Res]) -> None:
        await stream.send_message(await in_trio(method, self, await _request(stream)))

    return call


def streaming(method: Callable[[S, Req, Send[Res]], Awaitable[None]]) -> Method[S, Req, Res]:
    """A method of a grpclib service, of a Trio function that takes the request and sends the responses.

    When the server stops, such a call is not waited for.
    """

    @wraps(method)
    async def call(self: S, stream: Stream[Req, Res]) -> None:
        async def send(response: Res) -> None:
            await in_asyncio(stream.send_message, response)

        await in_trio(method, self, await _request(stream), send)

    return call


async def _request(stream: Stream[Req, Any]) -> Req:
    request = await stream.recv_message()
    if request is None:
        raise GRPCError(Status.INVALID_ARGUMENT, "a call without a message")
    return request


async def serve(
    services: Collection["IServable"],
    bind: Bind,
    *,
    tls: ssl.SSLContext | None = None,
    answer: Answer = lambda error: None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; then accept no more, and give the calls under way `GRACE` to finish.

    `services` are grpclib's, with methods made by `unary` and `streaming`; `answer` says what an error raised
    by one of them (or by several at once, in an exception group) means to the client. `task_status` is given
    the address in use, as `host:port`: it matters when `bind` has port 0. Has to run inside `open_loop`.
    Raises OSError that names the address when it can not be listened on.
    """
    logging.getLogger("grpclib.server").addFilter(_news)
    server = _Server(services, answer)
    try:
        await in_asyncio(server.start, bind.host or None, bind.port, ssl=tls)
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
        super().__init__(services)
        lenient(self._h2_config)
        self._answer = answer
        self._connections: set[Connection] = set()
        self._ending: set[asyncio.Task[Any]] = set()
        """The calls that end by themselves: the unary ones."""
        self._stopping = False
        listen(self, RecvRequest, self._guard)

    def _protocol_factory(self) -> Connection:
        made = super()._protocol_factory()
        accept = made.handler.accept

        def accept_in_time(stream: Any, headers: list[tuple[str, str]], release: Callable[[], Any]) -> None:
            known = [*REQUIRED, *((name, _at_least(name, value)) for name, value in headers)]
            accept(stream, known, release)

        made.handler.accept = accept_in_time  # type: ignore[assignment, method-assign]  # no other way in
        return Connection(made.handler, made.config, made.h2_config, self._connections)

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
        with trio.move_on_after(GRACE):
            if self._ending:
                await in_asyncio(asyncio.wait, tuple(self._ending))
        for handler in tuple(self._handlers):
            handler.close()
            await in_asyncio(handler.wait_closed)
        connections = tuple(self._connections)
        for connection in connections:
            connection.say_goodbye()
        with trio.move_on_after(HANGING_UP):
            for connection in connections:
                await connection.closed.wait()
        for connection in tuple(self._connections):
            connection.abandon()
        await in_asyncio(self._server.wait_closed)


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


def _at_least(name: str, value: str) -> str:
    """A header. A deadline is put at least a second away, for one that is over before the call begins would
    be a bug to grpclib; the client waits no longer than it said."""
    if name != "grpc-timeout" or not (found := re.fullmatch(r"([0-9]{1,8})([HMSmun])", value)):
        return value
    number, unit = int(found[1]), found[2]
    return "1S" if number < {"m": 1_000, "u": 1_000_000, "n": 1_000_000_000}.get(unit, 1) else value


def _news(record: logging.LogRecord) -> bool:
    """Whether the log should have it. That a peer has gone before its answer could be sent, is none."""
    return not (record.exc_info and isinstance(record.exc_info[1], StreamTerminatedError))
