"""What a device has said in one window is not forgotten in the next."""

from datetime import timedelta

import attrs
from trio.testing import MockClock

from fuota.deployment.plan import StatusRequest
from fuota.device.states import StillListening, Unconfirmed
from fuota.journal.port import Transition
from fuota.simulation.behaviour import Behaviour, Stack
from fuota.simulation.radio import Radio
from tests.campaign import IMAGE, order, server, simulated
from tests.virtual.test_rounds import Watched


async def test_one_that_has_started_its_image_is_unconfirmed_and_has_not_failed(
    autojump_clock: MockClock,
) -> None:
    """LoRaMac-node has repaired it, and says for good that some are missing; then the group is deleted."""
    node = Behaviour(stack=Stack.LORAMAC_NODE)
    devices, journal = simulated(2, lambda number: Behaviour() if number else node), Watched()
    started = list[bool]()
    radio = Radio(loss=0.08, fragment_interval=timedelta(seconds=0.5))
    async with server(devices, journal=journal, radio=radio) as running:

        def look(transition: Transition) -> None:
            match transition.state:
                case StillListening(otherwise=Unconfirmed()) if not started and devices[0].image == IMAGE:
                    started.append(True)
                    devices[0].behaviour = attrs.evolve(node, silent=True)
                    running.world.chirpstack.groups.clear()

        journal.look = look
        result = await running.carry_out(
            order(
                devices,
                multicast_timeout=8,
                fragmentation_redundancy=40,
                request_fragmentation_session_status=StatusRequest.AFTER_FRAGMENT_ENQUEUE,
            )
        )
    assert started
    assert isinstance(result.state(devices[0].dev_eui), Unconfirmed)
