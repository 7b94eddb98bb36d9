"""The simulated HTTP integration against endpoints that take, refuse, hang up or are not there."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import attrs
import h11
import pytest
import trio

from fuota.clock import SystemClock
from fuota.fate import OnAir
from fuota.integration import chirpstack3
from fuota.integration.gateway_clocks import GatewayClocks
from fuota.lorawan.eui import EUI64
from fuota.simulation.fleet import fleet
from fuota.simulation.post import Poster
from fuota.simulation.radio import Radio
from fuota.simulation.webhook import Marshaler, open_webhook
from fuota.simulation.world import World
from fuota.uplink import Uplink

NOON = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
UPLINK = Uplink(
    dev_eui=EUI64.parse("70b3d57ed0000001"), f_port=200, f_cnt=17, data=b"\x02\x00", received_at=NOON
)


@attrs.define
class Endpoint:
    """Answers each request with the next of `statuses`, and the last one for ever."""

    statuses: Sequence[int] = (200,)
    close_after: int | None = None
    """Requests on one connection after which it is closed without a word."""
    connections: int = 0
    ended: int = 0
    received: list[tuple[h11.Request, bytes]] = attrs.field(factory=list)

    async def serve(self, stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):  # a webhook that is cancelled hangs up, answered or not
            await self._serve(stream)
        self.ended += 1

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        connection = h11.Connection(h11.SERVER)
        requests = 0
        while requests != self.close_after:
            requests += 1
            body = b""
            while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                match event:
                    case h11.NEED_DATA:
                        connection.receive_data(bytes(await stream.receive_some(4096)))
                    case h11.Request():
                        request = event
                    case h11.Data(data=data):
                        body += data
                    case h11.ConnectionClosed():
                        return
            self.received.append((request, body))
            status = self.statuses[min(len(self.received), len(self.statuses)) - 1]
            answer = h11.Response(status_code=status, headers=[("Content-Length", "2")])
            for part in (answer, h11.Data(b"ok"), h11.EndOfMessage()):
                await stream.send_all(connection.send(part) or b"")
            connection.start_next_cycle()


@asynccontextmanager
async def serving(endpoint: Endpoint) -> AsyncIterator[str]:
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, endpoint.serve, 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}/chirpstack"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("marshaler", "content_type", "read"),
    [
        ("protobuf", b"application/octet-stream", chirpstack3.from_protobuf),
        ("json", b"application/json", chirpstack3.from_json),
    ],
)
async def test_an_uplink_is_posted_as_chirpstack_posts_it(
    marshaler: Marshaler, content_type: bytes, read: Callable[[bytes, datetime, GatewayClocks], Uplink]
) -> None:
    endpoint = Endpoint()
    async with serving(endpoint) as url, open_webhook(url, marshaler=marshaler, token="secret") as webhook:
        await webhook.deliver(UPLINK)
    ((request, body),) = endpoint.received
    headers = dict(request.headers)
    assert (request.method, request.target) == (b"POST", b"/chirpstack?event=up")
    assert (headers[b"content-type"], headers[b"authorization"]) == (content_type, b"Bearer secret")
    assert read(body, NOON + timedelta(seconds=1), GatewayClocks()) == UPLINK
    assert (webhook.taken, webhook.lost) == (1, 0)


async def test_a_connection_is_kept() -> None:
    endpoint = Endpoint()
    async with serving(endpoint) as url, open_webhook(url) as webhook:
        for _ in range(5):
            await webhook.deliver(UPLINK)
    assert (webhook.taken, endpoint.connections) == (5, 1)


async def test_a_connection_that_the_endpoint_closed_meanwhile_costs_nothing() -> None:
    endpoint = Endpoint(close_after=1)
    async with serving(endpoint) as url, open_webhook(url) as webhook:
        for _ in range(3):
            await webhook.deliver(UPLINK)
    assert (webhook.taken, webhook.lost) == (3, 0)
    assert len(endpoint.received) == 3


async def test_what_is_refused_is_not_posted_again() -> None:
    endpoint = Endpoint(statuses=(503, 200))
    async with serving(endpoint) as url, open_webhook(url) as webhook:
        await webhook.deliver(UPLINK)
        assert (webhook.taken, webhook.lost) == (0, 1)
        await webhook.deliver(UPLINK)
    assert (webhook.taken, webhook.lost) == (1, 1)
    assert len(endpoint.received) == 2


async def test_an_endpoint_that_hangs_up_is_a_lost_event() -> None:
    endpoint = Endpoint(close_after=0)
    async with serving(endpoint) as url, open_webhook(url) as webhook:
        await webhook.deliver(UPLINK)
    assert webhook.lost == 1


async def test_an_endpoint_that_is_not_there_is_a_lost_event() -> None:
    async with serving(Endpoint()) as url:
        pass
    async with open_webhook(url) as webhook:
        await webhook.deliver(UPLINK)
    assert webhook.lost == 1


@pytest.mark.parametrize("url", ["https://localhost/", "localhost:8090", "http:///x"])
def test_another_kind_of_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="wanted http://"):
        Poster(url)


async def test_all_that_is_kept_is_closed_also_when_all_is_cancelled() -> None:
    endpoint = Endpoint()
    with trio.fail_after(5):
        async with serving(endpoint) as url:
            with trio.CancelScope() as scope:
                async with open_webhook(url) as webhook:
                    async with trio.open_nursery() as nursery:
                        for _ in range(3):
                            nursery.start_soon(webhook.deliver, UPLINK)
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
            while endpoint.ended < 3:
                await trio.lowlevel.checkpoint()
    assert webhook.taken == endpoint.connections == 3


async def test_nothing_is_kept_of_what_is_answered_when_all_is_closed() -> None:
    """Nor of what is posted after that."""
    endpoint = Endpoint()
    with trio.fail_after(5):
        async with serving(endpoint) as url, trio.open_nursery() as nursery:
            async with open_webhook(url) as webhook:
                nursery.start_soon(webhook.deliver, UPLINK)
                while not endpoint.connections:
                    await trio.lowlevel.checkpoint()
            await webhook.tell(OnAir(dev_eui=UPLINK.dev_eui, item="7"))
            while endpoint.ended < 2:
                await trio.lowlevel.checkpoint()
    assert webhook.taken == endpoint.connections == 2


async def test_a_world_posts_every_uplink_once_with_its_own_counter() -> None:
    endpoint = Endpoint()
    world = World(fleet(3), clock=SystemClock(), radio=Radio(uplink_interval=timedelta(milliseconds=20)))
    with trio.fail_after(5):
        async with serving(endpoint) as url, open_webhook(url) as webhook, trio.open_nursery() as nursery:
            nursery.start_soon(world.run, webhook.deliver)
            while webhook.taken < 30:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    uplinks = [
        chirpstack3.from_protobuf(body, datetime.now(UTC), GatewayClocks()) for _, body in endpoint.received
    ]
    counted = [(uplink.dev_eui, uplink.f_cnt) for uplink in uplinks]
    assert len(set(counted)) == len(counted)
    assert {dev_eui for dev_eui, _ in counted} == {device.dev_eui for device in world.devices}
