"""What docs/guarantees.md says about crashes and restarts."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fuota.actor import Me, Policy, Stopped, Superseded
from tests.probe import Ask, Boom, Crash, Do, Message, Note, Probe, busy, status, tree


async def boom(*_: object) -> None:
    raise Boom


def crash_in_a_task(me: Me[Message]) -> None:
    me.nursery.start_soon(boom)


async def test_a_restarted_actor_is_a_new_object_behind_the_same_ref(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with tree() as running:
        ref = running.spawn("a", lambda: Probe(log))
        first = await ref.ask(Ask, within=1)
        await ref.tell(Crash())
        assert await ref.ask(Ask, within=1) != first
        assert running.find("/a") is ref
        assert log == ["started", "stopped", "started"]


async def test_the_message_that_crashes_is_dropped_and_those_behind_it_are_kept(
    autojump_clock: MockClock,
) -> None:
    log: list[object] = []
    async with tree() as running:
        ref = running.spawn("a", lambda: Probe(log))
        hold = await busy(ref)
        for message in (Note(1), Crash(), Note(2), Note(3)):
            await ref.tell(message)
        hold.release.set()
        await wait_all_tasks_blocked()
        assert status(running, "/a") == "backing-off"
        await ref.tell(Note("sent meanwhile"))
        await trio.sleep(1)
        assert log == ["started", "released", 1, "stopped", "started", 2, 3, "sent meanwhile"]


async def test_a_crash_in_started_is_mended_like_any_other(autojump_clock: MockClock) -> None:
    log: list[object] = []

    async def twice(me: Me[Message]) -> None:
        if log.count("started") < 3:
            raise Boom

    async with tree() as running:
        ref = running.spawn("a", lambda: Probe(log, twice))
        await ref.tell(Note("kept"))
        await trio.sleep(1)
        assert log == ["started", "started", "started", "kept"]


async def test_a_crash_of_the_factory_is_mended_like_any_other(autojump_clock: MockClock) -> None:
    log: list[object] = []

    def make() -> Probe:
        log.append("made")
        if len(log) < 3:
            raise Boom
        return Probe(log)

    async with tree() as running:
        running.spawn("a", make)
        await trio.sleep(1)
        assert log == ["made", "made", "made", "started"]


async def test_a_task_of_the_actor_that_raises_crashes_it_and_no_task_outlives_it(
    autojump_clock: MockClock,
) -> None:
    log: list[object] = []

    async def task() -> None:
        try:
            await trio.sleep_forever()
        finally:
            log.append("task over")

    async def at_start(me: Me[Message]) -> None:
        me.nursery.start_soon(task)

    async with tree() as running:
        ref = running.spawn("a", lambda: Probe(log, at_start))
        await ref.tell(Do(crash_in_a_task))
        await trio.sleep(1)
        assert log == ["started", "task over", "stopped", "started"]


async def test_stopped_is_called_once_after_a_started_that_returned(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with tree() as running:
        running.spawn("a", lambda: Probe(log, boom), policy=Policy.TEMPORARY)
        await wait_all_tasks_blocked()
        assert log == ["started"]
        running.spawn("b", lambda: Probe(log), policy=Policy.TEMPORARY).offer(Crash())
        await wait_all_tasks_blocked()
        assert log == ["started", "started", "stopped"]


async def test_a_crash_in_stopped_is_reported_and_starts_nothing_anew(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with tree() as running:
        ref = running.spawn("a", lambda: Probe(log, at_stop=boom))
        await ref.tell(Do(lambda me: me.stop()))
        await trio.sleep(10)
        assert log == ["started"]
        assert status(running, "/a") == "failed"


@pytest.mark.parametrize(
    ("policy", "message", "begins_anew"),
    [
        (Policy.PERMANENT, Crash(), True),
        (Policy.TRANSIENT, Crash(), True),
        (Policy.TEMPORARY, Crash(), False),
        (Policy.PERMANENT, Do(lambda me: me.stop()), True),
        (Policy.TRANSIENT, Do(lambda me: me.stop()), False),
        (Policy.TEMPORARY, Do(lambda me: me.stop()), False),
    ],
)
async def test_the_policy_decides_what_begins_anew(
    policy: Policy, message: Message, begins_anew: bool, autojump_clock: MockClock
) -> None:
    log: list[object] = []
    async with tree() as running:
        ref = running.spawn("a", lambda: Probe(log), policy=policy)
        await ref.tell(message)
        await trio.sleep(1)
        assert log == ["started", "stopped", "started"][: 3 if begins_anew else 2]
        assert ref.stopped is not begins_anew
        assert ref.offer(Note("again")) is begins_anew


def superseded(_: object) -> None:
    raise Superseded


@pytest.mark.parametrize("policy", Policy)
async def test_an_actor_that_another_process_plays_ends_and_that_is_no_crash(
    policy: Policy, autojump_clock: MockClock
) -> None:
    log: list[object] = []
    async with tree() as running:
        ref = running.spawn("a", lambda: Probe(log), policy=policy)
        hold = await busy(ref)
        await ref.tell(Do(superseded))
        await ref.tell(Note("never read"))
        hold.release.set()
        await trio.sleep(10)
        assert log == ["started", "released", "stopped", "superseded"]
        assert status(running, "/a") == "stopped"
        with pytest.raises(Stopped):
            await ref.tell(Note("too late"))
        root = running.snapshot()
        assert root is not None
        assert root.crashes == 0
