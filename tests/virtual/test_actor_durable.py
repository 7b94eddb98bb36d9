"""What docs/guarantees.md says about machines: a small one that counts, and what its shell does around it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fuota.actor import Alarms, Ref
from fuota.actor.durable import Durable, Position
from fuota.clock import TrioClock
from fuota.journal.group_commit import GroupCommit, Pending
from tests.probe import Boom, tree

START = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


@attrs.define
class Journal:
    """Keeps the states in a list; fails as often as it is told to."""

    log: list[str]
    states: list[int] = attrs.field(factory=lambda: [0])
    failures: int = 0

    def position(self) -> Position[int]:
        return Position(self.states[-1], len(self.states))

    async def write(self, version: int, state: int) -> None:
        await trio.sleep(1)
        if self.failures:
            self.failures -= 1
            raise Boom
        assert version == len(self.states) + 1
        self.states.append(state)
        self.log.append(f"committed {state}")


class Counter(Durable[int, int, int, str]):
    """Adds what it is sent; each state asks to be announced, and from 10 on for a message."""

    def __init__(self, position: Position[int], journal: Journal, clock: TrioClock, alarms: Alarms) -> None:
        super().__init__(position, clock, alarms)
        self.journal = journal

    async def receive(self, message: int) -> None:
        await self.take(message)

    def step(self, state: int, fact: int, now: datetime) -> int:
        return state + fact

    def effects(self, state: int) -> tuple[str, ...]:
        return (f"announce {state}",)

    async def commit(self, version: int, after: int, fact: int, at: datetime, *extra: object) -> None:
        await self.journal.write(version, after)

    def perform(self, effect: str, *, resumed: bool) -> None:
        self.journal.log.append(f"{effect} again" if resumed else effect)
        self.call(self.work, self.position.state)
        if self.position.state >= 10:
            self.wake_at(self.clock.now() + timedelta(seconds=60), 100)

    async def work(self, state: int) -> int:
        try:
            await trio.sleep(500)
            self.journal.log.append(f"worked in {state}")
            return 0
        except trio.Cancelled:
            self.journal.log.append(f"left {state}")
            raise


@asynccontextmanager
async def counting(journal: Journal, kind: type[Counter] = Counter) -> AsyncIterator[Ref[int]]:
    clock, position = TrioClock(START), journal.position()
    alarms = Alarms(clock)
    async with tree() as running, trio.open_nursery() as nursery:
        nursery.start_soon(alarms.run)
        ref = running.spawn("counter", lambda: kind(position, journal, clock, alarms))
        await wait_all_tasks_blocked()
        yield ref
        nursery.cancel_scope.cancel()


async def test_a_state_is_committed_before_its_effects_are_let_out(autojump_clock: MockClock) -> None:
    log: list[str] = []
    async with counting(Journal(log)) as ref:
        await ref.tell(1)
        await trio.sleep(0.5)
        assert log == ["announce 0"]
        await trio.sleep(1)
        assert log == ["announce 0", "committed 1", "announce 1", "left 0"]


async def test_a_message_that_changes_nothing_is_not_written(autojump_clock: MockClock) -> None:
    log: list[str] = []
    journal = Journal(log)
    async with counting(journal) as ref:
        await ref.tell(0)
        await trio.sleep(10)
        assert log == ["announce 0"]
        assert journal.states == [0]


async def test_a_commit_that_fails_lets_nothing_out(autojump_clock: MockClock) -> None:
    log: list[str] = []
    journal = Journal(log, failures=1)
    async with counting(journal) as ref:
        await ref.tell(1)
        await ref.tell(2)
        await trio.sleep(5)
        assert log == ["announce 0", "left 0", "announce 0", "committed 2", "announce 2", "left 0"]


async def test_a_new_incarnation_goes_on_with_the_last_committed_state(autojump_clock: MockClock) -> None:
    log: list[str] = []
    journal = Journal(log, states=[0, 3])
    async with counting(journal) as ref:
        assert log == ["announce 3 again"]
        await ref.tell(4)
        await trio.sleep(2)
        assert journal.states == [0, 3, 7]


async def test_it_goes_on_with_what_was_committed_while_it_crashed(autojump_clock: MockClock) -> None:
    journal = Journal([])

    async def write(batch: Sequence[Pending[tuple[int, int]]]) -> None:
        for pending in batch:
            await journal.write(*pending.entry)
            pending.settle()

    commits = GroupCommit(
        write=write, weigh=lambda _: 1, room=9, key=lambda _: None, pauses=lambda: count(1.0)
    )

    class Crashing(Counter):
        async def commit(self, version: int, after: int, fact: int, at: datetime, *extra: object) -> None:
            if after == 1:
                self.me.nursery.start_soon(self.crash)
            await commits.submit((version, after))

        async def crash(self) -> None:
            await trio.sleep(0.5)
            raise Boom

    async with trio.open_nursery() as nursery:
        nursery.start_soon(commits.run)
        async with counting(journal, Crashing) as ref:
            await ref.tell(1)
            await ref.tell(2)
            await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert journal.states == [0, 1, 3]
    assert "announce 1 again" in journal.log


@pytest.mark.parametrize(("first", "expected"), [(9, [0, 9]), (10, [0, 10, 110, 210])])
async def test_an_alarm_belongs_to_the_state_that_set_it(
    first: int, expected: list[int], autojump_clock: MockClock
) -> None:
    journal = Journal([])
    async with counting(journal) as ref:
        await ref.tell(first)
        await trio.sleep(140)
        assert journal.states == expected


async def test_the_alarm_of_an_actor_that_stops_goes_with_it(autojump_clock: MockClock) -> None:
    clock = TrioClock(START)
    alarms = Alarms(clock)
    async with tree() as running:
        journal = Journal([], states=[0, 10])
        running.spawn("counter", lambda: Counter(journal.position(), journal, clock, alarms))
        await wait_all_tasks_blocked()
        assert alarms.pending == 1
    assert alarms.pending == 0


async def test_what_a_state_has_begun_ends_with_it(autojump_clock: MockClock) -> None:
    log: list[str] = []
    async with counting(Journal(log)) as ref:
        await ref.tell(1)
        await trio.sleep(600)
        assert [line for line in log if "left" in line or "worked" in line] == ["left 0", "worked in 1"]
