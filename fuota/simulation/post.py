"""HTTP POST over connections that are kept: h11 on Trio's streams, no more than a webhook needs."""

from urllib.parse import urlsplit

import attrs
import h11
import trio

IDLE = 32
"""Connections that are kept while nobody needs them."""
READ = 4096


class PostError(Exception):
    """The server could not be reached, or its answer is not HTTP."""


@attrs.define(eq=False)
class _Connection:
    stream: trio.abc.Stream
    state: h11.Connection = attrs.field(factory=lambda: h11.Connection(h11.CLIENT))
    answered: bool = False
    """Whether the server has answered on it before."""

    async def exchange(self, request: h11.Request, body: bytes) -> int:
        """The status of the answer, which is read to its end."""
        sent = [self.state.send(event) or b"" for event in (request, h11.Data(body), h11.EndOfMessage())]
        await self.stream.send_all(b"".join(sent))
        status = 0
        while not isinstance(event := self.state.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                self.state.receive_data(bytes(await self.stream.receive_some(READ)))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.ConnectionClosed):
                raise h11.RemoteProtocolError("closed without an answer")
        self.answered = True
        return status


class Poster:
    """POSTs to one `http://` URL, any number of requests at a time. Raises ValueError for another URL."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"{url!r}: wanted http://HOST:PORT/PATH")
        self._host, self._port = parts.hostname, parts.port or 80
        self._authority = parts.netloc
        self._target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        self._idle: list[_Connection] = []
        self._most = IDLE

    async def post(self, body: bytes, headers: dict[str, str]) -> int:
        """The status of the answer. Raises `PostError`.

        A kept connection may have been closed by the server meanwhile; the request is then made again on
        a new one, as HTTP clients do (RFC 9110 section 9.2.2 has its doubts, for a POST).
        """
        request = h11.Request(
            method="POST",
            target=self._target,
            headers=[("Host", self._authority), ("Content-Length", str(len(body))), *headers.items()],
        )
        while True:
            connection = self._idle.pop() if self._idle else await self._connect()
            known = connection.answered
            try:
                status = await connection.exchange(request, body)
            except (OSError, trio.BrokenResourceError, h11.ProtocolError) as error:
                if not known:
                    raise PostError(str(error) or repr(error)) from error
            else:
                self._keep(connection)
                return status
            finally:
                if connection not in self._idle:
                    await trio.aclose_forcefully(connection.stream)

    async def aclose(self) -> None:
        """Close what is kept, also where all is cancelled already: the first would be all that is closed.

        Who still waits for an answer has it, and closes then.
        """
        self._most = 0
        with trio.CancelScope(shield=True):
            while self._idle:
                await trio.aclose_forcefully(self._idle.pop().stream)

    async def _connect(self) -> _Connection:
        try:
            return _Connection(await trio.open_tcp_stream(self._host, self._port))
        except OSError as error:
            raise PostError(str(error)) from error

    def _keep(self, connection: _Connection) -> None:
        both = (connection.state.our_state, connection.state.their_state)
        if both == (h11.DONE, h11.DONE) and len(self._idle) < self._most:
            connection.state.start_next_cycle()
            self._idle.append(connection)
