"""What must hold while a server is fuzzed: it lives, grows no more, tells little, and serves others."""

import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.request import urlopen
from uuid import uuid4

import attrs
import trio
from grpclib.const import Status

from fuota.bridge import open_loop
from fuota.generated.chirpstack3 import fuota_pb2 as pb
from fuota.generated.chirpstack3.fuota_grpc import FUOTAServerServiceStub
from fuota.rpc.client import call, connect
from fuota.rpc.errors import RpcError
from fuota.simulation.post import Poster
from tests.fuzz.codecs import EVENT3
from tests.fuzz.victim import Victim, open_victim
from tests.process.certificates import Issued

GROWTH = 32 << 20
"""Octets that the server may grow by after the first tenth of the inputs."""
PATIENCE = 20.0
"""Seconds in which a well-behaved client has to be served, on a machine that does other things as well."""
TYPICAL = 2.0
"""Seconds in which half of the requests to each port have to be served: some ten times what it takes on a
busy machine. With `PATIENCE` alone a server may stand still after each request."""
PAUSE = 0.05
LINES, A_SECOND = 200, 1.0
"""Lines of log at most, however many inputs: a hostile peer must not fill the disk either."""
ACTOR = re.compile(r">([a-z]+)</a>")
"""Its name, on the page for operators."""
BAD = re.compile(r"\[(error|critical)\s*\]|Traceback")


@attrs.define
class Watch:
    """What was seen so far."""

    victim: Victim
    inputs: int = 0
    sent: int = 0
    """Octets."""
    waits: list[list[float]] = attrs.field(factory=list)
    """Seconds that each request of the well-behaved clients took, client by client."""
    resident: int = 0
    """Octets, when a tenth was done."""
    growth: int = 0
    lines: int = 0
    """Of log."""
    processor: float = 0.0
    """Seconds."""

    def mark(self) -> None:
        self.resident = self.victim.resident()

    def within(self, part: float) -> float:
        """Seconds in which that part of each client's requests was served."""
        return max(sorted(each)[int(part * (len(each) - 1))] for each in self.waits)

    def summary(self) -> str:
        return (
            f"{self.inputs} inputs, {self.sent / 2**20:.0f} MiB; beside them {sum(map(len, self.waits))} "
            f"requests of well-behaved clients, half of each one's within {self.within(0.5):.1f} s, "
            f"99 % within {self.within(0.99):.1f} s, all within {self.within(1):.1f} s; "
            f"memory {self.growth / 2**20:+.0f} MiB; {self.lines} lines of log; "
            f"{self.processor:.0f} s of the processor"
        )


@asynccontextmanager
async def watched(
    issued: Issued | None = None, tls: ssl.SSLContext | None = None, *, typical: float = TYPICAL
) -> AsyncIterator[Watch]:
    """A server to be fuzzed by the block, which others use meanwhile; everything is checked at the end.

    `issued`: its API has TLS with that certificate, which `tls` trusts. `typical`: instead of `TYPICAL`.
    """
    async with open_loop(), open_victim(issued=issued) as victim:
        watch, over, began = Watch(victim), trio.Event(), trio.current_time()
        watch.mark()
        async with _clients(victim, tls) as requests, trio.open_nursery() as nursery:
            for request in requests:
                watch.waits.append([])
                nursery.start_soon(_behave, request, watch.waits[-1], over)
            yield watch
            over.set()
        lasted = trio.current_time() - began
        watch.growth = victim.resident() - watch.resident
        watch.processor = victim.processor()
        said = victim.said()
        watch.lines = len(said)
        bad = [line for line in said if BAD.search(line)]
        assert not bad, "\n".join(said[-60:])
        assert len(said) <= LINES + A_SECOND * lasted, said[-5:]
        assert all(watch.waits), "a client was not served at all"
        assert watch.growth < GROWTH, watch.summary()
        assert watch.within(0.5) < typical, watch.summary()


async def _behave(request: Callable[[], Awaitable[None]], waits: list[float], over: trio.Event) -> None:
    while not over.is_set():
        began = trio.current_time()
        with trio.fail_after(PATIENCE):
            await request()
        waits.append(trio.current_time() - began)
        await trio.sleep(PAUSE)


@asynccontextmanager
async def _clients(
    victim: Victim, tls: ssl.SSLContext | None
) -> AsyncIterator[list[Callable[[], Awaitable[None]]]]:
    """One of each of the three ports."""
    poster = Poster(f"http://{victim.integration}/?event=up")
    async with connect(victim.api, tls=tls) as channel:
        stub = FUOTAServerServiceStub(channel)

        async def post_an_event() -> None:
            assert await poster.post(EVENT3, {"Content-Type": "application/octet-stream"}) == 200

        def page() -> str:
            with urlopen(f"http://{victim.debug}/", timeout=PATIENCE) as answer:
                return bytes(answer.read()).decode()

        async def look_at_the_page() -> None:
            said = await trio.to_thread.run_sync(page, abandon_on_cancel=True)
            assert {"deployments", "dispatcher", "integration", "api", "debug"} <= set(ACTOR.findall(said))

        async def ask_for_a_deployment() -> None:
            try:
                await call(
                    stub.GetDeploymentStatus,
                    pb.GetDeploymentStatusRequest(id=uuid4().bytes),
                    timeout=PATIENCE,
                )
            except RpcError as error:
                assert error.status is Status.NOT_FOUND, error

        try:
            yield [post_an_event, look_at_the_page, ask_for_a_deployment]
        finally:
            await poster.aclose()
