"""What docs/guarantees.md says about alarms."""

import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from weakref import WeakSet

import attrs
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fuota.actor import Alarms, Tree
from fuota.actor.mailbox import Mailbox
from fuota.clock import TrioClock
from tests.probe import Crash, Do, Message, Note, Probe, busy, tree

START = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@attrs.define(eq=False)
class Timed(Probe):
    """Notes with each text the seconds since the start."""

    async def receive(self, message: Message) -> None:
        if isinstance(message, Note):
            self.log.append((message.text, trio.current_time()))
        else:
            await super().receive(message)


@asynccontextmanager
async def alarmed() -> AsyncIterator[tuple[Tree, Alarms]]:
    """A tree with alarms; it is `START` when Trio's clock, being a mock, shows 0."""
    clock = TrioClock(START)
    assert clock.now() == START
    alarms = Alarms(clock)
    async with tree() as running, trio.open_nursery() as nursery:
        nursery.start_soon(alarms.run)
        yield running, alarms
        nursery.cancel_scope.cancel()


async def test_an_alarm_comes_at_its_instant(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with alarmed() as (running, alarms):
        a, b = running.spawn("a", lambda: Timed(log)), running.spawn("b", lambda: Timed(log))
        alarms.set(a, after(3600), Note("later"))
        await wait_all_tasks_blocked()
        alarms.set(b, after(60), Note("sooner"))
        await trio.sleep(7200)
        alarms.set(a, after(5), Note("long past"))
        await wait_all_tasks_blocked()
        assert log[2:] == [("sooner", 60), ("later", 3600), ("long past", 7200)]
        assert alarms.pending == 0


async def test_an_actor_has_one_alarm(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with alarmed() as (running, alarms):
        ref = running.spawn("a", lambda: Timed(log))
        for seconds in (50, 10, 30):
            alarms.set(ref, after(seconds), Note(seconds))
        await trio.sleep(100)
        alarms.set(ref, after(150), Note("cancelled"))
        alarms.cancel(ref)
        await trio.sleep(100)
        assert log == ["started", (30, 30)]


async def test_a_full_mailbox_gets_its_alarm_when_there_is_room(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with alarmed() as (running, alarms):
        ref = running.spawn("a", lambda: Timed(log), room=1)
        hold = await busy(ref)
        ref.offer(Note("fills it"))
        alarms.set(ref, after(10), Note("alarm"))
        await trio.sleep(1000)
        hold.release.set()
        await trio.sleep(1)
        assert log[:3] == ["started", "released", ("fills it", 1000)]
        assert "alarm" in str(log[3])
        assert ref.dropped == 0


async def test_an_alarm_outlives_a_crash_of_its_actor(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with alarmed() as (running, alarms):
        ref = running.spawn("a", lambda: Timed(log))
        alarms.set(ref, after(60), Note("alarm"))
        await ref.tell(Crash())
        await trio.sleep(61)
        assert log == ["started", "stopped", "started", ("alarm", 60)]


async def test_an_alarm_of_an_actor_that_stopped_is_forgotten(autojump_clock: MockClock) -> None:
    async with alarmed() as (running, alarms):
        ref = running.spawn("a", Probe)
        alarms.set(ref, after(60), Note("alarm"))
        await ref.tell(Do(lambda me: me.stop()))
        await trio.sleep(61)
        assert (alarms.pending, ref.dropped) == (0, 0)


async def test_alarms_that_are_replaced_take_no_memory(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with alarmed() as (running, alarms):
        ref = running.spawn("a", lambda: Timed(log))
        await wait_all_tasks_blocked()
        tracemalloc.start()
        for number in range(20_000):
            alarms.set(ref, after(1000 + number % 7), Note(number))
        assert tracemalloc.get_traced_memory()[0] < 100_000
        tracemalloc.stop()
        await trio.sleep(2000)
        assert log == ["started", (19_999, 1000 + 19_999 % 7)]


async def test_alarms_that_are_cancelled_take_no_memory(autojump_clock: MockClock) -> None:
    """As when the devices of a deployment are let go: the next one that is set may be long in coming."""
    log: list[object] = []
    async with alarmed() as (running, alarms):
        ref = running.spawn("a", lambda: Timed(log))
        gone = [Mailbox[Message](f"/gone/{number}", 1) for number in range(1_000)]
        known = WeakSet(gone)
        for number, mailbox in enumerate(gone):
            alarms.set(mailbox, after(1000 + number), Note(number))
        alarms.set(ref, after(1500), Note("still set"))
        await trio.sleep(10)
        for mailbox in gone:
            alarms.cancel(mailbox)
        gone.clear()
        del mailbox
        assert alarms.pending == 1
        assert len(known) < 100
        await trio.sleep(2000)
        assert log == ["started", ("still set", 1500)]


async def test_three_thousand_alarms_of_one_instant_let_others_run(autojump_clock: MockClock) -> None:
    log: list[object] = []
    turns = 0
    async with alarmed() as (running, alarms), trio.open_nursery() as nursery:

        async def other() -> None:
            nonlocal turns
            await trio.sleep(60)
            while len(log) < 6_000:
                turns += 1
                await trio.lowlevel.checkpoint()

        nursery.start_soon(other)
        for number in range(3_000):
            alarms.set(running.spawn(str(number), lambda: Timed(log)), after(60), Note(number))
        await trio.sleep(61)
        assert len(log) == 6_000
        assert turns > 1_500
