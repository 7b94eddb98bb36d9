"""What docs/guarantees.md says about messages, mailboxes and questions."""

import gc
from weakref import WeakSet

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fuota.actor import Crashed, Ref, Reply, Stopped, TooLate
from tests.probe import Ask, Boom, Crash, Do, Message, Note, Probe, busy, tree


async def test_messages_of_one_sender_come_in_their_order(autojump_clock: MockClock) -> None:
    log: list[object] = []

    async def send(ref: Ref[Message], sender: str) -> None:
        for number in range(100):
            await ref.tell(Note(f"{sender}{number}"))

    async with tree() as running:
        ref = running.spawn("a", lambda: Probe(log), room=3)
        async with trio.open_nursery() as nursery:
            for sender in "xyz":
                nursery.start_soon(send, ref, sender)
        await wait_all_tasks_blocked()
    for sender in "xyz":
        assert [line for line in log if str(line)[0] == sender] == [f"{sender}{n}" for n in range(100)]


async def test_one_message_at_a_time(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with tree() as running:
        ref = running.spawn("a", lambda: Probe(log))
        hold = await busy(ref)
        await ref.tell(Note("next"))
        await wait_all_tasks_blocked()
        assert log == ["started"]
        hold.release.set()
        await wait_all_tasks_blocked()
        assert log == ["started", "released", "next"]


async def test_tell_waits_for_room_first_come_first_served(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with tree() as running, trio.open_nursery() as nursery:
        ref = running.spawn("a", lambda: Probe(log), room=1)
        hold = await busy(ref)
        for number in range(4):
            nursery.start_soon(ref.tell, Note(number))
            await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 3
        hold.release.set()
        await wait_all_tasks_blocked()
        assert log[2:] == [0, 1, 2, 3]


async def test_a_cancelled_tell_was_not_sent(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with tree() as running:
        ref = running.spawn("a", lambda: Probe(log), room=1)
        hold = await busy(ref)
        await ref.tell(Note("waits"))
        with trio.move_on_after(1) as waiting:
            await ref.tell(Note("gave up"))
        assert waiting.cancelled_caught
        hold.release.set()
        await wait_all_tasks_blocked()
        assert log[2:] == ["waits"]


async def test_tell_raises_when_the_actor_stops_also_while_it_waits(autojump_clock: MockClock) -> None:
    refused: list[str] = []
    async with tree() as running, trio.open_nursery() as nursery:
        ref = running.spawn("a", Probe, room=1)
        hold = await busy(ref)
        await ref.tell(Do(lambda me: me.stop()))

        async def send(name: str) -> None:
            try:
                await ref.tell(Note(name))
            except Stopped:
                refused.append(name)

        for name in ("gets the room of the last", "waits", "waits too"):
            nursery.start_soon(send, name)
            await wait_all_tasks_blocked()
        hold.release.set()
        await wait_all_tasks_blocked()
        await send("comes later")
    assert sorted(refused) == ["comes later", "waits", "waits too"]


async def test_offer_never_waits_and_counts_what_is_dropped(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with tree() as running:
        ref = running.spawn("a", lambda: Probe(log), room=2)
        hold = await busy(ref)
        assert [ref.offer(Note(number)) for number in range(5)] == [True, True, False, False, False]
        assert (ref.dropped, ref.used, ref.peak) == (3, 2, 2)
        hold.release.set()
        await wait_all_tasks_blocked()
        assert log[2:] == [0, 1]
        ref.offer(Do(lambda me: me.stop()))
        await wait_all_tasks_blocked()
        assert not ref.offer(Note("late"))


async def test_a_full_mailbox_stops_nobody_else(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with tree() as running:
        stuck, other = (
            running.spawn("stuck", Probe, room=1),
            running.spawn("other", lambda: Probe(log), room=1),
        )
        hold = await busy(stuck)
        stuck.offer(Note(0))
        for number in range(3):
            assert not stuck.offer(Note(number))
            assert other.offer(Note(number))
            await wait_all_tasks_blocked()
        assert log == ["started", 0, 1, 2]
        hold.release.set()


async def test_ask_returns_the_first_answer_given(autojump_clock: MockClock) -> None:
    probe = Probe()
    async with tree() as running:
        ref = running.spawn("a", lambda: probe)
        assert await ref.ask(Ask, within=1) == id(probe)
        probe.owed[0].give(1)
        probe.owed[0].fail(Boom())
        assert await probe.owed[0].wait() == id(probe)
        assert repr(probe.owed[0]) == "<Reply settled>"


async def test_ask_may_be_answered_later_by_anyone(autojump_clock: MockClock) -> None:
    probe = Probe()
    async with tree() as running, trio.open_nursery() as nursery:
        ref = running.spawn("a", lambda: probe)

        async def answer() -> None:
            await trio.sleep(5)
            probe.owed[0].give(42)

        nursery.start_soon(answer)
        assert await ref.ask(lambda reply: Ask(reply, now=False), within=10) == 42


async def test_ask_raises_what_the_reply_is_failed_with(autojump_clock: MockClock) -> None:
    probe = Probe()
    async with tree() as running, trio.open_nursery() as nursery:
        ref = running.spawn("a", lambda: probe)

        async def refuse() -> None:
            await trio.sleep(5)
            probe.owed[0].fail(Boom())

        nursery.start_soon(refuse)
        with pytest.raises(Boom):
            await ref.ask(lambda reply: Ask(reply, now=False), within=10)


async def test_ask_is_too_late_after_its_time_in_the_queue_too(autojump_clock: MockClock) -> None:
    async with tree() as running:
        ref = running.spawn("a", Probe, room=1)
        with pytest.raises(TooLate, match="/a did not answer in time") as late:
            await ref.ask(lambda reply: Ask(reply, now=False), within=3)
        assert isinstance(late.value, trio.TooSlowError)
        hold = await busy(ref)
        await ref.tell(Note("fills the mailbox"))
        begun = trio.current_time()
        with pytest.raises(TooLate):
            await ref.ask(Ask, within=3)
        assert trio.current_time() - begun == 3
        hold.release.set()


async def test_a_question_that_was_given_up_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    replies = WeakSet[Reply[int]]()

    def question(reply: Reply[int]) -> Message:
        replies.add(reply)
        return Do(lambda me: reply)

    async with tree() as running:
        ref = running.spawn("a", Probe)
        with pytest.raises(TooLate):
            await ref.ask(question, within=1)
        hold = await busy(ref)
        with pytest.raises(TooLate):
            await ref.ask(question, within=1)
        hold.release.set()
        await wait_all_tasks_blocked()
        gc.collect()
        assert not replies


async def test_ask_learns_that_the_actor_crashed(autojump_clock: MockClock) -> None:
    async with tree() as running, trio.open_nursery() as nursery:
        ref = running.spawn("a", Probe)

        async def crash() -> None:
            await trio.sleep(1)
            await ref.tell(Crash())

        nursery.start_soon(crash)
        with pytest.raises(Crashed, match="/a crashed before it answered") as crashed:
            await ref.ask(lambda reply: Ask(reply, now=False), within=60)
        assert isinstance(crashed.value.__cause__, Boom)
        assert trio.current_time() < 10


async def test_ask_that_is_still_queued_survives_a_crash_but_not_the_end(autojump_clock: MockClock) -> None:
    made: list[Probe] = []

    def make() -> Probe:
        made.append(Probe())
        return made[-1]

    async with tree() as running:
        ref = running.spawn("a", make)
        await ref.tell(Crash())
        assert await ref.ask(Ask, within=60) == id(made[1])
        hold = await busy(ref)
        await ref.tell(Do(lambda me: me.stop()))

        async def ask() -> None:
            with pytest.raises(Stopped):
                await ref.ask(Ask, within=60)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            hold.release.set()
