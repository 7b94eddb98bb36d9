"""A connection to another program, which may say that it takes no more calls, and yet answer those it has.

nginx does so after a thousand calls, a server in Go when it is restarted. To grpclib that is the end of the
connection and of all calls on it, and to h2 nothing can come any more; so neither of them hears of it.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, cast

from grpclib.exceptions import StreamTerminatedError
from grpclib.protocol import EventsProcessor
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import NoAvailableStreamIDError
from hyperframe.frame import GoAwayFrame

from fuota.rpc.connection import Connection, LimitedStream

permitted: ContextVar[Callable[[], bool]] = ContextVar("permitted", default=lambda: True)
"""Asked as often as something of a call is about to be sent that is made in this context."""


class NotPermitted(Exception):
    """The peer will never do what the call asks for: it was not permitted any more when it was to be sent."""


class NotTaken(StreamTerminatedError):
    """The peer has not looked at the call and never will: it may be made again over another connection."""

    def __init__(self, *, others: bool) -> None:
        """`others`: those before it were taken."""
        super().__init__("the connection takes no more calls")
        self.others = others


class Calling(Connection):
    """Ends when its last call has ended, once the peer takes no more of them."""

    _leaving = False
    last = 0
    """The latest call that the peer takes, once it takes no more."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        frames = self.connection._connection._frame_dispatch_table
        broken_off = frames[GoAwayFrame]

        def goodbye(frame: GoAwayFrame) -> Any:
            if frame.error_code != ErrorCodes.NO_ERROR:
                return broken_off(frame)
            self._leave(frame.last_stream_id)
            return [], []

        frames[GoAwayFrame] = goodbye

    def new_stream(self, *args: Any, **kwargs: Any) -> "CallingStream":
        return CallingStream(self, *args, **kwargs)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.part()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._send_on()
        super().connection_lost(exc)
        del self.connection.create_stream  # it refers to this: only a look at everything would free both

    def part(self) -> None:
        """Close if there is nothing more to be said."""
        if self._leaving and not self.processor.streams:
            self.processor.close()

    def run_out(self) -> None:
        """There is no number for another call: those under way are answered, and the next has a connection of
        its own."""
        if not self._leaving and not self.closed.is_set():
            self._leave(H2Connection.HIGHEST_ALLOWED_STREAM_ID)
            self.part()

    def _leave(self, last: int) -> None:
        """The peer answers the calls up to that one."""
        self._leaving, self.last = True, last
        self.handler.close()  # so the channel makes another connection for the next call
        self._send_on()
        for number, stream in self.processor.streams.items():
            if number > last and stream.wrapper is not None:
                stream.wrapper.cancel(NotTaken(others=last > 0))

    def _send_on(self) -> None:
        """Those who wait for a stream find out that there will be none."""
        self.connection._connection.highest_outbound_stream_id = H2Connection.HIGHEST_ALLOWED_STREAM_ID
        self.connection.stream_close_waiter.set()


class _IfPermitted:
    """h2's side of the connection, for one call.

    What grpclib gives to h2 it sends at once, however long it has waited before.
    """

    def __init__(self, connection: H2Connection) -> None:
        self._connection, self._permitted = connection, permitted.get()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def send_headers(self, *args: Any, **kwargs: Any) -> None:
        self._ask()
        self._connection.send_headers(*args, **kwargs)

    def send_data(self, *args: Any, **kwargs: Any) -> None:
        self._ask()
        self._connection.send_data(*args, **kwargs)

    def _ask(self) -> None:
        if not self._permitted():
            raise NotPermitted


class CallingStream(LimitedStream):
    """One call."""

    def __init__(self, calling: Calling, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._calling = calling
        self._h2_connection = cast(H2Connection, _IfPermitted(self._h2_connection))

    async def send_request(
        self, headers: list[tuple[str, str]], end_stream: bool = False, *, _processor: EventsProcessor
    ) -> Callable[[], None]:
        try:
            release = await super().send_request(headers, end_stream, _processor=_processor)
        except NoAvailableStreamIDError as error:
            self._calling.run_out()
            raise NotTaken(others=self._calling.last > 0) from error

        def released() -> None:
            release()
            self._calling.part()

        return released
