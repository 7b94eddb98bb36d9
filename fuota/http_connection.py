"""One connection of the HTTP server, which fails alone, takes no more than its time, and speaks HTTP/1.1.

hypercorn waits without limit for a peer that reads nothing, resets a connection whose request it answers
before having read it, and serves HTTP/2 without TLS to whoever begins with it, where a few PRIORITY frames
make it turn in circles for good (docs/decisions/0010-http-1-only.md).

    what ends a connection                        by what            what is cut off
    it idles for too long, or the server stops    `_idle_timeout`    nothing: no request is under way
    an answer after which nothing may follow      `_close`           the rest of the request, after LINGERING
    the peer does not take what is sent           `_reading`         the answer, and what is asked next
    the peer sends no more                        `_life`, later     answers that take longer than ANSWERING
    another needs the place, or all is cancelled  `_life`, at once   everything
"""

import re
from contextlib import suppress
from typing import Any

import structlog
import trio
from h11 import LocalProtocolError, Request
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState
from hypercorn.utils import parse_socket_addr

from fuota.places import Place, Places, Standing

log = structlog.get_logger(__name__)

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
ABSOLUTE = re.compile(rb"https?://[^/?]*", re.IGNORECASE)
"""How a URL begins, up to its path."""


class Connection(TCPServer, trio.abc.AsyncResource):
    """One connection; `serve` serves it to its end and raises nothing that its peer has made go wrong."""

    protocol: "_Http1"  # type: ignore[assignment]  # without its wrapper, which would take up HTTP/2
    _place: Place

    def __init__(
        self, app: ASGIFramework, config: Config, context: WorkerContext, stream: trio.SocketStream
    ) -> None:
        super().__init__(ASGIWrapper(self._answer), config, context, ConnectionState({}), stream)  # type: ignore[arg-type]  # no TLS
        self._app = app
        self._asked = False
        self._reading = trio.CancelScope()
        self._read = trio.Event()
        self._life = trio.CancelScope()

    async def come_in(self, places: Places) -> None:
        """Wait for a place among these. Raises OSError if the peer has gone already."""
        socket = self.stream.socket
        self._peer, self._here = socket.getpeername(), socket.getsockname()
        self._place = await places.wait_and_take(self._peer[0], self._life.cancel)
        self._places = places

    async def aclose(self) -> None:
        self._places.leave(self._place)
        await self.stream.aclose()

    async def serve(self) -> None:
        """Serve at the place that it has, and leave it."""
        family = self.stream.socket.family
        try:
            with self._life:
                async with TaskGroup() as tasks:
                    self._task_group = tasks
                    self.protocol = _Http1(
                        self.app,
                        self.config,
                        self.context,
                        tasks,
                        ConnectionState(self.state),
                        False,
                        parse_socket_addr(family, self._peer),
                        parse_socket_addr(family, self._here),
                        self.protocol_send,
                    )
                    await self.idle_task.restart(tasks, self._idle_timeout)
                    await self._read_data()
        except* OSError:
            pass
        except* Exception as errors:  # whatever the peer has made hypercorn stumble over
            log.warning("connection failed", error=repr(errors.exceptions[0]))
            log.debug("connection failed", exc_info=errors)
        finally:
            self._places.leave(self._place)
            await self._close()

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        """The application, as far as the peer has kept to the rules: it is served when all of it is here.

        That is so although the peer has gone: an event may have waited for longer than ChirpStack does.
        """
        whole = False

        async def received() -> Any:
            nonlocal whole
            message = await receive()
            if message["type"] == "http.request" and not message["more_body"]:
                self._places.move(self._place, Standing.SERVED)
                whole = True
            elif whole:  # Quart would break off
                await trio.sleep_forever()
            return message

        async def say(event: Any) -> None:
            with suppress(LocalProtocolError):  # it has broken HTTP's rules since it asked
                await send(event)

        if not scope["path"].startswith("/"):  # `*`, nothing, or what may be no URL: Quart expects neither
            await say({"type": "http.response.start", "status": 400, "headers": []})
            await say({"type": "http.response.body", "body": b"the path must begin with /\n"})
        else:
            await self._app(scope, received, say)

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, Updated):
            if event.idle:
                self._places.move(self._place, Standing.KNOWN)
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
            self._reading.cancel()  # it may wait to read the next request for the end of this one's answer

    async def _read_data(self) -> None:
        try:
            with self._reading, suppress(trio.BusyResourceError):  # `_read_away` is at it
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
        if self._life.cancel_called:  # there is no answer that could be lost, and another needs the file
            return await trio.aclose_forcefully(self.stream)
        with (
            suppress(trio.BrokenResourceError, trio.ClosedResourceError),
            trio.move_on_after(LINGERING, shield=True),
        ):
            async with self.send_lock:  # another answer may be on its way, to a request behind this one
                await self.stream.send_eof()
            await self._read_away()
        self._reading.cancel()  # it may hold the next request, which h11 will not let pass any more
        await self.stream.aclose()
        return None

    async def _read_away(self) -> None:
        """Data left unread when a socket is closed makes the kernel reset it, and the answer is lost."""
        try:
            while await self.stream.receive_some(MAX_RECV):
                pass
        except trio.BusyResourceError:  # `_read_data` is at it
            await self._read.wait()


class _Http1(H11Protocol):
    """HTTP/1.0 and 1.1, and nothing that they may be exchanged for."""

    async def _check_protocol(self, event: Request) -> None:
        """Would take up HTTP/2."""

    async def _create_stream(self, request: Request) -> None:
        if not request.http_version.startswith(b"1."):
            await self._send_error_response(400)
            return await self.send(Closed())
        headers = [(name, value) for name, value in request.headers if name != b"upgrade"]
        return await super()._create_stream(
            Request(
                method=request.method,
                target=_of_origin(request.target),
                headers=headers,
                http_version=request.http_version,
            )
        )

    async def _send_error_response(self, status_code: int) -> None:
        """h11 says 501 to a transfer coding that it does not know: that, too, is the peer's mistake."""
        await super()._send_error_response(400 if status_code >= 500 else status_code)


def _of_origin(target: bytes) -> bytes:
    """Path and query of a target, which may be a whole URL (RFC 9112, 3.2.2)."""
    if (host := ABSOLUTE.match(target)) is None:
        return target
    rest = target[host.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest
