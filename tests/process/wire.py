"""A wire between two processes, which a test may freeze or cut."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import attrs
import trio

from fuota.config.value import Bind

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with which a connection ends in RST."""


@attrs.define
class Wire:
    """Made by `open_wire`. It holds for the connections there are and for those to come."""

    _far: Bind
    address: str = ""
    """HOST:PORT of its near end."""
    frozen: bool = False
    """Connections are taken, and nothing passes."""
    connections: int = 0
    """That were ever made."""
    _open: set[trio.SocketStream] = attrs.field(factory=set)

    def cut(self) -> None:
        """Reset all connections."""
        for stream in self._open:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            stream.socket.close()

    async def _relay(self, near: trio.SocketStream) -> None:
        with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            far = await trio.open_tcp_stream(self._far.host, self._far.port)
            async with near, far, trio.open_nursery() as nursery:
                self._open.add(near)
                self.connections += 1
                nursery.start_soon(self._pump, near, far, nursery.cancel_scope)
                nursery.start_soon(self._pump, far, near, nursery.cancel_scope)
        self._open.discard(near)

    async def _pump(self, source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope) -> None:
        with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await source.receive_some():
                while self.frozen:  # noqa: ASYNC110  # a flag of the test
                    await trio.sleep(0.05)
                await sink.send_all(data)
        both.cancel()


@asynccontextmanager
async def open_wire(far: str, port: int = 0) -> AsyncIterator[Wire]:
    """A wire to `far`, HOST:PORT, from a port of its own or this one, which is closed before."""
    wire = Wire(Bind.parse(far))
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
        host, port = listeners[0].socket.getsockname()
        wire.address = f"{host}:{port}"
        nursery.start_soon(trio.serve_listeners, wire._relay, listeners)
        yield wire
        nursery.cancel_scope.cancel()
