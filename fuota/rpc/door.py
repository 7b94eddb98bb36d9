"""The door of a gRPC server with TLS: who has yet to agree on it has a place like the others, and no more.

asyncio's own way makes all that a connection needs before the handshake, for as many as come, and what is
made for one that then fails lies in circles until the garbage collector looks at everything.
"""

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from functools import partial
from traceback import clear_frames

import structlog

from fuota.places import Place, Places

log = structlog.get_logger(__name__)

HANDSHAKE = 10
"""Seconds a new connection has for that of TLS."""

LetIn = Callable[[Place], asyncio.Protocol]


class Door(asyncio.Protocol):
    """One connection until it has agreed on TLS, or failed to."""

    def __init__(
        self, tls: ssl.SSLContext, places: Places, open_ones: set[asyncio.Transport], let_in: LetIn
    ) -> None:
        """`open_ones` holds the connection for as long as the handshake lasts.

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
        loop = asyncio.get_running_loop()
        shaken, agreed = loop.create_future(), _Agreed(place, self._let_in)
        shaken.add_done_callback(partial(self._over, transport, agreed, peer[0]))
        self._open_ones.add(transport)
        # Not `start_tls`: until that begins, what comes would be lost.
        secured = SSLProtocol(
            loop, agreed, self._tls, shaken, server_side=True, ssl_handshake_timeout=HANDSHAKE
        )
        transport.set_protocol(secured)
        secured.connection_made(transport)
        return None

    def _over(
        self, transport: asyncio.Transport, agreed: "_Agreed", peer: str, shaken: "asyncio.Future[object]"
    ) -> None:
        self._open_ones.discard(transport)
        if not agreed.made:
            self._places.leave(agreed.place)
        if (error := shaken.exception()) is not None:
            if (why := _refusal(error)) is not None:
                log.warning("client certificate refused", peer=peer, why=why)
            clear_frames(error.__traceback__)  # they hold the error, and all of TLS


def _refusal(error: BaseException) -> str | None:
    """What is wrong with the client's certificate; None if the handshake has failed for anything else."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    none_given = isinstance(error, ssl.SSLError) and error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    return "none given" if none_given else None


class _Agreed(asyncio.Protocol):
    """Is there for as long as it takes to make room for what goes on with the connection."""

    def __init__(self, place: Place, let_in: LetIn) -> None:
        self.place = place
        self.made = False
        self._let_in = let_in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made = True
        protocol = self._let_in(self.place)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
