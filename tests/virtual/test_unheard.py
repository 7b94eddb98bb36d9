"""Who was not heard to agree to a session is asked what it has, before anything else is done with it."""

from datetime import timedelta

import attrs
import pytest
from trio.testing import MockClock

from fuota.deployment import states
from fuota.deployment.messages import Announced
from fuota.deployment.plan import StatusRequest
from fuota.device.standing import Stage, Standing
from fuota.device.states import Complete, Failed, Reason, Released, Unconfirmed
from fuota.journal.port import Transition
from fuota.lorawan.clocksync import ForceDeviceResyncReq
from fuota.simulation.behaviour import Behaviour, Stack
from fuota.simulation.radio import Radio
from tests.campaign import IMAGE, order, server, simulated
from tests.virtual.test_rounds import Watched

NO_TS003 = Behaviour(clock_offset=timedelta(seconds=-8), ignores=frozenset({ForceDeviceResyncReq}))
"""8 s behind for good, which is more than is tolerated, and little of the window."""


@pytest.mark.parametrize("asked", [StatusRequest.AFTER_FRAGMENT_ENQUEUE, StatusRequest.AFTER_SESSION_TIMEOUT])
@pytest.mark.parametrize("attempts", [1, 2])
async def test_one_whose_clock_is_off_by_little_of_the_window_completes_with_the_others(
    attempts: int, asked: StatusRequest, autojump_clock: MockClock
) -> None:
    devices, journal = simulated(2, lambda number: Behaviour() if number else NO_TS003), Watched()
    radio = Radio(fragment_interval=timedelta(seconds=0.5))
    async with server(devices, journal=journal, radio=radio) as running:
        result = await running.carry_out(
            order(
                devices,
                unicast_attempt_count=attempts,
                fragmentation_redundancy=40,
                request_fragmentation_session_status=asked,
            )
        )
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}
    assert len(journal.rounds()) == 1, "what it has is not taken from it"


async def test_what_it_has_counted_is_not_counted_for_another_round(autojump_clock: MockClock) -> None:
    """LoRaMac-node keeps the count over a set-up, and forgets what is missing."""
    behind = attrs.evolve(NO_TS003, stack=Stack.LORAMAC_NODE, keeps_count=True)
    devices, journal = simulated(2, lambda number: Behaviour() if number else behind), Watched()
    async with server(devices, journal=journal) as running:
        result = await running.carry_out(order(devices, fragmentation_redundancy=0))
    assert result.state(devices[0].dev_eui) == Unconfirmed(41, 26)
    assert devices[0].image is None
    assert isinstance(result.state(devices[1].dev_eui), Complete)
    assert len(journal.rounds()) == 1


async def test_gateways_that_were_away_while_the_session_was_arranged(autojump_clock: MockClock) -> None:
    """Nobody was heard to agree; nothing is sent, they are asked as soon as it begins, and set up anew."""
    devices, journal = simulated(3), Watched()
    radio = Radio()
    async with server(devices, journal=journal) as running:

        def look(transition: Transition) -> None:
            match transition.state:
                case states.ArrangingSession(session=session) if session.number == 1:
                    running.world.radio = attrs.evolve(radio, loss=1)
                case states.Settling(sent=sent):
                    assert sent == 0 or len(journal.rounds()) == 2
                    running.world.radio = radio

        journal.look = look
        result = await running.carry_out(order(devices, multicast_timeout=12))
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}
    assert [round.incomplete for round in journal.rounds()] == [0, 3]
    assert result.at - result.status.created_at < timedelta(hours=1, minutes=30), "one window of 68 minutes"


async def test_what_devices_have_of_an_earlier_deployment_is_not_taken_for_what_was_never_sent(
    autojump_clock: MockClock,
) -> None:
    """They were complete, and did not start their image: LoRaMac-node counts on from there. Then the gateways
    are away while the session is arranged, and in the end they have what was ordered."""
    another = IMAGE[::-1]
    devices, journal = (
        simulated(3, lambda _: Behaviour(stack=Stack.LORAMAC_NODE, keeps_count=True)),
        Watched(),
    )
    async with server(devices, journal=journal) as running:
        await running.carry_out(order(devices, fragmentation_redundancy=0))
        radio, claimed = running.world.radio, list[object]()

        def look(transition: Transition) -> None:
            match transition.state:
                case states.ArrangingSession(session=session) if session.number == 1:
                    running.world.radio = attrs.evolve(radio, loss=1)
                case states.Settling():
                    running.world.radio = radio
                case Complete() as state:
                    claimed.append((state, {device.image for device in devices} == {another}))

        journal.look = look
        wanted = order(devices, payload=another, fragmentation_redundancy=0)
        result = await running.carry_out(wanted)
    assert claimed == [(Complete(41), True)] * 3
    assert result.states() == {Complete}
    assert journal.rounds()[-1].number == 2


@pytest.mark.parametrize("window", [1, 2])
@pytest.mark.parametrize("asked", StatusRequest)
async def test_one_that_has_lost_its_group_gets_another_round_whoever_is_asked(
    asked: StatusRequest, window: int, autojump_clock: MockClock
) -> None:
    """It was reset before that window, and says so."""
    devices, journal = simulated(3), Watched()
    pause = timedelta(seconds=1.5 if window > 1 else 0.5)
    async with server(devices, journal=journal, radio=Radio(fragment_interval=pause)) as running:
        reset = False

        def look(transition: Transition) -> None:
            nonlocal reset
            state = transition.state
            if isinstance(state, states.ArrangingSession) and state.used == window - 1 and not reset:
                reset = True
                devices[1].fragments.sessions.clear()
                devices[1].groups = attrs.evolve(devices[1].groups)

        journal.look = look
        result = await running.carry_out(order(devices, request_fragmentation_session_status=asked))
    assert reset
    assert result.states() == {Released if asked is StatusRequest.NO_REQUEST else Complete}
    assert {device.image for device in devices} == {IMAGE}
    assert [round.incomplete for round in journal.rounds()] == [0, 1]


async def test_what_a_device_said_long_ago_does_not_keep_the_deployment_from_its_end(
    autojump_clock: MockClock,
) -> None:
    """It waited in the mailbox of the deployment's actor, which crashed and has read since how far the device
    is."""
    devices = simulated(2, lambda number: Behaviour(memory=1 << 20 if number else 100))
    journal, told = Watched(), False
    async with server(devices, journal=journal) as running:
        deployment_id = await running.orders.take(order(devices))

        def look(transition: Transition) -> None:
            nonlocal told
            if isinstance(transition.state, states.ArrangingSession) and not told:
                actor = running.tree.find(f"/deployments/{deployment_id}")
                assert actor is not None
                told = actor.offer(Announced(devices[0].dev_eui, Standing(Stage.PREPARED), 2))

        journal.look = look
        result = await running.end_of(deployment_id, within=timedelta(hours=1))
    assert told
    failed = result.state(devices[0].dev_eui)
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.FRAGMENTATION_REFUSED
    assert isinstance(result.state(devices[1].dev_eui), Complete)
