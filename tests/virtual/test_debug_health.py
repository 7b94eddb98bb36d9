"""What is told to whoever watches over the process: health, readiness and metrics."""

import trio

from fuota.actor import Child, Registry
from fuota.debug.metrics import exposition
from fuota.device.messages import Message as DeviceMessage
from fuota.dispatcher import Dispatcher, Outcome, Route
from fuota.health import Health
from fuota.lorawan.eui import EUI64
from fuota.network.port import Network
from fuota.ownership import Ownership
from fuota.simulation.behaviour import Behaviour
from fuota.uplink import Uplink
from tests.campaign import order, server, simulated
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
        assert "fuota_owner 0.0" in lines
        for part in ("chirpstack", "ownership", "postgresql"):
            assert f'fuota_ailments{{part="{part}"}} 0.0' in lines
        debug.health.ill("postgresql", "out of reach")
        lines = (await debug.get("/metrics")).splitlines()
        assert 'fuota_ailments{part="postgresql"} 1.0' in lines
        assert 'fuota_ailments{part="chirpstack"} 0.0' in lines


async def test_metrics_say_where_the_deployments_and_their_devices_are(autojump_clock: object) -> None:
    devices = simulated(3, lambda index: Behaviour(silent=index == 0))
    async with server(devices) as running:

        def samples() -> set[str]:
            lines = exposition(running.tree.snapshot, Health()).decode().splitlines()
            return {line for line in lines if line.startswith(("fuota_owner", "fuota_d"))}

        deployment_id = await running.orders.take(order(devices))
        await trio.sleep(40)
        assert samples() == {
            "fuota_owner 1.0",
            'fuota_deployments{state="SettingUpGroups"} 1.0',
            'fuota_devices{standing="group"} 1.0',
            'fuota_devices{standing="prepared"} 2.0',
        }
        await running.end_of(deployment_id)
        assert samples() == {
            "fuota_owner 1.0",
            'fuota_deployments{state="Ended"} 1.0',
            'fuota_devices{standing="no-answer"} 1.0',
            'fuota_devices{standing="complete"} 2.0',
        }
