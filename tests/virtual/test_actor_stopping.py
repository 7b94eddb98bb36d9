"""What docs/guarantees.md says about how actors end."""

import gc
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fuota.actor import Child, Me, Policy, Ref, Stopped
from tests.probe import Boom, Crash, Do, Hold, Message, Note, Probe, busy, status, tree


def parent_of(log: list[str], name: str, *children: str) -> Callable[[], Probe]:
    """An actor that has children and says when it ends."""

    async def at_start(me: Me[Message]) -> None:
        for child in children:
            me.spawn(child, parent_of(log, child))

    async def at_stop() -> None:
        log.append(name)

    return lambda: Probe(at_start=at_start, at_stop=at_stop)


async def forever() -> None:
    await trio.sleep_forever()


async def three_seconds() -> None:
    await trio.sleep(3)


async def release_in(seconds: float, hold: Hold) -> None:
    await trio.sleep(seconds)
    hold.release.set()


async def test_the_message_in_hand_is_finished_and_the_queue_is_refused(autojump_clock: MockClock) -> None:
    log: list[object] = []
    hold = Hold()
    async with tree() as running:
        ref = running.spawn("a", lambda: Probe(log))
        for message in (hold, Note("queued")):
            await ref.tell(message)
        await hold.taken.wait()
        begun = trio.current_time()
        trio.lowlevel.spawn_system_task(release_in, 3, hold)
    assert log == ["started", "released", "stopped"]
    assert trio.current_time() - begun == 3


async def test_children_end_before_their_parent_and_declared_ones_last_first(
    autojump_clock: MockClock,
) -> None:
    log: list[str] = []
    children = [
        Child("a", parent_of(log, "a", "a1", "a2")),
        Child("b", parent_of(log, "b")),
        Child("c", parent_of(log, "c", "c1")),
    ]
    async with tree(*children) as running:
        running.spawn("d", parent_of(log, "d"))
        await wait_all_tasks_blocked()
    assert log[:4] == ["d", "c1", "c", "b"]
    assert (set(log[4:6]), log[6]) == ({"a1", "a2"}, "a")


async def test_spawned_children_end_all_at_once(autojump_clock: MockClock) -> None:
    async def at_start(me: Me[Message]) -> None:
        for number in range(1000):
            me.spawn(str(number), lambda: Probe(at_stop=three_seconds))

    async with tree() as running:
        running.spawn("parent", lambda: Probe(at_start=at_start))
        await wait_all_tasks_blocked()
        begun = trio.current_time()
    assert trio.current_time() - begun == 3


async def test_an_actor_that_does_not_stop_is_cancelled_after_four_seconds(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with tree() as running:
        ref = running.spawn("stuck", lambda: Probe(log))
        await busy(ref)
        begun = trio.current_time()
    assert trio.current_time() - begun == 4
    assert log == ["started", "stopped"]


async def test_stopped_is_shielded_and_has_five_seconds(autojump_clock: MockClock) -> None:
    times: list[float] = []

    async def at_stop() -> None:
        begun = trio.current_time()
        try:
            await trio.sleep_forever()
        finally:
            times.append(trio.current_time() - begun)

    async with tree() as running:
        ref = running.spawn("a", lambda: Probe(at_stop=at_stop), policy=Policy.TEMPORARY)
        await ref.tell(Crash())
        await trio.sleep(60)
        assert times == [5]
        running.spawn("b", lambda: Probe(at_stop=at_stop))
        await wait_all_tasks_blocked()
    assert times == [5, 5]


async def test_a_whole_tree_ends_in_nine_seconds_whatever_its_actors_do(autojump_clock: MockClock) -> None:
    async def stuck(me: Me[Message]) -> None:
        depth = me.ref.path.count("/")
        if depth < 5:
            me.spawn("child", lambda: Probe(at_start=stuck, at_stop=forever))
        await me.ref.tell(Hold())

    async with tree() as running:
        for number in range(3):
            running.spawn(str(number), lambda: Probe(at_start=stuck, at_stop=forever))
        await wait_all_tasks_blocked()
        begun = trio.current_time()
    assert trio.current_time() - begun == 9


async def test_a_parent_that_ends_itself_ends_its_children_too(autojump_clock: MockClock) -> None:
    log: list[str] = []
    async with tree() as running:
        ref = running.spawn("parent", parent_of(log, "parent", "child"))
        await wait_all_tasks_blocked()
        await ref.tell(Do(lambda me: me.stop()))
        await wait_all_tasks_blocked()
        assert log == ["child", "parent"]
        assert running.find("/parent") is None


@pytest.mark.parametrize("told", [True, False])
async def test_who_ends_itself_may_see_what_its_children_leave(told: bool, autojump_clock: MockClock) -> None:
    """But for the message in hand, which is finished; and nothing of it when it is stopped by others."""
    log: list[object] = []
    left: list[object] = []
    hold = Hold()

    async def at_start(me: Me[Message]) -> None:
        me.spawn("child", lambda: Probe(log))

    async with tree() as running:
        ref = running.spawn("parent", lambda: Probe(at_start=at_start))
        await wait_all_tasks_blocked()
        child = running.find("/parent/child")
        assert child is not None
        for message in (hold, Note("one"), Note("two")):
            assert child.offer(message)
        await hold.taken.wait()
        if told:
            await ref.tell(Do(lambda me: me.stop(left.append)))
            await wait_all_tasks_blocked()
            assert left == [Note("one"), Note("two")]
        trio.lowlevel.spawn_system_task(release_in, 1, hold)
    assert log == ["started", "released", "stopped"]
    assert len(left) == 2 * told


async def test_a_child_is_stopped_by_its_name_which_is_free_then(autojump_clock: MockClock) -> None:
    log: list[str] = []
    seen: list[bool] = []
    look = Do(lambda me: seen.append(me.child("child") is not None))
    again = Do(lambda me: me.spawn("child", parent_of(log, "again")))
    async with tree() as running:
        ref = running.spawn("parent", parent_of(log, "parent", "child", "other"))
        for message in (look, Do(lambda me: me.stop_child("child")), Do(lambda me: me.stop_child("nobody"))):
            await ref.tell(message)
        await wait_all_tasks_blocked()
        assert log == ["child"]
        for message in (look, again, look):
            await ref.tell(message)
        await wait_all_tasks_blocked()
        assert seen == [True, False, True]


@pytest.mark.parametrize("name", ["taken", "", "a/b"])
async def test_a_child_needs_a_name_of_its_own(name: str, autojump_clock: MockClock) -> None:
    async with tree() as running:
        running.spawn("taken", Probe)
        with pytest.raises(ValueError, match=f"another child can not have the name '{name}'"):
            running.spawn(name, Probe)


async def test_an_actor_that_waits_for_its_restart_stops_at_once(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with tree() as running:
        ref = running.spawn("a", lambda: Probe(log))
        await ref.tell(Crash())
        await wait_all_tasks_blocked()
        assert status(running, "/a") == "backing-off"
        begun = trio.current_time()
    assert trio.current_time() == begun
    assert ref.stopped
    assert log == ["started", "stopped"]


async def test_a_block_that_raises_cancels_the_actors_which_still_clean_up(autojump_clock: MockClock) -> None:
    log: list[object] = []
    begun = trio.current_time()
    with pytest.RaisesGroup(Boom):
        async with tree() as running:
            await busy(running.spawn("stuck", lambda: Probe(log, at_stop=three_seconds)))
            raise Boom
    assert trio.current_time() - begun == 3
    assert log == ["started", "stopped"]


async def test_an_actor_that_is_cancelled_with_the_tree_has_stopped_while_others_clean_up(
    autojump_clock: MockClock,
) -> None:
    async def cancelled() -> None:
        with scope:
            async with tree() as running:
                running.spawn("slow", lambda: Probe(at_stop=three_seconds))
                refs.append(await running.start(Child("permanent", Probe, Policy.PERMANENT)))
                scope.cancel()

    refs: list[Ref[Message]] = []
    scope, begun = trio.CancelScope(), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancelled)
        await trio.sleep(1)
        with pytest.raises(Stopped):
            await refs[0].tell(Note("too late"))
    assert trio.current_time() - begun == 3


async def test_a_parent_does_not_gather_what_has_cancelled_its_children(autojump_clock: MockClock) -> None:
    gathered: list[int] = []

    async def at_start(me: Me[Message]) -> None:
        for number in range(100):
            me.spawn(str(number), Probe)

    async def at_stop() -> None:
        gc.collect()
        gathered.append(sum(type(each) is trio.Cancelled for each in gc.get_objects()))

    with trio.CancelScope() as scope:
        async with tree() as running:
            running.spawn("parent", lambda: Probe(at_start=at_start, at_stop=at_stop))
            await wait_all_tasks_blocked()
            scope.cancel()
            await trio.sleep_forever()
    assert gathered[0] < 10
