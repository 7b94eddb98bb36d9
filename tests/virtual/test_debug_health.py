"""What is told to whoever watches over the process: health, readiness and metrics."""

import trio

from fuota.actor import Child, Registry
from fuota.device.messages import Message as DeviceMessage
from fuota.dispatcher import Dispatcher, Outcome, Route
from fuota.lorawan.eui import EUI64
from fuota.network.port import Network
from fuota.ownership import Ownership
from fuota.uplink import Uplink
from tests.virtual.debugged import AT, ONE, opened


async def test_health(autojump_clock: object) -> None:
    async with opened() as debug:
        assert await debug.json("/healthz") == {"ailments": {}}
        assert await debug.json("/readyz") == {"started": True, "ailments": {}}
        debug.health.ill("postgresql", "out of reach")
        assert await debug.json("/healthz", 503) == {"ailments": {"postgresql": "out of reach"}}
        assert await debug.json("/readyz", 503) == {
            "started": True,
            "ailments": {"postgresql": "out of reach"},
        }
        assert "<strong>postgresql</strong>: out of reach" in await debug.get("/")
        debug.health.well("postgresql")
        debug.ready = False
        assert await debug.json("/healthz") == {"ailments": {}}
        assert await debug.json("/readyz", 503) == {"started": False, "ailments": {}}


class Nowhere:
    """A network that is not asked."""


async def test_metrics(autojump_clock: object) -> None:
    registry = Registry[EUI64, DeviceMessage]()
    network: Network = Nowhere()  # type: ignore[assignment]
    async with opened(
        3, more=[Child("dispatcher", lambda: Dispatcher(registry, network, Ownership.sole()))]
    ) as debug:
        dispatcher = debug.tree.find("/dispatcher")
        assert dispatcher is not None
        uplink = Uplink(dev_eui=EUI64(bytes(8)), f_port=200, f_cnt=1, data=b"\x00", received_at=AT)
        outcome: Outcome = await dispatcher.ask(lambda reply: Route(uplink, reply), within=1)
        assert outcome is Outcome.TAKEN
        debug.offer(f"{ONE}/device-0", "stick")
        await trio.testing.wait_all_tasks_blocked()
        lines = (await debug.get("/metrics")).splitlines()
        assert 'fuota_actors{status="busy"} 1.0' in lines
        assert 'fuota_actors{status="idle"} 6.0' in lines
        assert 'fuota_uplinks_total{outcome="unconcerned"} 1.0' in lines
        assert 'fuota_uplinks_total{outcome="elsewhere"} 0.0' in lines
        assert 'fuota_clock_answers_total{outcome="sent"} 0.0' in lines
        assert "fuota_mailbox_dropped 0.0" in lines
        assert "fuota_ailments 0.0" in lines
