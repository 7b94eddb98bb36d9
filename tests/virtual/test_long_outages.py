"""An outage that lasts for longer than the start of a session is put off for slow devices."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from trio.testing import MockClock

from fuota.deployment.states import ArrangingSession, Session
from fuota.deployment.windows import PATIENT
from fuota.device.states import Complete
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import Transition
from fuota.simulation.radio import Radio
from tests.campaign import IMAGE, order, server, simulated


class Noting(MemoryJournal):
    """Tells of each session that is arranged, before a device is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.arranged: Callable[[Session], None] = lambda session: None

    async def commit(self, transition: Transition) -> None:
        await super().commit(transition)
        if isinstance(transition.state, ArrangingSession):
            self.arranged(transition.state.session)


@pytest.mark.parametrize("left", [5, 15, 25])
async def test_who_can_not_be_asked_in_time_after_it_is_waited_for(
    left: float, autojump_clock: MockClock
) -> None:
    """ChirpStack is back so many seconds before one of many starts, when no device is heard any more."""
    devices, journal, sessions = simulated(3), Noting(), list[Session]()
    radio = Radio(uplink_interval=timedelta(seconds=40))
    async with server(devices, radio=radio, journal=journal) as running:

        def away_until_the_last_is_near(session: Session) -> None:
            sessions.append(session)
            if len(sessions) == 1:
                running.network.conditions.outage(timedelta(days=1))
            if len(sessions) == 2 * PATIENT:
                running.network.conditions.outages.clear()
                near = session.start - timedelta(seconds=left) - running.clock.now()
                running.network.conditions.outage(near)

        journal.arranged = away_until_the_last_is_near
        result = await running.carry_out(
            order(devices, unicast_timeout=timedelta(seconds=45), unicast_attempt_count=2)
        )
    assert len(sessions) > 2 * PATIENT
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}
