"""A small application for the HTTP server, and peers that send it what they like."""

import trio
from quart import Response, request
from quart_trio import QuartTrio

MIB = 1 << 20


def application() -> QuartTrio:
    app = QuartTrio(__name__)
    app.config.update(MAX_CONTENT_LENGTH=MIB, BODY_TIMEOUT=0.3)

    @app.route("/", methods=["GET", "POST"])
    async def echo() -> Response:
        return Response(await request.get_data())

    @app.route("/slow")
    async def slow() -> Response:
        await trio.sleep(0.2)
        return Response("at last")

    @app.route("/large")
    async def large() -> Response:
        return Response(bytes(32 * MIB))

    return app


async def connect(address: str) -> trio.SocketStream:
    host, _, port = address.rpartition(":")
    return await trio.open_tcp_stream(host.strip("[]"), int(port))


async def exchange(address: str, data: bytes) -> bytes:
    """Send, and receive until the server closes the connection."""
    with trio.fail_after(5):
        async with await connect(address) as stream:
            await stream.send_all(data)
            return b"".join([part async for part in stream])


async def works(address: str) -> bool:
    answer = await exchange(
        address, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
    )
    return answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"\r\n\r\nhi")
