"""Group commit by itself: what is written together, again, and not at all."""

from collections.abc import Sequence
from itertools import repeat

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fuota.journal.group_commit import GroupCommit, Pending
from fuota.journal.port import Fenced, Unavailable


@attrs.define
class Disk:
    """Takes a second to write a batch of words, if it can; refuses those in capitals."""

    written: list[list[str]] = attrs.field(factory=list)
    away: bool = False
    lost_after: int | None = None
    """So many more are written, then it is away."""

    async def write(self, batch: Sequence[Pending[str]]) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        if self.away:
            raise Unavailable
        done = batch[: self.lost_after]
        self.written.append([pending.entry for pending in done])
        for pending in done:
            pending.settle(Fenced(pending.entry) if pending.entry.isupper() else None)
        if len(done) < len(batch):
            self.away = True
            raise Unavailable


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def commits(disk: Disk, nursery: trio.Nursery) -> GroupCommit[str]:
    """The first letter is the key, unless it is a digit; a word weighs as much as it is long."""
    commits: GroupCommit[str] = GroupCommit(
        write=disk.write,
        weigh=len,
        room=10,
        key=lambda word: word[0] if word[0].isalpha() else None,
        pauses=lambda: repeat(5.0),
    )
    nursery.start_soon(commits.run)
    return commits


def without_keys(disk: Disk) -> GroupCommit[str]:
    return GroupCommit(write=disk.write, weigh=len, room=10, key=lambda _: None, pauses=lambda: repeat(5.0))


async def submitted(commits: GroupCommit[str], nursery: trio.Nursery, *words: str) -> None:
    """Each of the words by a task of its own, one after the other."""
    for word in words:
        nursery.start_soon(commits.submit, word)
        await wait_all_tasks_blocked()


async def test_what_waits_is_written_together(
    commits: GroupCommit[str], disk: Disk, autojump_clock: MockClock
) -> None:
    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        await submitted(commits, nursery, "a", "b", "c", "d")
    assert disk.written == [["a"], ["b", "c", "d"]]
    assert trio.current_time() - begin == 2


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (["1234", "5678", "901", "2"], [["1234", "5678"], ["901", "2"]]),
        (["1", "23456789012345", "6"], [["1"], ["23456789012345"], ["6"]]),
        (["a1", "b1", "a2", "b2"], [["a1", "b1"], ["a2", "b2"]]),
        (["a1", "a2", "b1"], [["a1"], ["a2", "b1"]]),
        (["1", "1", "1"], [["1", "1", "1"]]),
    ],
    ids=["room", "too large for any", "the same key twice", "in order all the same", "no key"],
)
async def test_what_is_not_written_together(
    commits: GroupCommit[str],
    disk: Disk,
    autojump_clock: MockClock,
    words: list[str],
    written: list[list[str]],
) -> None:
    async with trio.open_nursery() as nursery:
        await submitted(commits, nursery, "first", *words)
    assert disk.written == [["first"], *written]


async def test_an_error_is_for_its_submitter_alone(
    commits: GroupCommit[str], disk: Disk, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        await submitted(commits, nursery, "first", "a")
        with pytest.raises(Fenced, match="BAD"):
            await commits.submit("BAD")
        await submitted(commits, nursery, "c")
    assert disk.written == [["first"], ["a", "BAD"], ["c"]]


async def test_an_outage_is_waited_out(
    commits: GroupCommit[str], disk: Disk, autojump_clock: MockClock
) -> None:
    disk.away = True
    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        await submitted(commits, nursery, "a", "b")
        await trio.sleep(100.5)
        assert disk.written == []
        await submitted(commits, nursery, "c")
        disk.away = False
    assert disk.written == [["a", "b", "c"]]
    assert trio.current_time() - begin < 110


async def test_what_was_written_before_an_outage_is_not_written_again(
    commits: GroupCommit[str], disk: Disk, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        await submitted(commits, nursery, "first", "a", "b", "c")
        await trio.sleep(1.5)
        disk.lost_after = 1
        await trio.sleep(10)
        disk.away, disk.lost_after = False, None
    assert disk.written == [["first"], ["a"], ["b", "c"]]


async def test_who_is_cancelled_while_waiting_is_not_written(
    commits: GroupCommit[str], disk: Disk, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        await submitted(commits, nursery, "first", "a")
        with trio.move_on_after(0.5) as scope:
            await commits.submit("b")
        assert scope.cancelled_caught
        await submitted(commits, nursery, "c")
    assert disk.written == [["first"], ["a", "c"]]


async def test_who_is_cancelled_while_being_written_is_written(
    commits: GroupCommit[str], disk: Disk, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        await submitted(commits, nursery, "first", "a")
        begin = trio.current_time()
        with trio.move_on_after(1.5) as scope:
            await commits.submit("b")
        assert scope.cancel_called
        assert not scope.cancelled_caught, "what is done is not cancelled"
        assert trio.current_time() - begin == 2
        assert disk.written == [["first"], ["a", "b"]]


async def test_who_is_cancelled_in_an_outage_is_never_written(
    commits: GroupCommit[str], disk: Disk, autojump_clock: MockClock
) -> None:
    disk.away = True
    async with trio.open_nursery() as nursery:
        await submitted(commits, nursery, "a")
        with trio.move_on_after(30) as scope:
            await commits.submit("b")
        assert scope.cancelled_caught
        disk.away = False
    assert disk.written == [["a"]]


async def test_after_the_end_nothing_is_taken(disk: Disk, autojump_clock: MockClock) -> None:
    commits = without_keys(disk)
    outcomes: dict[str, str] = {}

    async def submit(word: str) -> None:
        try:
            await commits.submit(word)
        except Unavailable as error:
            outcomes[word] = str(error)
        else:
            outcomes[word] = "written"

    async with trio.open_nursery() as submitters, trio.open_nursery() as writer:
        writer.start_soon(commits.run)
        for word in "first", "waiting":
            submitters.start_soon(submit, word)
            await wait_all_tasks_blocked()
        writer.cancel_scope.cancel()
    await submit("late")
    assert outcomes == {
        "first": "written",
        "waiting": "the journal is closed",
        "late": "the journal is closed",
    }


async def test_who_is_cancelled_with_the_journal_is_not_told_that_it_is_closed(disk: Disk) -> None:
    """One that is busy just then hears of it when it comes to submit, though the journal has heard before."""
    commits = without_keys(disk)

    async def submit(turns: int) -> None:
        for _ in range(turns):
            await trio.lowlevel.cancel_shielded_checkpoint()
        await commits.submit("too late")

    async with trio.open_nursery() as everything:
        everything.start_soon(commits.run)
        for turns in range(10):
            everything.start_soon(submit, turns)
        everything.cancel_scope.cancel()
    assert disk.written == []
