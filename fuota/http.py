"""Serves an ASGI application on hypercorn's connections; no peer can end the server or hold it up.

hypercorn's own `serve` lets an error in one connection (an h2c CONNECT, a `:path` that is not ASCII) end
all of them, waits without limit for a peer that reads nothing, and resets a connection whose request it
answers before having read it. Its protocols are used as they are; its connection is mended here.
"""

import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog
import trio
from h11 import LocalProtocolError
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState

from fuota.config import Bind

log = structlog.get_logger(__name__)

CONNECTIONS = 500
"""Open at a time; whoever comes on top is hung up on, before the process runs out of file descriptors."""
KEEP_ALIVE = 100.0
"""Seconds an idle connection is kept: longer than Go's HTTP client keeps it (90 s), which ChirpStack is, for
that does not repeat a POST it has sent into a connection being closed."""
FIRST_REQUEST = 10.0
"""Seconds a new connection has for the head of its first request."""
SENDING = 10.0
"""Seconds a peer has to receive what is sent in one piece."""
LINGERING = 1.0
"""Seconds in which the rest of a request that is already answered is read away."""
ANSWERING = 12.0
"""Seconds for what is still to be answered to a peer that sends no more, or lets nothing more be sent."""
GRACE = 3.0
"""Seconds for requests under way when the server stops."""


async def serve(
    app: ASGIFramework, bind: Bind, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled; then accept no more, and give the requests under way `GRACE` to finish.

    `task_status` is given the address in use, as `host:port`: it matters when `bind` has port 0.
    Raises OSError that names the address when it can not be listened on. The lifespan protocol is not
    spoken: the applications served here begin and end with their actors.
    """
    config = _configuration()
    context = WorkerContext(max_requests=None)
    places = trio.CapacityLimiter(CONNECTIONS)

    async def plain(scope: Any, receive: Any, send: Any) -> None:
        async def say(event: Any) -> None:
            with suppress(LocalProtocolError):  # the peer has broken HTTP's rules since it asked
                await send(event)

        if scope["type"] == "websocket":
            await say({"type": "websocket.close"})  # which is answered 403
        elif not scope["path"].startswith("/"):  # `*`, nothing, or what may be no URL: Quart expects neither
            await say({"type": "http.response.start", "status": 400, "headers": []})
            await say({"type": "http.response.body", "body": b"the path must begin with /\n"})
        else:
            await app(scope, receive, say)

    async def connect(stream: trio.SocketStream) -> None:
        try:
            places.acquire_on_behalf_of_nowait(stream)
        except trio.WouldBlock:
            log.warning("too many connections", bind=str(bind), limit=CONNECTIONS)
            return
        try:
            await Connection(ASGIWrapper(plain), config, context, ConnectionState({}), stream).run()
        finally:
            places.release_on_behalf_of(stream)

    listeners = await _listen(bind)
    try:
        async with trio.open_nursery() as nursery:
            connections = await nursery.start(_shielded_nursery, context.terminated.wait)
            try:
                task_status.started(_address(listeners[0]))
                await trio.serve_listeners(connect, listeners, handler_nursery=connections)
            finally:
                connections.cancel_scope.deadline = trio.current_time() + GRACE
                await context.terminated.set()
    finally:
        for listener in listeners:
            listener.socket.close()


class Connection(TCPServer):
    """One connection, which fails alone."""

    def __init__(
        self,
        app: ASGIWrapper,
        config: Config,
        context: WorkerContext,
        state: ConnectionState,
        stream: trio.SocketStream,
    ) -> None:
        super().__init__(app, config, context, state, stream)  # type: ignore[arg-type]  # it takes plain ones too
        self._asked = False
        self._reading = trio.CancelScope()
        self._read = trio.Event()
        self._life = trio.CancelScope()

    async def run(self) -> None:
        try:
            with self._life:
                await super().run()
        except* Exception as errors:  # whatever the peer has made hypercorn stumble over
            log.warning("connection failed", error=repr(errors.exceptions[0]))
            log.debug("connection failed", exc_info=errors)

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, Updated):
            if not self._read.is_set():  # or there is nothing to idle for
                with trio.CancelScope(shield=True):  # Quart cancels this task, for it has answered
                    await super().protocol_send(event)
            return None
        if not isinstance(event, RawData):
            return await super().protocol_send(event)
        self._asked = True
        try:
            async with self.send_lock:
                with trio.fail_after(SENDING, shield=True):
                    await self.stream.send_all(event.data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            await trio.aclose_forcefully(self.stream)
            await self.protocol.handle(Closed())

    async def _read_data(self) -> None:
        try:
            with self._reading:
                await super()._read_data()
            if self._reading.cancelled_caught:
                await self.protocol.handle(Closed())
        except trio.Cancelled:
            await trio.aclose_forcefully(self.stream)  # or what is being sent would go on in its shield
            raise
        finally:
            self._life.deadline = trio.current_time() + ANSWERING
            self._read.set()
            await self.idle_task.stop()

    async def _idle_timeout(self) -> None:
        with trio.move_on_after(KEEP_ALIVE if self._asked else FIRST_REQUEST):
            await self.context.terminated.wait()
        with trio.CancelScope(shield=True):
            await self._initiate_server_close()

    async def _close(self) -> None:
        with (
            suppress(trio.BrokenResourceError, trio.ClosedResourceError),
            trio.move_on_after(LINGERING, shield=True),
        ):
            async with self.send_lock:  # another answer may be on its way, to a request behind this one
                await self.stream.send_eof()
            await self._read_away()
        self._reading.cancel()  # it may hold the next request, which h11 will not let pass any more
        await self.stream.aclose()

    async def _read_away(self) -> None:
        """Data left unread when a socket is closed makes the kernel reset it, and the answer is lost."""
        try:
            while await self.stream.receive_some(MAX_RECV):
                pass
        except trio.BusyResourceError:  # `_read_data` is at it
            await self._read.wait()


async def _shielded_nursery(
    until: Callable[[], Awaitable[None]], *, task_status: trio.TaskStatus[trio.Nursery]
) -> None:
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            task_status.started(nursery)
            await until()


async def _listen(bind: Bind) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(bind.port, host=bind.host or None)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise OSError(error.errno, f"can not listen on {bind}: {reason}") from error


def _address(listener: trio.SocketListener) -> str:
    host, port, *_ = listener.socket.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _configuration() -> Config:
    config = Config()
    config.errorlog = logging.getLogger("hypercorn")
    config.include_server_header = False
    config.h2_max_concurrent_streams = 20
    return config
