"""What was heard in a window counts, though nobody is heard to agree to the next one."""

from datetime import timedelta

import pytest
import trio
from trio.testing import MockClock

from fuota.deployment import states
from fuota.deployment.plan import MulticastClass
from fuota.device.states import Complete
from fuota.journal.port import Transition
from tests.campaign import IMAGE, Server, order, server, serving, simulated, surroundings
from tests.virtual.test_rounds import DEAF, GOOD, Watched
from tests.virtual.test_windows import until_all_is_enqueued


def deaf_while_arranged(running: Server, journal: Watched) -> None:
    """The gateways are away while a session is arranged that is not the first."""

    def look(transition: Transition) -> None:
        match transition.state:
            case states.ArrangingSession(session=session) if session.number == 2:
                running.world.radio = DEAF
            case states.Settling():
                running.world.radio = GOOD

    journal.look = look


async def test_a_group_that_is_deleted_before_the_window_has_closed(autojump_clock: MockClock) -> None:
    """All have the image by then; nothing is sent in the next window, but not nothing in the round."""
    devices, journal = simulated(3), Watched()
    async with server(devices, journal=journal) as running:
        deaf_while_arranged(running, journal)
        deployment_id = await running.orders.take(order(devices, multicast_timeout=8))
        await until_all_is_enqueued(running, deployment_id)
        await trio.sleep(27)  # the queue is looked at again after 30 s
        assert {device.image for device in devices} == {IMAGE}
        running.world.chirpstack.groups.clear()
        result = await running.end_of(deployment_id)
    assert result.states() == {Complete}
    assert len(journal.rounds()) == 1, "who says that it has the image is believed"


@pytest.mark.parametrize("mc_class", MulticastClass)
async def test_nobody_saw_what_left_the_queue_in_time(
    mc_class: MulticastClass, autojump_clock: MockClock
) -> None:
    """The process was away when the window closed, so it is not known that anything was heard."""
    devices, journal = simulated(3), Watched()
    around = surroundings(devices, journal=journal)
    time_out = 1 if mc_class is MulticastClass.B else 6
    async with trio.open_nursery() as nursery:
        nursery.start_soon(around.run)
        async with serving(around) as running:
            deployment_id = await running.orders.take(
                order(devices, multicast_group_type=mc_class, multicast_timeout=time_out)
            )
            session = await until_all_is_enqueued(running, deployment_id)
            await trio.sleep(1)
        await around.clock.sleep_until(session.end + timedelta(minutes=5))
        async with serving(around) as running:
            deaf_while_arranged(running, journal)
            result = await running.end_of(deployment_id)
        nursery.cancel_scope.cancel()
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}
    assert len(journal.rounds()) == 1
