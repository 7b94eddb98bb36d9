"""TLS and client certificates, with a throw-away authority."""

import ssl
from asyncio.sslproto import SSLProtocol
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
import trio
from grpclib.const import Status
from grpclib.server import Handler
from structlog.testing import capture_logs

from fuota.config.value import Bind
from fuota.generated.chirpstack3 import device_queue_pb2 as pb
from fuota.generated.chirpstack3.device_queue_grpc import DeviceQueueServiceStub
from fuota.rpc import server
from fuota.rpc.client import call, connect
from fuota.rpc.door import HANDSHAKE, Door
from fuota.rpc.errors import RpcError
from fuota.rpc.tls import client_context, server_context
from tests.process.certificates import Authority, Issued
from tests.process.rpc.calls import uncollected


async def ask(bind: Bind, tls: ssl.SSLContext | None) -> int:
    request = pb.EnqueueDeviceQueueItemRequest(device_queue_item=pb.DeviceQueueItem(f_cnt=1))
    async with connect(bind, tls=tls) as channel:
        return (await call(DeviceQueueServiceStub(channel).Enqueue, request, timeout=10)).f_cnt


def trusting(ca_cert: Path, client: Issued | None = None) -> ssl.SSLContext:
    context = client_context()
    context.load_verify_locations(ca_cert)
    if client is not None:
        context.load_cert_chain(client.cert, client.key)
    return context


async def test_the_systems_authorities_are_trusted(
    serving: Any, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.own()))
    server = authority.issue("localhost")
    async with serving(tls=server_context(server.cert, server.key, None)) as served:
        assert await ask(served.bind, client_context()) == 2
        assert await ask(Bind("localhost", served.bind.port), client_context()) == 2


async def test_whom_it_does_not_know_it_does_not_talk_to(serving: Any, authority: Authority) -> None:
    server, elsewhere = authority.issue("localhost"), authority.issue("elsewhere")
    trust = trusting(authority.own())
    async with serving(tls=server_context(server.cert, server.key, None)) as served:
        for tls in (client_context(), None):
            with pytest.raises(RpcError) as raised:
                await ask(served.bind, tls)
            assert raised.value.status is Status.UNAVAILABLE
        assert await ask(served.bind, trust) == 2
    async with serving(tls=server_context(elsewhere.cert, elsewhere.key, None)) as served:
        with pytest.raises(RpcError, match="Hostname mismatch") as raised:
            await ask(Bind("localhost", served.bind.port), trust)


async def test_an_expired_server_is_not_talked_to(serving: Any, authority: Authority) -> None:
    server = authority.issue("localhost", age=timedelta(days=3))
    async with serving(tls=server_context(server.cert, server.key, None)) as served:
        with pytest.raises(RpcError, match="certificate has expired"):
            await ask(served.bind, trusting(authority.own()))


async def test_plain_text_to_a_port_with_tls(serving: Any, authority: Authority) -> None:
    server = authority.issue("localhost")
    async with serving(tls=server_context(server.cert, server.key, None)) as served:
        with pytest.raises(RpcError) as raised:
            await ask(served.bind, None)
        assert raised.value.status is Status.UNAVAILABLE
        assert await ask(served.bind, trusting(authority.own())) == 2


async def test_client_certificates(serving: Any, authority: Authority, tmp_path: Path) -> None:
    ca_cert = authority.own()
    server, client = authority.issue("localhost"), authority.issue("client")
    stranger = Authority(tmp_path, "another").issue("client")
    expired, not_yet = (authority.issue(f"client {age}", age=timedelta(days=age)) for age in (3, -1))
    async with serving(tls=server_context(server.cert, server.key, ca_cert)) as served:
        assert await ask(served.bind, trusting(ca_cert, client)) == 2
        for shown in (None, stranger, expired, not_yet):
            with pytest.raises(RpcError) as raised:
                await ask(served.bind, trusting(ca_cert, shown))
            assert raised.value.status is Status.UNAVAILABLE
        assert await ask(served.bind, trusting(ca_cert, client)) == 2


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_why_a_client_certificate_is_refused_is_told_in_one_line(
    serving: Any, authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    ca_cert = authority.own()
    server = authority.issue("localhost")
    reasons = {
        "none given": None,
        "unable to get local issuer certificate": Authority(tmp_path, "another").issue("client"),
        "certificate has expired": authority.issue("expired", age=timedelta(days=3)),
        "certificate is not yet valid": authority.issue("not yet", age=timedelta(days=-1)),
    }
    async with serving(tls=server_context(server.cert, server.key, ca_cert)) as served:
        for why, shown in reasons.items():
            tls = trusting(ca_cert, shown)
            tls.maximum_version = version
            with capture_logs() as told, pytest.raises(RpcError):
                await ask(served.bind, tls)
            assert told == [
                {
                    "event": "client certificate refused",
                    "log_level": "warning",
                    "peer": "127.0.0.1",
                    "why": why,
                }
            ]
        with capture_logs() as told:
            await ask(served.bind, trusting(ca_cert, authority.issue("client")))
            for noise in (b"", b"GET / HTTP/1.1\r\n\r\n"):
                async with await trio.open_tcp_stream(served.bind.host, served.bind.port) as stream:
                    await stream.send_all(noise)
                    await stream.send_eof()
                    with suppress(trio.BrokenResourceError):
                        while await stream.receive_some():
                            pass
        assert not told


async def test_official_client_with_tls(serving: Any, authority: Authority) -> None:
    ca_cert = authority.own()
    server, client = authority.issue("localhost"), authority.issue("client")

    def call_it(address: str) -> int:
        credentials = grpc.ssl_channel_credentials(
            ca_cert.read_bytes(), client.key.read_bytes(), client.cert.read_bytes()
        )
        with grpc.secure_channel(address, credentials) as channel:
            method = channel.unary_unary(
                "/api.DeviceQueueService/Enqueue",
                request_serializer=pb.EnqueueDeviceQueueItemRequest.SerializeToString,
                response_deserializer=pb.EnqueueDeviceQueueItemResponse.FromString,
            )
            request = pb.EnqueueDeviceQueueItemRequest(device_queue_item=pb.DeviceQueueItem(f_cnt=1))
            response: pb.EnqueueDeviceQueueItemResponse = method(request, timeout=10)
            return response.f_cnt

    async with serving(tls=server_context(server.cert, server.key, ca_cert)) as served:
        assert await trio.to_thread.run_sync(call_it, f"localhost:{served.bind.port}") == 2


async def test_noise_instead_of_a_handshake(serving: Any, authority: Authority) -> None:
    server = authority.issue("localhost")
    async with serving(tls=server_context(server.cert, server.key, None)) as served:
        for noise in (b"", bytes(100), b"\x16\x03\x01\x02\x00" + b"\xff" * 600):
            async with await trio.open_tcp_stream(served.bind.host, served.bind.port) as stream:
                await stream.send_all(noise)
                await stream.send_eof()
                try:
                    while await stream.receive_some():
                        pass
                except trio.BrokenResourceError:
                    pass
        assert await ask(served.bind, trusting(authority.own())) == 2


async def test_who_does_not_shake_hands_makes_room_for_who_does(
    serving: Any, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS", 2)
    issued = authority.issue("localhost")
    async with serving(tls=server_context(issued.cert, issued.key, None)) as served:
        strangers = [await trio.open_tcp_stream(served.bind.host, served.bind.port) for _ in range(5)]
        assert await ask(served.bind, trusting(authority.own())) == 2
        for each in strangers[:4]:
            assert await each.receive_some() == b""
        for each in strangers:
            await each.aclose()


@pytest.mark.parametrize("noise", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00" + b"\xff" * 600])
async def test_nothing_is_left_of_a_handshake_that_failed(
    serving: Any, authority: Authority, noise: bytes
) -> None:
    issued = authority.issue("localhost")
    async with serving(tls=server_context(issued.cert, issued.key, None)) as served:
        with uncollected() as there_is:
            for _ in range(3):
                async with await trio.open_tcp_stream(served.bind.host, served.bind.port) as stream:
                    await stream.send_all(noise)
                    await stream.send_eof()
                    with suppress(trio.BrokenResourceError):
                        while await stream.receive_some():
                            pass
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert not there_is(SSLProtocol | Door | Handler)


async def test_a_handshake_does_not_hold_up_the_stop(serving: Any, authority: Authority) -> None:
    issued = authority.issue("localhost")
    async with (
        serving(tls=server_context(issued.cert, issued.key, None)) as served,
        await trio.open_tcp_stream(served.bind.host, served.bind.port) as stream,
    ):
        await trio.testing.wait_all_tasks_blocked(0.05)
        served.stop()
        with trio.fail_after(HANDSHAKE / 2):
            assert await stream.receive_some() == b""
