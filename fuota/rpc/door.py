"""The door of a gRPC server with TLS: who has yet to agree on it has a place like the others, and no more.

asyncio's own way makes all that a connection needs before the handshake, for as many as come, and what is
made for one that then fails lies in circles until the garbage collector looks at everything.
"""

import asyncio
import ssl
from collections.abc import Callable
from traceback import clear_frames

from fuota.places import Place, Places

HANDSHAKE = 10.0
"""Seconds a new connection has for that of TLS."""


class Door(asyncio.Protocol):
    """One connection until it has agreed on TLS, or failed to."""

    def __init__(
        self,
        tls: ssl.SSLContext,
        places: Places,
        open_ones: set[asyncio.Task[None]],
        let_in: Callable[[Place], asyncio.Protocol],
    ) -> None:
        """`open_ones` holds the handshake for as long as it lasts: to cancel it closes the connection.

        `let_in` makes what goes on with a connection that has a place, and has to leave it in the end.
        """
        self._tls = tls
        self._places = places
        self._open_ones = open_ones
        self._let_in = let_in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        peer = transport.get_extra_info("peername") or ("",)
        place = self._places.take(peer[0], transport.abort)
        if place is None:
            return transport.abort()
        transport.pause_reading()  # until there is somebody to read it
        task = asyncio.get_running_loop().create_task(self._shake_hands(transport, place))
        self._open_ones.add(task)
        task.add_done_callback(self._open_ones.discard)
        return None

    async def _shake_hands(self, transport: asyncio.Transport, place: Place) -> None:
        early = _Early()
        secured: asyncio.Transport | None = None
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport, early, self._tls, server_side=True, ssl_handshake_timeout=HANDSHAKE
            )
        except OSError as error:
            clear_frames(error.__traceback__)  # they hold the error, and all of TLS
        finally:
            if secured is None or early.lost:
                self._places.leave(place)
        if secured is not None and not early.lost:
            protocol = self._let_in(place)
            secured.set_protocol(protocol)
            protocol.connection_made(secured)
            if early.received:
                protocol.data_received(bytes(early.received))


class _Early(asyncio.Protocol):
    """What comes with the last of the handshake, before anybody is there to take it."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
