"""A client's connection to the gRPC server: what it may take of the loop's time, of memory and of the places.

HTTP/2 lets a peer ask for work that costs it nothing: a frame to be answered at once, a call that is taken
back with the next frame. grpclib takes up all that has come, and what a peer does not read stays in memory.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler, Stream
from h2.config import H2Configuration

from fuota.places import Place, Places, Standing
from fuota.rpc.connection import MESSAGE_LIMIT, Connection, LimitedStream
from fuota.rpc.memory import Memory, Share

PIECE = 1 << 14
"""Octets that are taken up before others have their turn: some 20 ms of nothing but small frames."""
WINDOW = 1 << 18
"""Octets of a connection, and of a stream, that are on their way or not yet looked at."""
DAWDLING = 10.0
"""Seconds in which a peer has to take some of its answer, or has no claim to its place until it does."""
MESSAGES = 8 * MESSAGE_LIMIT
"""Octets of all clients' calls that are in memory at a time: their messages, and `PIECE` for each call."""

CONFIGURATION = Configuration(
    _keepalive_time=None,  # TCP looks whether a peer is there; a timer of hours outlives its connection
    http2_connection_window_size=WINDOW,
    http2_stream_window_size=WINDOW,
)


class Served(Connection):
    """Takes up what has come in pieces, and nothing as long as the peer does not read what it is told."""

    def __init__(
        self,
        handler: AbstractHandler,
        config: Configuration,
        h2_config: H2Configuration,
        open_ones: set[Connection],
        places: Places,
        place: Place | None,
        memory: Memory,
    ) -> None:
        """`place`: that it has already among `places`."""
        super().__init__(handler, config, h2_config, open_ones)
        self._places = places
        self._memory = memory
        self._share: Share
        self._place = place
        self._calls = 0
        self._unread = bytearray()
        self._loop = asyncio.get_running_loop()
        self._turn: asyncio.Handle | None = None
        self._writable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        register = self.processor.register

        def registered(stream: Stream) -> Callable[[], None]:
            release = register(stream)

            def released() -> None:
                assert isinstance(stream, ServedStream)
                assert stream.id is not None
                if self.processor.streams.get(stream.id) is stream:  # not twice
                    stream.forget()
                    release()

            return released

        self.processor.register = registered  # type: ignore[method-assign]  # no other way in
        host, *_ = transport.get_extra_info("peername") or ("",)
        self._share = self._memory.join(host, self.abandon)
        if self._place is not None:
            self._place.hang_up = self.abandon
        else:
            self._place = self._places.take(host, self.abandon)
            if self._place is None:
                self.abandon()

    def new_stream(self, *args: Any, **kwargs: Any) -> LimitedStream:
        return ServedStream(self, self._memory, self._share, *args, **kwargs)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if self._turn is None:
            self._take_up()

    def pause_writing(self) -> None:
        self._writable = False
        super().pause_writing()

    def resume_writing(self) -> None:
        self._writable = True
        super().resume_writing()
        if self._turn is None:
            self._take_up()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._unread.clear()
        if self._turn is not None:
            self._turn.cancel()
        if self._place is not None:
            self._places.leave(self._place)
        self._memory.leave(self._share)
        super().connection_lost(exc)
        self._untie()

    def _untie(self) -> None:
        """What refers to itself stays until the garbage collector looks at everything: after hours."""
        del self.connection.create_stream, self.processor.register
        self._share.hang_up = _nobody
        if self._place is not None:
            self._place.hang_up = _nobody

    @contextmanager
    def counting(self, calls: int) -> Iterator[None]:
        """While so many more calls are a reason for it to have its place."""
        assert self._place is not None
        self._calls += calls
        self._places.move(self._place, Standing.SERVED if self._calls else Standing.KNOWN)
        try:
            yield
        finally:
            self._calls -= calls
            self._places.move(self._place, Standing.SERVED if self._calls else Standing.KNOWN)

    def _take_up(self) -> None:
        self._turn = None
        if self._unread and self._writable:
            piece = bytes(self._unread[:PIECE])
            del self._unread[:PIECE]
            super().data_received(piece)
        if self.transport.is_closing():
            self._unread.clear()
        elif not self._unread and self._writable:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()
            if self._writable:
                self._turn = self._loop.call_soon(self._take_up)


def _nobody() -> None:
    """Is there to hang up on."""


class ServedStream(LimitedStream):
    """A call whose messages are read and written in pieces, and which counts as long as it is in memory."""

    def __init__(self, served: Served, memory: Memory, share: Share, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._served = served
        self._worth = 0
        self._memory = memory
        self._share = share
        self._held = 0

    @contextmanager
    def serving(self, *, to_its_end: bool) -> Iterator[None]:
        """While the call, whose message is here, is carried out and answered.

        `to_its_end`: it will end by itself, and so is worth a place.
        """
        self._worth = int(to_its_end)
        try:
            with self._served.counting(self._worth):
                yield
        finally:
            self._worth = 0

    def hold(self, octets: int) -> None:
        """Raises RESOURCE_EXHAUSTED."""
        self._memory.take(self._share, octets)
        self._held += octets

    def forget(self) -> None:
        """The call has ended, and its message with it."""
        self._memory.give(self._share, self._held)
        self._held = 0

    async def collect(self, size: int) -> bytes:
        pieces: list[bytes] = []
        while size > 0:
            piece = await super().collect(min(size, PIECE))
            if not piece:
                break
            self.hold(len(piece))
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    async def send_data(self, data: bytes, end_stream: bool = False) -> None:
        """A client may take megabytes in one go: others have their turn in between."""
        *first, last = [data[begin : begin + WINDOW] for begin in range(0, len(data) or 1, WINDOW)]
        for piece in first:
            with self._being_taken():
                await super().send_data(piece)
            await asyncio.sleep(0)
        with self._being_taken():
            await super().send_data(last, end_stream)

    async def send_headers(self, headers: list[tuple[str, str]], end_stream: bool = False) -> None:
        with self._being_taken():
            await super().send_headers(headers, end_stream)

    @contextmanager
    def _being_taken(self) -> Iterator[None]:
        """While a part of the answer is sent; for as long as it waits for a peer that dawdles, the call does
        not count."""
        with ExitStack() as dawdling:
            late = asyncio.get_running_loop().call_later(
                DAWDLING, dawdling.enter_context, self._served.counting(-self._worth)
            )
            try:
                yield
            finally:
                late.cancel()
