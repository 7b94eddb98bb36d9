"""All devices answer at once while the database hangs: every POST is answered, and every uplink counts."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import pytest
import trio
from quart import request
from quart_trio import QuartTrio

from fuota import http
from fuota.config.value import Bind
from fuota.device.states import SettingUpFragments
from fuota.dispatcher import Counts, tell
from fuota.integration import chirpstack3, endpoint
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import Transition
from fuota.lorawan.eui import EUI64
from fuota.lorawan.multicast import McGroupSetupAns, package
from fuota.places import CONNECTIONS
from fuota.server import allow_files
from fuota.simulation.webhook import event
from fuota.uplink import Uplink
from tests.campaign import order, serving, simulated, surroundings

BURST = 1500
assert BURST > 2 * CONNECTIONS


class HangingJournal(MemoryJournal):
    """Writes nothing down until `works` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.works = trio.Event()
        self.works.set()

    async def commit(self, transition: Transition) -> None:
        await self.works.wait()
        await super().commit(transition)


@pytest.mark.timeout(300)
async def test_a_burst_while_the_database_hangs(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_files()
    monkeypatch.setattr(endpoint, "IMPATIENT", 0.05)
    devices, journal = simulated(BURST), HangingJournal()
    around = surroundings(devices, journal=journal)  # its world stands still: the devices answer from here
    statuses: list[int] = []
    async with serving(around) as running:
        dispatcher = running.tree.find("/dispatcher")
        assert dispatcher is not None
        app = endpoint.endpoint(
            chirpstack3,
            dispatcher,
            running.clock,
            tell=partial(tell, running.services.devices),
            late=running.services.health.disturbed,
            marshaler="protobuf",
            token="",
        )
        address = await nursery.start(http.serve, app, Bind("127.0.0.1", 0))
        deployment_id = await running.orders.take(order(devices, unicast_timeout=timedelta(minutes=10)))
        queues = [around.world.chirpstack.queue(device.dev_eui) for device in devices]
        await until(lambda: all(queue.next_f_cnt for queue in queues))

        def routed() -> int:
            snapshot = running.tree.snapshot("/dispatcher")
            assert snapshot is not None
            assert isinstance(snapshot.description, Counts)
            return snapshot.description.routed

        async def answer(dev_eui: EUI64) -> None:
            statuses.append(await post(Bind.parse(address), joined(dev_eui, running.clock.now())))

        journal.works = trio.Event()
        async with trio.open_nursery() as burst:
            for device in devices:
                burst.start_soon(answer, device.dev_eui)
            await until(lambda: routed() == BURST)
            journal.works.set()
        assert len(statuses) == BURST
        assert set(statuses) == {200, 503}
        await until(lambda: all(queue.next_f_cnt == 2 for queue in queues))
        status = await journal.status(deployment_id)
        assert status is not None
        assert {type(device.state) for device in status.devices} == {SettingUpFragments}
        nursery.cancel_scope.cancel()


async def until(reached: Callable[[], bool]) -> None:
    with trio.fail_after(120):
        while not reached():  # noqa: ASYNC110
            await trio.sleep(0.05)


def joined(dev_eui: EUI64, now: datetime) -> Uplink:
    data = package.write(McGroupSetupAns(mc_group_id=0, id_error=False), version=1)
    return Uplink(dev_eui=dev_eui, f_port=package.port, f_cnt=1, data=data, received_at=now)


async def post(bind: Bind, uplink: Uplink) -> int:
    """The status of the answer, over a connection of its own. Whoever is hung up on gets an error."""
    body = event(uplink, "1").SerializeToString()
    head = f"POST /?event=up HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    async with await trio.open_tcp_stream(bind.host, bind.port) as stream:
        await stream.send_all(head.encode() + body)
        answer = await stream.receive_some()
        return int(answer.split()[1])


async def test_what_was_posted_counts_though_nobody_waits_for_the_answer(nursery: trio.Nursery) -> None:
    heard = trio.Event()
    app = QuartTrio(__name__)

    @app.route("/", methods=["POST"])
    async def take() -> str:
        assert await request.get_data() == b"hi"
        await trio.testing.wait_all_tasks_blocked(0.05)  # its peer has been found to have gone
        heard.set()
        return ""

    bind = Bind.parse(await nursery.start(http.serve, app, Bind("127.0.0.1", 0)))
    async with await trio.open_tcp_stream(bind.host, bind.port) as stream:
        await stream.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
    with trio.fail_after(5):
        await heard.wait()
    nursery.cancel_scope.cancel()
