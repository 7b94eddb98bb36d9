"""Uplinks per second through the HTTP endpoint until they are durable, in PostgreSQL.

    python bench/uplinks.py [--quick]

Another process posts over 64 kept connections, each the next event when the last is answered. Every event
holds the answer that its device's actor waits for, so it ends with a transition and the rows of a request
and an answer; 2xx says that they are on the disk. Beside it, on the same machine in the same run: events of
ports that do not concern us, which is what HTTP alone costs, and one transaction for each uplink instead of
group commit. The network takes every call at once. With --quick there are a quarter of the devices.
"""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Any

import trio

from bench import kit
from bench.ordering import dev_euis, order
from fuota import http
from fuota.config.value import Bind
from fuota.dispatcher import tell
from fuota.integration import chirpstack3
from fuota.integration.endpoint import endpoint
from fuota.journal.port import LogRow, Milestone, Transition
from fuota.journal.postgres import PostgresJournal
from fuota.lorawan import fragmentation, multicast
from fuota.lorawan.eui import EUI64
from fuota.lorawan.fragmentation import FragSessionSetupAns
from fuota.lorawan.multicast import McGroupSetupAns
from fuota.simulation.webhook import event
from fuota.uplink import Uplink

CONNECTIONS = 64
GROUP = McGroupSetupAns(mc_group_id=0, id_error=False)
SESSION = FragSessionSetupAns(
    frag_index=0,
    wrong_descriptor=False,
    frag_session_index_not_supported=False,
    not_enough_memory=False,
    encoding_unsupported=False,
)
ANSWERS = {
    multicast.package.port: multicast.package.write(GROUP, version=1),
    fragmentation.package.port: fragmentation.package.write(SESSION, version=1),
}
READINGS = dict.fromkeys((2, 3), b"\x01\x67\x00\xe1")


class OneByOne(PostgresJournal):
    """A transaction for each entry, as a server without group commit would have it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._turn = trio.Lock()

    async def commit(self, transition: Transition) -> None:
        async with self._turn:
            await super().commit(transition)

    async def record(self, rows: Sequence[LogRow]) -> None:
        async with self._turn:
            await super().record(rows)


# The other process


def requests(devices: Sequence[EUI64], payloads: dict[int, bytes]) -> Iterator[bytes]:
    """One of each payload for every device, those of one port before those of the next."""
    for f_cnt, (f_port, data) in enumerate(payloads.items()):
        for dev_eui in devices:
            now = datetime.now(UTC)
            uplink = Uplink(dev_eui=dev_eui, f_port=f_port, f_cnt=f_cnt, data=data, received_at=now)
            body = event(uplink, "1").SerializeToString()
            head = (
                "POST /?event=up HTTP/1.1\r\nHost: fuota\r\nContent-Type: application/octet-stream\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            yield head.encode() + body


async def received(stream: trio.abc.Stream) -> bytes:
    """An answer, whose body is one line."""
    answer = b""
    while not answer.partition(b"\r\n\r\n")[2].endswith(b"\n"):
        if not (more := await stream.receive_some()):
            raise AssertionError("hung up on")
        answer += more
    return answer


async def load(address: str, devices: str, what: str) -> None:
    """Post everything; print how many, the seconds, and the latencies at 50 and 99 %."""
    bind = Bind.parse(address)
    made = list(requests(dev_euis(int(devices)), ANSWERS if what == "answers" else READINGS))
    left = iter(made)
    latencies: list[float] = []

    async def post() -> None:
        stream = await trio.open_tcp_stream(bind.host, bind.port)
        for request in left:
            begin = perf_counter()
            await stream.send_all(request)
            answer = await received(stream)
            latencies.append(perf_counter() - begin)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise AssertionError(answer.decode())
        await stream.aclose()

    begin = perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(CONNECTIONS):
            nursery.start_soon(post)
    seconds = perf_counter() - begin
    latencies.sort()
    print(len(made), seconds, *(1000 * latencies[int(len(made) * share)] for share in (0.5, 0.99)))


# This process


async def loaded(address: str, devices: int, what: str) -> tuple[float, float, float]:
    """Uplinks per second, and the latencies in ms."""
    command = [sys.executable, __file__, "--load", address, str(devices), what]
    printed = (await trio.run_process(command, capture_stdout=True)).stdout.split()
    count, seconds, median, worst = map(float, printed)
    return count / seconds, median, worst


async def measure(
    kind: type[PostgresJournal], devices: int
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """With this journal: answers, and what does not concern us."""
    async with (
        kit.postgres(kind) as journal,
        kit.serving(journal, kit.Accepting()) as server,
        trio.open_nursery() as nursery,
    ):
        app = endpoint(
            chirpstack3,
            server.dispatcher,
            server.services.clock,
            tell=partial(tell, server.services.devices),
            late=server.services.health.disturbed,
            marshaler="protobuf",
            token="",
        )
        address: str = await nursery.start(partial(http.serve, app, Bind("127.0.0.1", 0)))
        deployment_id = await server.orders.take(order(dev_euis(devices)))
        await kit.until(lambda: server.services.alarms.pending == devices)  # all are asked
        answers = await loaded(address, devices, "answers")
        status = await journal.status(deployment_id)
        if status is None or not all(
            Milestone.FRAG_SESSION_SETUP in each.milestones for each in status.devices
        ):
            raise AssertionError("what was answered 2xx is not in the journal")
        readings = await loaded(address, devices, "readings")
        nursery.cancel_scope.cancel()
    return answers, readings


async def main(devices: int) -> None:
    kit.prepare()
    together, nothing = await measure(PostgresJournal, devices)
    alone, _ = await measure(OneByOne, devices)
    rows = {
        "durable, group commit": together,
        "durable, one transaction for each": alone,
        "nothing to write": nothing,
    }
    kit.show(
        f"{2 * devices} uplinks over {CONNECTIONS} connections: uplinks/s, median and 99 % latency",
        [
            (name, f"{speed:.0f}/s, {speed / alone[0]:.1f} x; {median:.0f} ms, {worst:.0f} ms")
            for name, (speed, median, worst) in rows.items()
        ],
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--load"]:
        trio.run(load, sys.argv[2], sys.argv[3], sys.argv[4])
    else:
        trio.run(main, 500 if "--quick" in sys.argv else 2000)
