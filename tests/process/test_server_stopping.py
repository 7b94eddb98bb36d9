"""What is half sent when a server is told to stop is waited for, and answered."""

import signal
from pathlib import Path

import psycopg
import pytest
import trio
from google.protobuf.json_format import ParseDict
from h2.events import PingAckReceived

from fuota.generated.chirpstack3 import fuota_pb2 as pb
from fuota.simulation.behaviour import Behaviour
from tests.process.generations import THREE
from tests.process.http_peers import connect
from tests.process.live import EVENT_TOKEN, LOOK, Installation, Server, quick
from tests.process.rpc.calls import framed
from tests.process.rpc.conftest import RawPeer
from tests.process.test_server_requests import UPLINK, installation

HEAD = (
    b"POST /?event=up HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
    b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
)
ORDER = {"deployment": THREE.deployment(quick([Behaviour()]))}


async def told_to_stop(made: Installation, server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)
    with trio.fail_after(10):
        while "stopping" not in made.stderr:  # noqa: ASYNC110  # the log tells nobody
            await trio.sleep(LOOK)


@pytest.mark.parametrize(
    ("uplink", "status"), [(UPLINK, b"503"), (UPLINK.replace(b"200", b"7"), b"200")], ids=["ours", "others"]
)
async def test_an_uplink_that_is_half_sent_is_answered(
    uplink: bytes, status: bytes, tmp_path: Path, dsn: str
) -> None:
    """Of ours, nobody is left to take it."""
    made = installation(tmp_path, dsn)
    async with made.serving() as server:
        async with await connect(server.integration.removeprefix("http://").rstrip("/")) as stream:
            await stream.send_all(HEAD % (EVENT_TOKEN.encode(), len(uplink)))
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 100 ")
            await stream.send_all(uplink[:20])
            await told_to_stop(made, server)
            await stream.send_all(uplink[20:])
            with trio.fail_after(10):
                assert b"".join([part async for part in stream]).startswith(b"HTTP/1.1 %s " % status)
        assert await server.process.wait() == 0


async def test_an_order_that_is_half_sent_is_answered(tmp_path: Path, dsn: str) -> None:
    """It is taken, or refused and not there."""
    made = installation(tmp_path, dsn)
    order = framed(ParseDict(ORDER, pb.CreateDeploymentRequest()).SerializeToString())
    async with made.serving() as server:
        async with await connect(server.api) as stream:
            peer = RawPeer(stream)
            call = await peer.call(b"/fuota.FUOTAServerService/CreateDeployment", order[:100], end=False)
            peer.h2.ping(b"so far: ")
            await peer.send()
            with trio.fail_after(10):
                while not any(isinstance(event, PingAckReceived) for event in await peer.events()):
                    pass
            await told_to_stop(made, server)
            peer.h2.send_data(call, order[100:], end_stream=True)
            await peer.send()
            with trio.fail_after(10):
                status = (await peer.trailers(call))[b"grpc-status"]
        assert await server.process.wait() == 0
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("select id from deployment").fetchall()
    assert (status, len(rows)) in {(b"0", 1), (b"14", 0)}
