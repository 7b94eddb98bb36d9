"""How many calls an ailing network gets, and how soon its recovery is noticed."""

from contextlib import suppress
from functools import partial

import pytest
import structlog
import trio
from trio.testing import MockClock

from fuota.health import Health
from fuota.network.calls import CALL_TIMEOUT
from fuota.network.gate import AILING, LASTS, PLACES, PROBE, Always, Gate, Lane
from fuota.network.port import About, NetworkError, NotActivated, NotFound, TokenRefused, Trouble, Unreachable
from fuota.network.retry import persistently
from fuota.ownership import Ownership


def away() -> NetworkError:
    return Unreachable("UNAVAILABLE", "connection refused")


async def through(gate: Gate, error: NetworkError | None = None) -> None:
    async with gate.passage(Always()):
        if error is not None:
            raise error


async def test_a_call_that_fails_now_and_then_is_no_illness(autojump_clock: MockClock) -> None:
    health = Health()
    gate = Gate(health)
    for error in (away(), None, Trouble("INTERNAL", ""), away(), None, NotFound("NOT_FOUND", ""), away()):
        if error is None:
            await through(gate)
        else:
            with pytest.raises(NetworkError):
                await through(gate, error)
    assert not health.ailments()
    assert trio.current_time() == 0


async def test_trouble_is_its_own_only_for_a_call_before_which_others_were_answered(
    autojump_clock: MockClock,
) -> None:
    gate, alone = Gate(Health()), []
    for answered in (True, False, True, True, False):
        if answered:
            await through(gate)
        for _ in range(2):
            error = Trouble("INTERNAL", "")
            with pytest.raises(Trouble):
                await through(gate, error)
            alone.append(error.alone)
    assert alone == [True, False, False, False, True, False, True, False, False, False]


async def test_a_thousand_actors_ask_an_ailing_network_once_in_a_while(autojump_clock: MockClock) -> None:
    health = Health()
    gate = Gate(health)
    calls = 0
    away = True

    async def insist() -> None:
        nonlocal calls
        while True:
            try:
                async with gate.passage(Always()):
                    calls += 1
                    await trio.sleep(0.001)
                    if away:
                        raise Unreachable("UNAVAILABLE", "connection refused")
                return
            except NetworkError:
                await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for _ in range(1000):
            nursery.start_soon(insist)
        await trio.sleep(60)
        assert calls <= 60 / PROBE + PLACES[Lane.DEVICES] + 1
        assert "UNAVAILABLE" in health.ailments()["chirpstack"]
        away = False
        began = trio.current_time()
    assert trio.current_time() - began < 3
    assert not health.ailments()


async def test_a_refused_token_is_said_at_once(autojump_clock: MockClock) -> None:
    health = Health()
    with pytest.raises(TokenRefused):
        await through(Gate(health), TokenRefused("UNAUTHENTICATED", "not authorized"))
    assert "token" in health.ailments()["chirpstack"]


async def test_a_device_that_is_not_the_tokens_is_no_refusal_of_the_token(autojump_clock: MockClock) -> None:
    health, error = Health(), TokenRefused("UNAUTHENTICATED", "not authorized")
    error.own = True
    with structlog.testing.capture_logs() as said, pytest.raises(TokenRefused):
        await through(Gate(health), error)
    assert not said
    assert not health.ailments()


async def test_devices_that_have_to_join_are_no_illness_of_the_network(autojump_clock: MockClock) -> None:
    health = Health()
    gate = Gate(health)
    for _ in range(3 * AILING):
        with pytest.raises(NotActivated):
            await through(gate, NotActivated("INTERNAL", "code = NotFound"))
    assert not health.ailments()
    assert trio.current_time() == 0


async def test_a_part_of_the_network_that_answers_does_not_prove_that_it_works(
    autojump_clock: MockClock,
) -> None:
    health = Health()
    gate = Gate(health)
    for _ in range(AILING):
        async with gate.passage(Always(), proves=False):
            pass
        with pytest.raises(Unreachable):
            await through(gate, away())
    assert health.ailments()
    await through(gate)
    assert not health.ailments()


async def test_reads_that_fail_now_and_then_do_not_add_up(autojump_clock: MockClock) -> None:
    """As where idle connections are cut, and nobody is sent anything."""
    health = Health()
    gate = Gate(health)
    for _ in range(3 * AILING):
        with pytest.raises(Unreachable):
            async with gate.passage(Always(), proves=False):
                raise away()
        async with gate.passage(Always(), proves=False):
            pass
    assert not health.ailments()


async def test_reads_that_are_answered_do_not_make_a_network_well_that_fails_others(
    autojump_clock: MockClock,
) -> None:
    """Nor is the trouble of a call its own for their sake."""
    health = Health()
    gate = Gate(health)
    for number in range(3 * AILING):
        error = Trouble("INTERNAL", "")
        with pytest.raises(Trouble):
            async with gate.passage(Always(), proves=False):
                raise error
        assert error.alone == (number == 0)
        if number >= AILING - 1:
            async with gate.passage(Always(), proves=False):
                pass
            assert health.ailments()


async def test_an_ailing_network_that_nobody_calls_any_more_is_not_known_to_ail(
    autojump_clock: MockClock,
) -> None:
    """The last call of a server may be one that proves nothing, or be given up."""
    health = Health()
    gate = Gate(health)
    for _ in range(AILING):
        with pytest.raises(Unreachable):
            await through(gate, away())
    async with gate.passage(Always(), proves=False):
        pass
    await trio.sleep(LASTS - PROBE - 1)
    assert health.ailments()
    await trio.sleep(1)
    assert not health.ailments()


async def test_a_network_ails_for_as_long_as_anybody_waits_for_it(autojump_clock: MockClock) -> None:
    """Though each call takes as long as it can."""
    health, over = Health(), trio.current_time() + 3600
    gate = Gate(health)

    async def call() -> None:
        async with gate.passage(Always(), proves=False):
            await trio.sleep(CALL_TIMEOUT)
        async with gate.passage(Always()):
            if trio.current_time() < over:
                await trio.sleep(3 * CALL_TIMEOUT)
                raise Unreachable("DEADLINE_EXCEEDED", "no answer within 5 s")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(persistently, call, trouble=lambda error: None))
        await trio.sleep(120)
        while trio.current_time() < over:
            assert health.ailments()
            await trio.sleep(0.1)
    assert not health.ailments()


async def test_calls_of_one_kind_do_not_wait_for_those_of_another(autojump_clock: MockClock) -> None:
    """Each kind has its places, however many of the others wait."""
    gate = Gate(Health())
    done: dict[Lane, list[float]] = {lane: [] for lane in Lane}

    async def call(lane: Lane) -> None:
        async with gate.passage(Always(), lane):
            await trio.sleep(1)
        done[lane].append(trio.current_time())

    times = {Lane.DEVICES: 100, Lane.GROUPS: 2, Lane.URGENT: 3}
    async with trio.open_nursery() as nursery:
        for lane in Lane:
            for _ in range(times[lane] * PLACES[lane]):
                nursery.start_soon(call, lane)
            await trio.testing.wait_all_tasks_blocked()
    for lane in Lane:
        assert done[lane] == [1 + turn for turn in range(times[lane]) for _ in range(PLACES[lane])]


async def test_one_call_of_each_kind_finds_out_whether_the_network_is_back(
    autojump_clock: MockClock,
) -> None:
    """Requests to devices are as many as ever, and take long; the others do not wait for them."""
    gate = Gate(Health())
    away = True
    calls, under_way, most = dict.fromkeys(Lane, 0), dict.fromkeys(Lane, 0), 0

    async def insist(lane: Lane) -> None:
        nonlocal most
        while away:
            try:
                async with gate.passage(Always(), lane):
                    calls[lane] += 1
                    under_way[lane] += 1
                    most = max(most, *under_way.values())
                    await trio.sleep(CALL_TIMEOUT if lane is Lane.DEVICES else 0.001)
                    under_way[lane] -= 1
                    if away:
                        raise Unreachable("UNAVAILABLE", "connection refused")
            except Unreachable:
                await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for lane, many in {Lane.DEVICES: 1000, Lane.GROUPS: 1, Lane.URGENT: 1}.items():
            for _ in range(many):
                nursery.start_soon(insist, lane)
        await trio.sleep(20)
        calls, most = dict.fromkeys(Lane, 0), 0
        await trio.sleep(120)
        assert most == 1
        assert calls[Lane.DEVICES] <= 120 / (CALL_TIMEOUT + PROBE) + 1
        for lane in (Lane.GROUPS, Lane.URGENT):
            assert 120 / (1 + PROBE) - 2 <= calls[lane] <= 120 / PROBE
        away = False


async def test_who_is_answered_does_not_wait_behind_those_who_are_not(autojump_clock: MockClock) -> None:
    """A thousand calls about each of two applications, and one about a third; those fail after 5 s."""
    gate, gone, calls = Gate(Health()), {"1": True, "2": True}, dict.fromkeys("12", 0)

    async def insist(lane: Lane, about: str) -> None:
        while True:
            with suppress(Unreachable):
                async with gate.passage(Always(), lane, about=About(about)):
                    if not gone[about]:
                        return
                    calls[about] += 1
                    await trio.sleep(CALL_TIMEOUT)
                    raise away()
            await trio.sleep(1)

    async def pass_through() -> None:
        before = trio.current_time()
        for lane in Lane:
            async with gate.passage(Always(), lane, about=About("3")):
                pass
        assert trio.current_time() == before

    async with trio.open_nursery() as nursery:
        for lane in Lane:
            for number in range(2000):
                nursery.start_soon(insist, lane, str(1 + number % 2))
        await trio.sleep(60)
        calls = dict.fromkeys("12", 0)
        for _ in range(600):
            await pass_through()
            await trio.sleep(1)
        assert max(calls.values()) <= len(Lane) * (600 / (CALL_TIMEOUT + PROBE) + 1)
        gone["1"] = False
        await trio.sleep(CALL_TIMEOUT + PROBE)
        calls = dict.fromkeys("12", 0)
        await trio.sleep(60)
        assert 0 < calls["2"] <= len(Lane) * (60 / (CALL_TIMEOUT + PROBE) + 1)
        assert len(nursery.child_tasks) == 1000 * len(Lane), "the other application is back"
        gone["2"] = False


async def test_a_network_ails_while_it_fails_one_application_however_often_it_answers_another(
    autojump_clock: MockClock,
) -> None:
    """Or its deployments would take what keeps their devices from being heard for a fault of these."""
    health = Health()
    gate = Gate(health)

    async def fail() -> None:
        for _ in range(60):
            with pytest.raises(Unreachable):
                async with gate.passage(Always(), about=About("1")):
                    raise away()
        async with gate.passage(Always(), about=About("1")):
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail)
        await trio.sleep(2 * PROBE)
        while nursery.child_tasks:
            assert health.ailments()
            for _ in range(AILING):
                async with gate.passage(Always(), about=About("2")):
                    await trio.sleep(PROBE / 10)
    assert trio.current_time() > 50 * PROBE
    async with gate.passage(Always(), about=About("2")):
        pass
    assert not health.ailments()


async def test_a_network_that_answers_nobody_is_asked_seldom_however_many_applications_it_has(
    autojump_clock: MockClock,
) -> None:
    gate, calls, gone, under_way, most = Gate(Health()), 0, True, 0, 0

    async def insist(about: str) -> None:
        nonlocal calls, under_way, most
        while True:
            with suppress(Unreachable):
                async with gate.passage(Always(), about=About(about)):
                    calls += 1
                    under_way += 1
                    most = max(most, under_way)
                    await trio.sleep(0.1)
                    under_way -= 1
                    if not gone:
                        return
                    raise away()
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for number in range(1000):
            nursery.start_soon(insist, str(number % 100))
        await trio.sleep(60)
        assert calls <= 100 * AILING + PLACES[Lane.DEVICES] + 60 / PROBE
        calls = most = 0
        await trio.sleep(60)
        assert calls <= 60 / PROBE + 1
        assert most == 1
        gone, began = False, trio.current_time()
    assert trio.current_time() - began < 6


async def test_who_has_waited_for_a_place_asks_again_whether_it_may(autojump_clock: MockClock) -> None:
    """It is fenced while it waits behind others, as a process is that was stopped for a while."""
    gate, ownership, calls = Gate(Health()), Ownership(Health()), 0
    ownership.gain(1, trio.current_time() + 10)

    async def call(seconds: float) -> None:
        nonlocal calls
        async with gate.passage(ownership):
            calls += 1
            await trio.sleep(seconds)

    async with trio.open_nursery() as nursery:
        for _ in range(PLACES[Lane.DEVICES]):
            nursery.start_soon(call, 11)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(call, 0)
        await trio.sleep(60)
        assert calls == PLACES[Lane.DEVICES]
        await through(gate)
        ownership.gain(2, trio.current_time() + 10)
        await trio.sleep(1)
        assert calls == PLACES[Lane.DEVICES] + 1
