"""Nobody asks devices before there is a port for what they answer."""

import attrs
import trio
import trio.testing

from fuota.actor import Alarms, Registry, open_tree
from fuota.bridge import open_loop
from fuota.children import grow
from fuota.clock import SystemClock
from fuota.config.settings import Settings
from fuota.config.value import Bind
from fuota.health import Health
from fuota.journal.memory import MemoryJournal
from fuota.network.simulated import SimulatedNetwork
from fuota.ownership import Attendance
from fuota.services import Services
from fuota.simulation.world import World

ANY = Bind("127.0.0.1", 0)


def settings() -> Settings:
    """With ports that nobody else has."""
    default = Settings()
    server, events = default.fuota_server, default.application_server.event_handler
    http = attrs.evolve(events.http, bind=ANY)
    return attrs.evolve(
        default,
        fuota_server=attrs.evolve(server, api=attrs.evolve(server.api, bind=ANY)),
        application_server=attrs.evolve(
            default.application_server, event_handler=attrs.evolve(events, http=http)
        ),
        debug=attrs.evolve(default.debug, bind=ANY),
    )


async def test_devices_are_asked_when_there_is_a_port_for_their_answers() -> None:
    clock, health, journal = SystemClock(), Health(), MemoryJournal()
    attendance, network = Attendance(journal.ownership), SimulatedNetwork(World([], clock=clock))
    services = Services(journal, network, clock, Alarms(clock), Registry(), health)
    up: dict[str, str] = {}
    async with open_loop(), trio.open_nursery() as nursery, open_tree() as tree:

        async def look() -> None:
            await attendance.assured()
            root = tree.snapshot(depth=1)
            assert root is not None
            up.update({child.path: child.status for child in root.children})

        nursery.start_soon(look)
        addresses = await grow(tree, services, network, attendance, settings(), None)
        async with await trio.open_tcp_stream("127.0.0.1", Bind.parse(addresses.integration).port):
            pass
        await trio.testing.wait_all_tasks_blocked()
    assert (up["/deployments"], up["/integration"]) == ("idle", "idle")
