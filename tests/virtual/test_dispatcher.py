"""Every uplink finds the devices it concerns; every clock request is answered, once."""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import attrs
import pytest
import trio

from fuota.actor import Actor, Child, Ref, Registry, open_tree
from fuota.device.messages import ClockAnswered, Heard
from fuota.device.messages import Message as DeviceMessage
from fuota.dispatcher import CLOCK_ANSWERS, FRESH, KEPT, Dispatcher, Outcome, Route
from fuota.lorawan import clocksync, gpstime
from fuota.lorawan.clocksync import AppTimeAns, AppTimeReq
from fuota.lorawan.eui import EUI64
from fuota.network.port import Group, KnownGroup, NetworkError, NotFound, Unreachable
from fuota.ownership import Ownership
from fuota.uplink import Uplink

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE, TWO = EUI64(bytes([1] * 8)), EUI64(bytes([2] * 8))


class Queues:
    """A network that has nothing but downlink queues."""

    def __init__(self) -> None:
        self.downlinks: list[tuple[EUI64, int, bytes]] = []
        self.attempts = 0
        self.errors: list[NetworkError] = []
        """Raised one after the other, before anything works."""
        self.works = trio.Event()
        self.works.set()

    async def downlink(
        self, dev_eui: EUI64, f_port: int, data: bytes, *, unless_pending: bool, application_id: str = ""
    ) -> str | None:
        self.attempts += 1
        await self.works.wait()
        if self.errors:
            raise self.errors.pop(0)
        assert unless_pending
        self.downlinks.append((dev_eui, f_port, data))
        return str(len(self.downlinks))

    async def ensure_group(self, group: Group) -> str:
        raise NotImplementedError

    async def has_group(self, group: KnownGroup) -> bool:
        raise NotImplementedError

    async def add_device(self, group: KnownGroup, dev_eui: EUI64) -> None:
        raise NotImplementedError

    async def withdraw(
        self, dev_eui: EUI64, ours: Callable[[int, bytes], bool], *, application_id: str = ""
    ) -> bool:
        raise NotImplementedError

    async def multicast(self, group: KnownGroup, f_port: int, data: bytes) -> None:
        raise NotImplementedError

    async def waiting(self, group: KnownGroup) -> frozenset[tuple[int, bytes]]:
        raise NotImplementedError

    async def flush(self, group: KnownGroup) -> None:
        raise NotImplementedError

    async def delete_group(self, group: Group) -> None:
        raise NotImplementedError


class Device(Actor[DeviceMessage]):
    """Keeps what it is told, and is done with an uplink when it is told to."""

    def __init__(self) -> None:
        self.told: list[DeviceMessage] = []
        self.proceeds = trio.Event()

    async def receive(self, message: DeviceMessage) -> None:
        self.told.append(message)
        await self.proceeds.wait()
        if isinstance(message, Heard):
            message.done()

    def heard(self) -> list[Uplink]:
        return [each.uplink for each in self.told if isinstance(each, Heard)]


@attrs.define
class Field:
    """A dispatcher, its network, and devices."""

    ref: Ref[Route]
    network: Queues
    ownership: Ownership
    register: Callable[[EUI64, Ref[DeviceMessage]], object]
    spawn: Callable[[str, Callable[[], Device], int], Ref[DeviceMessage]]
    describe: Callable[[], object]

    def device(self, dev_eui: EUI64, name: str, *, room: int = 8, busy: bool = False) -> Device:
        device = Device()
        if not busy:
            device.proceeds.set()
        self.register(dev_eui, self.spawn(name, lambda: device, room))
        return device

    async def route(self, uplink: Uplink) -> Outcome:
        return await self.ref.ask(lambda reply: Route(uplink, reply), within=8)


@asynccontextmanager
async def field(*, clock_sync: bool = True) -> AsyncIterator[Field]:
    network, devices = Queues(), Registry[EUI64, DeviceMessage]()
    ownership = Ownership.sole()
    dispatcher = Dispatcher(devices, network, ownership, clock_sync=clock_sync)
    with trio.fail_after(300):
        async with open_tree([Child("dispatcher", lambda: dispatcher)]) as tree:
            ref = tree.find("/dispatcher")
            assert ref is not None
            yield Field(
                ref,
                network,
                ownership,
                devices.register,
                lambda name, make, room: tree.spawn(name, make, room=room),
                dispatcher.describe,
            )


def uplink(dev_eui: EUI64 = ONE, f_port: int = 200, f_cnt: int = 1, data: bytes = b"\x00") -> Uplink:
    return Uplink(dev_eui=dev_eui, f_port=f_port, f_cnt=f_cnt, data=data, received_at=NOW)


def clock_request(f_cnt: int = 1, *, off: int = 0, required: bool = False, token: int = 5) -> Uplink:
    asked = AppTimeReq(device_time=gpstime.gps_seconds(NOW) + off, token_req=token, ans_required=required)
    return uplink(f_port=202, f_cnt=f_cnt, data=clocksync.package.write(asked, version=1))


def clock_answer(*, correction: int, token: int = 5) -> tuple[EUI64, int, bytes]:
    answer = AppTimeAns(time_correction=correction, token_ans=token)
    return ONE, 202, clocksync.package.write(answer, version=1)


@pytest.mark.parametrize("f_port", [200, 201])
async def test_an_uplink_goes_to_the_device_it_concerns(autojump_clock: object, f_port: int) -> None:
    async with field() as f:
        one, two = f.device(ONE, "one"), f.device(TWO, "two")
        assert await f.route(uplink(f_port=f_port)) is Outcome.TAKEN
        assert one.heard() == [uplink(f_port=f_port)]
        assert two.told == []


async def test_a_device_in_two_deployments_hears_it_in_both(autojump_clock: object) -> None:
    async with field() as f:
        first, second = f.device(ONE, "first"), f.device(ONE, "second")
        assert await f.route(uplink()) is Outcome.TAKEN
        assert first.heard() == second.heard() == [uplink()]


async def test_an_uplink_of_no_concern_is_taken_at_once(autojump_clock: object) -> None:
    async with field() as f:
        assert await f.route(uplink()) is Outcome.TAKEN
        assert await f.route(uplink(f_port=203)) is Outcome.TAKEN
        assert f.network.attempts == 0


async def test_taken_means_that_all_are_done_with_it(autojump_clock: object) -> None:
    async with field() as f, trio.open_nursery() as nursery:
        quick, slow = f.device(ONE, "quick"), f.device(ONE, "slow", busy=True)
        outcomes: list[Outcome] = []

        async def route() -> None:
            outcomes.append(await f.route(uplink()))

        nursery.start_soon(route)
        await trio.sleep(5)
        assert quick.heard()
        assert outcomes == []
        slow.proceeds.set()
        await trio.testing.wait_all_tasks_blocked()
        assert outcomes == [Outcome.TAKEN]


async def test_done_twice_by_one_is_not_done_by_two(autojump_clock: object) -> None:
    async with field() as f:
        f.device(ONE, "slow", busy=True)
        quick = f.device(ONE, "quick")
        with trio.move_on_after(5) as waiting:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(f.route, uplink())
                await trio.sleep(1)
                (heard,) = quick.told
                assert isinstance(heard, Heard)
                heard.done()
        assert waiting.cancelled_caught


async def test_busy_when_one_of_them_is_full_but_the_others_hear_it(autojump_clock: object) -> None:
    async with field() as f, trio.open_nursery() as nursery:
        f.device(ONE, "stuck", room=1, busy=True)
        well = f.device(ONE, "well")
        for f_cnt in (1, 2):
            nursery.start_soon(f.route, uplink(f_cnt=f_cnt))
            await trio.testing.wait_all_tasks_blocked()
        assert await f.route(uplink(f_cnt=3)) is Outcome.BUSY
        await trio.testing.wait_all_tasks_blocked()
        assert well.heard() == [uplink(f_cnt=1), uplink(f_cnt=2), uplink(f_cnt=3)]
        nursery.cancel_scope.cancel()


async def test_a_wrong_clock_is_corrected_with_the_token_of_the_request(autojump_clock: object) -> None:
    async with field() as f:
        assert await f.route(clock_request(off=-10)) is Outcome.TAKEN
        await trio.testing.wait_all_tasks_blocked()
        assert f.network.downlinks == [clock_answer(correction=10)]


async def test_a_right_clock_is_answered_only_when_it_wants_to_be(autojump_clock: object) -> None:
    async with field() as f:
        await f.route(clock_request(1))
        await f.route(clock_request(2, required=True))
        await trio.testing.wait_all_tasks_blocked()
        assert f.network.downlinks == [clock_answer(correction=0)]


async def test_the_same_clock_request_again_is_answered_once_in_a_minute(autojump_clock: object) -> None:
    async with field() as f:
        for _ in range(3):
            await f.route(clock_request(off=1))
            await trio.sleep(10)
        assert len(f.network.downlinks) == 1
        await trio.sleep(60)
        await f.route(clock_request(off=1))
        await trio.testing.wait_all_tasks_blocked()
        assert len(f.network.downlinks) == 2


async def test_the_devices_actors_are_told_when_the_network_has_the_answer(autojump_clock: object) -> None:
    async with field() as f:
        device, other = f.device(ONE, "one"), f.device(TWO, "two")
        f.network.works = trio.Event()
        await f.route(clock_request(off=1))
        await trio.sleep(5)
        assert device.told == []
        f.network.works.set()
        await trio.testing.wait_all_tasks_blocked()
        assert device.told == [ClockAnswered(-1)]
        assert other.told == []
        await f.route(clock_request(2))
        await trio.testing.wait_all_tasks_blocked()
        assert device.told == [ClockAnswered(-1), ClockAnswered(0)], "though no answer is due"


async def test_a_network_that_hangs_holds_up_no_uplink(autojump_clock: object) -> None:
    async with field() as f:
        device = f.device(ONE, "one")
        f.network.works = trio.Event()
        for f_cnt in range(10):
            assert await f.route(clock_request(f_cnt, off=1)) is Outcome.TAKEN
        assert await f.route(uplink()) is Outcome.TAKEN
        assert device.heard() == [uplink()]


async def test_a_network_out_of_reach_is_tried_again(autojump_clock: object) -> None:
    async with field() as f:
        f.network.errors = [Unreachable("UNAVAILABLE", "gone"), Unreachable("UNAVAILABLE", "gone")]
        await f.route(clock_request(off=1))
        await trio.sleep(60)
        assert f.network.downlinks == [clock_answer(correction=-1)]


async def test_but_not_longer_than_the_request_is_fresh(autojump_clock: object) -> None:
    async with field() as f:
        device = f.device(ONE, "one")
        f.network.errors = [Unreachable("UNAVAILABLE", "gone")] * 100
        await f.route(clock_request(off=1))
        await trio.sleep(FRESH)
        attempts = f.network.attempts
        assert attempts > 3
        await trio.sleep(FRESH)
        assert f.network.attempts == attempts
        assert device.told == []
        f.network.errors.clear()
        await f.route(clock_request(off=1))
        await trio.testing.wait_all_tasks_blocked()
        assert f.network.downlinks == [clock_answer(correction=-1)]


async def test_what_the_network_refuses_is_not_tried_again_and_not_fatal(autojump_clock: object) -> None:
    async with field() as f:
        f.network.errors = [NotFound("NOT_FOUND", "no such device")]
        await f.route(clock_request(1, off=1))
        await trio.sleep(60)
        assert f.network.attempts == 1
        await f.route(clock_request(2, off=1))
        await trio.testing.wait_all_tasks_blocked()
        assert f.network.downlinks == [clock_answer(correction=-1)]


async def test_clock_answers_under_way_are_bounded(autojump_clock: object) -> None:
    async with field() as f:
        f.network.works = trio.Event()
        for f_cnt in range(CLOCK_ANSWERS):
            await f.route(clock_request(f_cnt, off=1))
        assert await f.route(clock_request(CLOCK_ANSWERS, off=1)) is Outcome.BUSY
        f.network.works.set()
        await trio.testing.wait_all_tasks_blocked()
        assert await f.route(clock_request(CLOCK_ANSWERS, off=1)) is Outcome.TAKEN
        await trio.testing.wait_all_tasks_blocked()
        assert len(f.network.downlinks) == CLOCK_ANSWERS + 1


async def test_it_says_what_it_has_done(autojump_clock: object) -> None:
    async with field() as f:
        f.device(ONE, "one")
        await f.route(uplink())
        await f.route(uplink(TWO))
        await f.route(clock_request(off=1))
        await trio.testing.wait_all_tasks_blocked()
        assert attrs.asdict(f.describe()) == {  # type: ignore[arg-type]
            "routed": 1,
            "unconcerned": 1,
            "busy": 0,
            "elsewhere": 0,
            "fates": 0,
            "clock_answers": 1,
            "clock_failures": 0,
        }


async def test_the_correction_counts_from_the_reception_however_late_it_is_sent(
    autojump_clock: object,
) -> None:
    async with field() as f:
        late = attrs.evolve(clock_request(off=0), received_at=NOW + timedelta(seconds=3))
        await f.route(late)
        await trio.testing.wait_all_tasks_blocked()
        assert f.network.downlinks == [clock_answer(correction=3)]


async def test_what_is_kept_is_bounded(autojump_clock: object) -> None:
    """No device's actor gets on, as when the database is away: memory is not for ever."""
    async with field() as f:
        stuck = [f.device(ONE, f"stuck {number}", room=KEPT, busy=True) for number in range(2)]
        async with trio.open_nursery() as nursery:
            for f_cnt in range(KEPT):
                nursery.start_soon(f.route, uplink(f_cnt=f_cnt))
            await trio.testing.wait_all_tasks_blocked()
            assert await f.route(uplink(f_cnt=KEPT)) is Outcome.BUSY
            assert await f.route(uplink(TWO)) is Outcome.TAKEN
            for device in stuck:
                device.proceeds.set()
        assert await f.route(uplink(f_cnt=KEPT)) is Outcome.TAKEN


async def test_nothing_is_taken_for_deployments_that_another_server_runs(autojump_clock: object) -> None:
    async with field() as f:
        device = f.device(ONE, "left behind")
        f.ownership.lose("another server")
        assert await f.route(uplink()) is Outcome.ELSEWHERE
        assert await f.route(uplink(TWO)) is Outcome.ELSEWHERE
        assert await f.route(clock_request(off=1)) is Outcome.ELSEWHERE
        f.ownership.gain(2, math.inf)
        assert await f.route(uplink()) is Outcome.ELSEWHERE, "its actors are not there yet"
        assert await f.route(clock_request(off=1)) is Outcome.TAKEN
        await trio.testing.wait_all_tasks_blocked()
        assert not device.told[:-1]
        assert len(f.network.downlinks) == 1


async def test_in_doubt_an_uplink_without_an_actor_is_not_said_to_be_nobodys(autojump_clock: object) -> None:
    async with field() as f:
        device = f.device(ONE, "at work")
        assert await f.route(uplink(TWO)) is Outcome.TAKEN
        f.ownership.doubt("the database is away")
        assert await f.route(uplink(TWO)) is Outcome.ELSEWHERE
        assert await f.route(uplink(ONE)) is Outcome.TAKEN, "its actor knows when that is safe"
        assert len(device.heard()) == 1


async def test_clock_requests_are_answered_while_ownership_is_in_doubt(autojump_clock: object) -> None:
    async with field() as f:
        f.ownership.doubt("the database is away")
        assert await f.route(clock_request(off=1)) is Outcome.TAKEN
        await trio.testing.wait_all_tasks_blocked()
        assert len(f.network.downlinks) == 1


async def test_clock_requests_are_left_to_the_network_if_so_configured(autojump_clock: object) -> None:
    async with field(clock_sync=False) as f:
        assert await f.route(clock_request(off=1)) is Outcome.TAKEN
        await trio.testing.wait_all_tasks_blocked()
        assert not f.network.downlinks
