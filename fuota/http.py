"""Serves an ASGI application over HTTP/1.1; no peer can end the server or hold it up.

hypercorn's own `serve` lets an error in one connection end all of them. Its protocol is used as it is, each
connection is one of `http_connection.py`, and who stays connected is decided here.
"""

import logging
import os
from collections.abc import Awaitable, Callable

import attrs
import trio
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework

from fuota.config.value import Bind
from fuota.http_connection import Connection
from fuota.places import CONNECTIONS, Places, room

GRACE = 3.0
"""Seconds for requests under way when the server stops."""


async def serve(
    app: ASGIFramework,
    bind: Bind,
    *,
    crowded: Callable[[], object] = lambda: None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; then accept no more, and give the requests under way `GRACE` to finish.

    `crowded` is called as often as somebody is let in who may have waited for long.
    `task_status` is given the address in use, as `host:port`: it matters when `bind` has port 0.
    Raises OSError that names the address when it can not be listened on. The lifespan protocol is not
    spoken: the applications served here begin and end with their actors.
    """
    config = _configuration()
    context = WorkerContext(max_requests=None)
    places = Places("http", room(CONNECTIONS), crowded)

    def connected(stream: trio.SocketStream) -> Connection:
        return Connection(app, config, context, stream)

    listeners = await _listen(bind)
    doors = [_Door(listener, connected, places) for listener in listeners]
    try:
        async with trio.open_nursery() as nursery:
            connections = await nursery.start(_shielded_nursery, context.terminated.wait)
            try:
                task_status.started(_address(listeners[0]))
                await trio.serve_listeners(Connection.serve, doors, handler_nursery=connections)
            finally:
                connections.cancel_scope.deadline = trio.current_time() + GRACE
                await context.terminated.set()
    finally:
        for listener in listeners:
            listener.socket.close()


@attrs.frozen(eq=False)
class _Door(trio.abc.Listener[Connection]):
    """Lets in whom there is a place for. The others wait in the kernel's queue, where they cost nothing."""

    listener: trio.SocketListener
    connected: Callable[[trio.SocketStream], Connection]
    places: Places

    async def accept(self) -> Connection:
        while True:
            connection = self.connected(await self.listener.accept())
            try:
                await connection.come_in(self.places)
            except BaseException as error:  # raised on, but for a peer that has gone already
                connection.stream.socket.close()
                if not isinstance(error, OSError):
                    raise
            else:
                return connection

    async def aclose(self) -> None:
        await self.listener.aclose()


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
    return config
