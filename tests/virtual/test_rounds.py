"""All is sent once more to those that tell that they have not enough."""

from collections.abc import Callable
from datetime import timedelta

import attrs
import pytest
import structlog
import trio
from trio.testing import MockClock

from fuota.deployment import states
from fuota.deployment.messages import Cancel
from fuota.deployment.plan import MulticastClass, StatusRequest
from fuota.deployment.states import Why
from fuota.device.states import (
    Complete,
    CorrectingClock,
    Failed,
    Incomplete,
    Reason,
    Released,
    Unconfirmed,
    Unheard,
)
from fuota.journal.memory import MemoryJournal
from fuota.journal.port import Transition
from fuota.lorawan.clocksync import AppTimeAns, ForceDeviceResyncReq
from fuota.lorawan.eui import EUI64
from fuota.lorawan.fragmentation import FragSessionStatusReq
from fuota.lorawan.multicast import McClassBSessionReq, McClassCSessionAns, McClassCSessionReq
from fuota.network.port import KnownGroup
from fuota.simulation.behaviour import Behaviour, Stack
from fuota.simulation.radio import Radio
from fuota.uplink import Uplink
from tests.campaign import IMAGE, Server, order, server, simulated
from tests.virtual.test_hidden_queues import SLOW, hidden

GOOD = Radio()
DEAF = Radio(loss=1)
"""The gateways are away."""


class Watched(MemoryJournal):
    """Calls `look` with every transition that is written."""

    def __init__(self) -> None:
        super().__init__()
        self.look: Callable[[Transition], object] = lambda transition: None

    async def commit(self, transition: Transition) -> None:
        await super().commit(transition)
        self.look(transition)

    def rounds(self) -> list[states.Round]:
        """Each once, in their order."""
        said = [each.state.round for each in self.history if isinstance(each.state, states.InSession)]
        return list({round.number: round for round in said}.values())


def away(running: Server, *rounds: int) -> Callable[[Transition], None]:
    """The gateways are while a window of these rounds is open."""

    def look(transition: Transition) -> None:
        if isinstance(state := transition.state, states.InSession):
            opened = isinstance(state, states.Transmitting | states.AwaitingEnd) or (
                isinstance(state, states.Settling) and not state.looked
            )
            running.world.radio = DEAF if opened and state.round.number in rounds else GOOD

    return look


@pytest.mark.parametrize("mc_class", MulticastClass)
@pytest.mark.parametrize("asked", [StatusRequest.AFTER_FRAGMENT_ENQUEUE, StatusRequest.AFTER_SESSION_TIMEOUT])
async def test_gateways_that_were_away_for_a_whole_window(
    asked: StatusRequest, mc_class: MulticastClass, autojump_clock: MockClock
) -> None:
    devices, journal = simulated(5), Watched()
    async with server(devices, journal=journal) as running:
        journal.look = away(running, 1)
        with structlog.testing.capture_logs() as said:
            result = await running.carry_out(
                order(
                    devices,
                    multicast_group_type=mc_class,
                    multicast_timeout=2 if mc_class is MulticastClass.B else 6,
                    request_fragmentation_session_status=asked,
                )
            )
        assert not running.world.chirpstack.groups
    assert result.why is Why.DONE
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}
    assert [round.number for round in journal.rounds()] == [1, 2]
    told = [line for line in said if line.get("round")]
    assert [(line["round"], line["incomplete"]) for line in told] == [(2, 5)]


async def test_more_than_can_be_repaired_is_lost_on_the_air(autojump_clock: MockClock) -> None:
    """By some devices each time. Who has enough, and tells that some are missing, is not sent more."""
    devices, journal = simulated(50), Watched()
    async with server(devices, journal=journal, radio=Radio(loss=0.1)) as running:
        result = await running.carry_out(order(devices, fragmentation_redundancy=6, unicast_attempt_count=20))
    assert result.states() == {Complete, Unconfirmed}
    have = {device.dev_eui for device in devices if device.image == IMAGE}
    assert have == {each.dev_eui for each in result.status.devices if isinstance(each.state, Complete)}
    left = [round.incomplete for round in journal.rounds()[1:]]
    assert len(left) > 1
    assert left == sorted(set(left), reverse=True), "each round leaves fewer"


@pytest.mark.parametrize("asked", [StatusRequest.AFTER_SESSION_TIMEOUT, StatusRequest.NO_REQUEST])
@pytest.mark.parametrize("late", [False, True])
async def test_one_that_has_missed_a_window_is_sent_what_it_lacks(
    late: bool, asked: StatusRequest, autojump_clock: MockClock
) -> None:
    """It said that the first of three has begun already, and has received 46 of 63 fragments, which make up
    for all but one of the 39 that there are uncoded. It tells that, or nobody asks."""
    missed = McClassCSessionAns(mc_group_id=0, start_missed=True)
    behind = Behaviour(refuses={McClassCSessionReq: missed} if late else {})
    devices, journal = simulated(2, lambda number: Behaviour() if number else behind), Watched()
    async with server(devices, radio=SLOW, journal=journal) as running:

        def look(transition: Transition) -> None:
            if isinstance(transition.state, states.Transmitting):
                devices[0].behaviour = Behaviour()

        journal.look = look
        result = await running.carry_out(
            order(
                devices,
                payload=IMAGE[:1950],
                fragmentation_redundancy=24,
                request_fragmentation_session_status=asked,
            )
        )
    told = asked is not StatusRequest.NO_REQUEST
    assert result.states() == {Complete if told else Released}
    assert {device.image for device in devices} == {IMAGE[:1950]}
    why = Unconfirmed(46, 1) if told else Failed(Reason.START_MISSED, "by the device's clock")
    lacking = [each.state.otherwise for each in journal.history if isinstance(each.state, Incomplete)]
    assert lacking == [why] * late
    assert [round.number for round in journal.rounds()] == [1, 2][: 1 + late]


async def test_what_it_counted_in_a_round_does_not_complete_it_in_the_next(autojump_clock: MockClock) -> None:
    """LoRaMac-node keeps the count, which was enough, and finds nothing missing until it hears a fragment."""
    missed = McClassCSessionAns(mc_group_id=0, start_missed=True)
    node = Behaviour(stack=Stack.LORAMAC_NODE, keeps_count=True)
    devices, journal = simulated(3, lambda number: node if number == 1 else Behaviour()), Watched()
    usual = [device.behaviour for device in devices]
    async with server(devices, radio=SLOW, journal=journal) as running:

        def look(transition: Transition) -> None:
            if not isinstance(state := transition.state, states.InSession):
                return
            late = isinstance(state, states.ArrangingSession) and state.used == 0
            for device, before in zip(devices[:2], usual, strict=False):
                device.behaviour = attrs.evolve(before, refuses={McClassCSessionReq: missed} if late else {})
            if isinstance(state, states.Transmitting | states.AwaitingEnd) and state.round.number == 2:
                devices[1].behaviour = attrs.evolve(node, downlink_loss=1.0)

        journal.look = look
        result = await running.carry_out(order(devices, payload=IMAGE[:1950], fragmentation_redundancy=24))
    enough = {
        each.actor.dev_eui: each.state.otherwise
        for each in journal.history
        if isinstance(each.state, Incomplete)
    }
    told = enough[devices[1].dev_eui]
    assert isinstance(told, Unconfirmed)
    assert [result.state(device.dev_eui) for device in devices] == [
        Complete(41),
        Unconfirmed(told.nb_frag_received, 0),
        Complete(41),
    ]
    assert [round.incomplete for round in journal.rounds()] == [0, 2]


@pytest.mark.parametrize("whole", [False, True])
async def test_a_device_that_was_reset_while_it_listened(whole: bool, autojump_clock: MockClock) -> None:
    """It knows nothing of the fragments any more, nor perhaps of the group."""
    devices, journal = simulated(3), Watched()
    async with server(devices, journal=journal) as running:

        def look(transition: Transition) -> None:
            if isinstance(transition.state, states.AwaitingEnd) and len(journal.rounds()) == 1:
                devices[1].fragments.sessions.clear()
                if whole:
                    devices[1].groups = attrs.evolve(devices[1].groups)

        journal.look = look
        result = await running.carry_out(order(devices))
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}
    assert [round.incomplete for round in journal.rounds()] == [0, 1]


async def test_a_queue_that_is_hidden_and_leaves_more_slowly_than_fragments_are_on_air(
    autojump_clock: MockClock,
) -> None:
    """21 of 41 fragments are sent in a window, and nobody knows of it but the devices."""
    devices, journal = simulated(2), Watched()
    async with server(devices, radio=SLOW, journal=journal) as running:
        with hidden(running.network, after=0, until=100):
            result = await running.carry_out(order(devices, fragmentation_redundancy=0))
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}
    assert [round.number for round in journal.rounds()] == [1, 2]


@pytest.mark.parametrize("mc_class", MulticastClass)
@pytest.mark.parametrize("off", [-90, 90])
@pytest.mark.parametrize("attempts", [1, 2])
async def test_clocks_are_put_right_where_chirpstack_is_slow_and_fails(
    attempts: int, off: int, mc_class: MulticastClass, autojump_clock: MockClock
) -> None:
    """Each call takes 3.9 s, three in ten fail: now and then a clock is put right too late for a window."""
    offset = timedelta(seconds=off)
    devices = simulated(40, lambda number: Behaviour(clock_offset=offset * (number % 2)))
    async with server(devices, radio=Radio(uplink_interval=timedelta(seconds=5)), told=False) as running:
        running.network.conditions.latency, running.network.conditions.failing = 3.9, 0.3
        result = await running.carry_out(
            order(
                devices,
                multicast_group_type=mc_class,
                multicast_timeout=2 if mc_class is MulticastClass.B else 8,
                unicast_attempt_count=attempts,
                unicast_timeout=timedelta(seconds=16),
            )
        )
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}


async def test_one_that_never_hears_costs_one_more_round_and_the_others_are_not_asked_again(
    autojump_clock: MockClock,
) -> None:
    devices, journal = simulated(3, lambda number: Behaviour(wrong_root_key=number == 1)), Watched()
    async with server(devices, journal=journal) as running:
        result = await running.carry_out(order(devices))
        asked = {
            device.dev_eui: [
                row.command
                for row in await running.journal.logs(result.status.id, device.dev_eui) or ()
                if row.command == McClassCSessionReq.__name__
            ]
            for device in devices
        }
    assert result.why is Why.DONE
    bad = result.state(devices[1].dev_eui)
    assert isinstance(bad, Failed)
    assert bad.reason is Reason.INCOMPLETE
    assert journal.rounds() == [states.Round(), states.Round(2, windows=1, incomplete=1)]
    assert [len(asked[device.dev_eui]) for device in devices] == [1, 2, 1]
    assert {type(result.state(device.dev_eui)) for device in (devices[0], devices[2])} == {Complete}


async def test_a_round_that_helps_nobody_is_the_last(autojump_clock: MockClock) -> None:
    devices, journal = simulated(3), Watched()
    async with server(devices, journal=journal) as running:
        journal.look = away(running, 1, 2, 3)
        result = await running.carry_out(order(devices))
    assert [round.number for round in journal.rounds()] == [1, 2]
    assert {each.state.reason for each in result.status.devices} == {Reason.INCOMPLETE}  # type: ignore[union-attr]


@pytest.mark.parametrize("mc_class", MulticastClass)
@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("silent", [False, True])
async def test_where_nobody_agrees_to_a_session_the_deployment_ends(
    silent: bool, attempts: int, mc_class: MulticastClass, autojump_clock: MockClock
) -> None:
    """One has a wrong clock that is never put right; of another no answer to the session request is heard."""
    asked = frozenset({McClassBSessionReq, McClassCSessionReq})
    kinds = [
        Behaviour(clock_offset=timedelta(hours=-1), ignores=frozenset({ForceDeviceResyncReq})),
        *([Behaviour(ignores=asked | {FragSessionStatusReq})] if silent else []),
    ]
    devices, journal = simulated(len(kinds), lambda number: kinds[number]), Watched()
    async with server(devices, journal=journal) as running:
        result = await running.carry_out(
            order(
                devices,
                multicast_group_type=mc_class,
                multicast_timeout=2 if mc_class is MulticastClass.B else 6,
                unicast_attempt_count=attempts,
            )
        )
        assert not running.world.chirpstack.groups
    assert result.why is Why.NOBODY_LEFT
    reasons = [each.state.reason for each in result.status.devices]  # type: ignore[union-attr]
    assert reasons == [Reason.CLOCK_OFF, *([Reason.NO_ANSWER] if silent else [])]
    assert [round.incomplete for round in journal.rounds()] == [0, 1], "who is silent is out when it is asked"


@pytest.mark.parametrize("mc_class", MulticastClass)
@pytest.mark.parametrize("attempts", [1, 3])
async def test_where_nobody_agrees_to_another_window_they_are_asked_what_they_have(
    attempts: int, mc_class: MulticastClass, autojump_clock: MockClock
) -> None:
    """They have heard enough in the first, but for one that was reset since. While the second is arranged
    their gateways are away."""
    devices, journal = simulated(3), Watched()
    radio = Radio(fragment_interval=timedelta(seconds=1.4))
    async with server(devices, journal=journal, radio=radio) as running:
        reset = False
        running.network.conditions.latency = 2.5 if mc_class is MulticastClass.B else 0.1

        def look(transition: Transition) -> None:
            nonlocal reset
            state = transition.state
            if isinstance(state, states.ArrangingSession) and state.used == 1 and not reset:
                reset = True
                running.network.conditions.latency = 0.1
                running.world.radio = attrs.evolve(radio, loss=1)
                devices[1].fragments.sessions.clear()
            if isinstance(state, states.Settling):
                running.world.radio = radio

        journal.look = look
        result = await running.carry_out(
            order(
                devices,
                multicast_group_type=mc_class,
                multicast_timeout=0 if mc_class is MulticastClass.B else 6,
                unicast_attempt_count=attempts,
            )
        )
    assert reset
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}
    assert [round.incomplete for round in journal.rounds()] == [0, 1], "the others are not sent it again"


@pytest.mark.parametrize("crashes", [False, True])
async def test_a_number_that_a_device_told_in_an_earlier_deployment_is_of_this_one_if_it_told_another(
    crashes: bool, autojump_clock: MockClock
) -> None:
    """The first time one fragment is lost, and the second time half of them are in the first round; in the
    end LoRaMac-node has counted up to 41 both times. An actor may begin anew in between."""
    devices, journal = (
        simulated(2, lambda _: Behaviour(stack=Stack.LORAMAC_NODE, keeps_count=True)),
        Watched(),
    )
    async with server(devices, journal=journal) as running:
        send, sent, lost = running.network.multicast, 0, {5}

        async def lossy(group: KnownGroup, f_port: int, data: bytes) -> None:
            nonlocal sent
            sent += 1
            if sent not in lost:
                await send(group, f_port, data)

        running.network.multicast = lossy  # type: ignore[method-assign]
        first = await running.carry_out(order(devices, fragmentation_redundancy=0))
        assert sent == 41
        lost.update(range(41 + 20, 41 + 42))
        add, bugs = running.network.add_device, [crashes]

        async def buggy(group: KnownGroup, dev_eui: EUI64) -> None:
            if journal.rounds()[-1].number == 2 and bugs[-1]:
                bugs.append(False)
                raise RuntimeError("a bug")
            await add(group, dev_eui)

        running.network.add_device = buggy  # type: ignore[method-assign]
        second = await running.carry_out(order(devices, fragmentation_redundancy=0))
    assert len(bugs) == 1 + crashes
    assert {each.state for each in first.status.devices} == {Unconfirmed(41, 1)}
    assert {each.state for each in second.status.devices} == {Complete(41)}
    assert {device.image for device in devices} == {IMAGE}
    assert [round.incomplete for round in journal.rounds()] == [0, 2]


async def test_cancelled_while_all_is_sent_once_more(autojump_clock: MockClock) -> None:
    devices, journal = simulated(4, lambda number: Behaviour(wrong_root_key=number == 1)), Watched()
    async with server(devices, journal=journal) as running:
        deployment_id = await running.orders.take(order(devices))
        second = trio.Event()

        def look(transition: Transition) -> None:
            state = transition.state
            if isinstance(state, states.Transmitting) and state.round.number == 2:
                second.set()

        journal.look = look
        await second.wait()
        deployment = running.tree.find(f"/deployments/{deployment_id}")
        assert deployment is not None
        await deployment.tell(Cancel())
        result = await running.end_of(deployment_id)
        assert not running.world.chirpstack.groups
    assert result.why is Why.CANCELLED
    assert result.state(devices[1].dev_eui).reason is Reason.ABANDONED
    assert {type(result.state(devices[n].dev_eui)) for n in (0, 2, 3)} == {Complete}


async def test_a_group_that_is_deleted_while_all_is_sent_once_more(autojump_clock: MockClock) -> None:
    devices, journal = simulated(3), Watched()
    async with server(devices, journal=journal) as running:
        gone, multicast = [False], running.network.multicast

        async def deleting(group: KnownGroup, f_port: int, data: bytes) -> None:
            if journal.rounds()[-1].number == 2 and not gone[0]:
                gone[0] = True
                del running.world.chirpstack.groups[group.id]
            await multicast(group, f_port, data)

        running.network.multicast = deleting  # type: ignore[method-assign]
        journal.look = away(running, 1)
        result = await running.carry_out(order(devices))
        assert not running.world.chirpstack.groups
    assert gone[0]
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}
    assert [round.number for round in journal.rounds()] == [1, 2]


async def test_the_start_waits_for_devices_that_are_made_members_again(autojump_clock: MockClock) -> None:
    """They had answered before they were told of the group that took the place of a lost one, and ChirpStack
    needs longer for them than the start is away."""
    devices, journal = simulated(3), Watched()
    async with server(devices, journal=journal) as running:
        gone, late, add = [False], list[EUI64](), running.network.add_device

        async def slowly(group: KnownGroup, dev_eui: EUI64) -> None:
            if dev_eui in late:
                await trio.sleep(60)
                late.remove(dev_eui)
            await add(group, dev_eui)

        running.network.add_device = slowly  # type: ignore[method-assign]
        watch = away(running, 1)

        def look(transition: Transition) -> None:
            watch(transition)
            state = transition.state
            if isinstance(state, states.Repeating) and not gone[0]:
                gone[0] = True
                running.world.chirpstack.groups.clear()
            if isinstance(state, states.ArrangingSession) and state.lost == 1 and not state.session.put_off:
                running.world.chirpstack.groups[state.group_id].members.clear()
                late.extend(device.dev_eui for device in devices)

        journal.look = look
        result = await running.carry_out(order(devices))
        assert not running.world.chirpstack.groups
    assert not late
    assert result.states() == {Complete}
    assert {device.image for device in devices} == {IMAGE}
    assert [round.number for round in journal.rounds()] == [1, 2]


async def test_an_outage_while_a_clock_is_put_right_is_no_reason_for_a_round(
    autojump_clock: MockClock,
) -> None:
    """Not on the last attempt either. The clock is never right, but that is seen afterwards."""
    ignoring = Behaviour(clock_offset=timedelta(seconds=-90), ignores=frozenset({AppTimeAns}))
    devices, journal = simulated(2, lambda number: Behaviour() if number else ignoring), Watched()
    radio, away, missed = Radio(uplink_interval=timedelta(seconds=5)), [False, False], list[bool]()

    def heard(uplink: Uplink) -> tuple[Uplink, ...]:
        return () if away[-1] else (uplink,)

    async with (
        server(devices, journal=journal, radio=radio, uplinks=heard) as running,
        trio.open_nursery() as nursery,
    ):

        async def outage() -> None:
            away[0] = True
            await trio.sleep(0.1)  # the network has the request by then
            running.network.conditions.failing, away[1] = 1, True
            await trio.sleep(60)
            running.network.conditions.failing, away[-1] = 0, False

        def look(transition: Transition) -> None:
            state = transition.state
            if isinstance(state, CorrectingClock) and state.put_right and state.attempt == 2 and not away[0]:
                nursery.start_soon(outage)
            if isinstance(state, Incomplete | Unheard):
                missed.append(away[-1])

        journal.look = look
        result = await running.carry_out(order(devices, unicast_attempt_count=2))
    assert away[0]
    assert missed
    assert not any(missed)
    assert result.state(devices[0].dev_eui).reason is Reason.CLOCK_OFF
    assert isinstance(result.state(devices[1].dev_eui), Complete)
