"""What docs/guarantees.md says about supervisors: budgets, strategies, families."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fuota.actor import (
    Child,
    Crashed,
    Me,
    Policy,
    Registry,
    Strategy,
    TooManyCrashes,
    one_for_all,
    rest_for_one,
)
from tests.probe import Ask, Boom, Crash, Do, Message, Note, Probe, status, tree


async def boom(*_: object) -> None:
    raise Boom


async def test_the_pause_before_a_restart_doubles(autojump_clock: MockClock) -> None:
    starts: list[float] = []

    async def at_start(me: Me[Message]) -> None:
        starts.append(trio.current_time())
        await me.ref.tell(Crash())

    with pytest.RaisesGroup(pytest.RaisesGroup(TooManyCrashes)):
        async with tree() as running:
            running.spawn("a", lambda: Probe(at_start=at_start))
            await trio.sleep_forever()
    pauses = [round(later - earlier, 6) for earlier, later in pairwise(starts)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6]


async def test_the_sixth_crash_within_a_minute_is_a_crash_of_the_supervisor(
    autojump_clock: MockClock,
) -> None:
    log: list[object] = []

    async def at_start(me: Me[Message]) -> None:
        me.spawn("child", Probe)

    async with tree() as running:
        running.spawn("parent", lambda: Probe(log, at_start))
        await wait_all_tasks_blocked()
        child = running.find("/parent/child")
        assert child is not None
        for crash in range(1, 6):
            await child.tell(Crash())
            await trio.sleep(5)
            parent = running.snapshot("/parent")
            assert parent is not None
            assert (parent.crashes, parent.budget, parent.incarnations) == (crash, 5, 1)
        await child.tell(Crash())
        await trio.sleep(5)
        assert log == ["started", "stopped", "started"]
        assert child.stopped
        parent = running.snapshot("/parent")
        assert parent is not None
        assert (
            parent.last_error
            == "TooManyCrashes: /parent/child crashed when its supervisor had no restarts left to give"
        )
        assert (parent.crashes, parent.incarnations, status(running, "/parent/child")) == (0, 2, "idle")


async def test_crashes_that_are_rarer_are_mended_for_ever(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with tree() as running:
        ref = running.spawn("a", lambda: Probe(log))
        for _ in range(50):
            await ref.tell(Crash())
            await trio.sleep(12.1)
        assert log.count("started") == 51


async def test_when_the_root_gives_up_its_crash_leaves_the_tree(autojump_clock: MockClock) -> None:
    log: list[object] = []
    with pytest.RaisesGroup(pytest.RaisesGroup(TooManyCrashes)) as raised:
        async with tree(Child("good", lambda: Probe(log))) as running:
            running.spawn("bad", lambda: Probe(at_start=boom))
            await trio.sleep_forever()
    cause = raised.value.exceptions[0].exceptions[0].__cause__
    assert isinstance(cause, Boom)
    assert log == ["started", "stopped"]


@pytest.mark.parametrize(
    ("strategy", "begun_anew"), [(one_for_all, ["a", "b", "c"]), (rest_for_one, ["b", "c"])]
)
async def test_a_strategy_stops_last_first_and_starts_in_order(
    strategy: Strategy, begun_anew: list[str], autojump_clock: MockClock
) -> None:
    log: list[str] = []

    def child(name: str) -> Child[Message]:
        async def at_start(me: Me[Message]) -> None:
            await trio.sleep(1)
            log.append(f"{name} up")

        async def at_stop() -> None:
            await trio.sleep(1)
            log.append(f"{name} down")

        return Child(name, lambda: Probe(at_start=at_start, at_stop=at_stop))

    async with tree(*map(child, "abc"), strategy=strategy) as running:
        assert log == ["a up", "b up", "c up"]
        b = running.find("/b")
        assert b is not None
        log.clear()
        await b.tell(Crash())
        await trio.sleep(20)
        others = [name for name in reversed(begun_anew) if name != "b"]
        assert log == ["b down", *(f"{name} down" for name in others), *(f"{name} up" for name in begun_anew)]
        log.clear()
    assert log == ["c down", "b down", "a down"]


async def test_a_temporary_child_that_is_stopped_with_others_does_not_begin_anew(
    autojump_clock: MockClock,
) -> None:
    logs: dict[str, list[object]] = {"a": [], "b": [], "c": []}
    children = (
        Child("a", lambda: Probe(logs["a"])),
        Child("b", lambda: Probe(logs["b"]), Policy.TEMPORARY),
        Child("c", lambda: Probe(logs["c"])),
    )
    async with tree(*children, strategy=one_for_all) as running:
        c = running.find("/c")
        assert c is not None
        await c.tell(Crash())
        await trio.sleep(1)
        anew: list[object] = ["started", "stopped", "started"]
        assert logs == {"a": anew, "b": ["started", "stopped"], "c": anew}
        assert running.find("/b") is None


async def test_ask_learns_that_the_actor_began_anew_with_a_sibling(autojump_clock: MockClock) -> None:
    async with tree(Child("a", Probe), Child("b", Probe), strategy=one_for_all) as running:
        a, b = running.find("/a"), running.find("/b")
        assert a is not None
        assert b is not None

        async def crash() -> None:
            await trio.sleep(1)
            await a.tell(Crash())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(crash)
            with pytest.raises(Crashed):
                await b.ask(lambda reply: Ask(reply, now=False), within=60)
        assert not b.stopped


async def test_siblings_do_not_notice_a_crash_with_one_for_one(autojump_clock: MockClock) -> None:
    log: list[object] = []
    async with tree(Child("a", Probe), Child("b", lambda: Probe(log))) as running:
        a, b = running.find("/a"), running.find("/b")
        assert a is not None
        assert b is not None
        await a.tell(Crash())
        await b.tell(Note("meanwhile"))
        await trio.sleep(1)
        assert log == ["started", "meanwhile"]


async def test_restarts_of_one_supervisor_come_one_after_the_other(autojump_clock: MockClock) -> None:
    starts: list[float] = []

    async def at_start(me: Me[Message]) -> None:
        starts.append(trio.current_time())

    async with tree() as running:
        refs = [running.spawn(name, lambda: Probe(at_start=at_start)) for name in "abc"]
        await wait_all_tasks_blocked()
        for ref in refs:
            ref.offer(Crash())
        begun = trio.current_time()
        await trio.sleep(5)
        assert [round(at - begun, 6) for at in starts[3:]] == [0.1, 0.3, 0.7]


async def test_the_children_end_with_a_crash_of_their_parent_who_starts_them_anew(
    autojump_clock: MockClock,
) -> None:
    log: list[object] = []

    async def at_start(me: Me[Message]) -> None:
        me.spawn("child", lambda: Probe(log))

    async with tree() as running:
        parent = running.spawn("parent", lambda: Probe(at_start=at_start))
        await wait_all_tasks_blocked()
        old = running.find("/parent/child")
        assert old is not None
        await parent.tell(Crash())
        await trio.sleep(1)
        assert log == ["started", "stopped", "started"]
        new = running.find("/parent/child")
        assert new is not None
        assert new is not old
        assert (old.stopped, new.stopped) == (True, False)


async def test_the_registry_keeps_an_actor_that_restarts_and_forgets_one_that_stops(
    autojump_clock: MockClock,
) -> None:
    registry = Registry[str, Message]()

    def member(key: str) -> Callable[[], Probe]:
        async def at_start(me: Me[Any]) -> None:
            registry.register(key, me.ref)

        return lambda: Probe(at_start=at_start)

    async with tree() as running:
        one, two = running.spawn("one", member("key")), running.spawn("two", member("key"))
        await wait_all_tasks_blocked()
        assert set(registry["key"]) == {one, two}
        await one.tell(Crash())
        await wait_all_tasks_blocked()
        assert set(registry["key"]) == {one, two}
        await trio.sleep(1)
        assert set(registry["key"]) == {one, two}
        await one.tell(Do(lambda me: me.stop()))
        await wait_all_tasks_blocked()
        assert registry["key"] == (two,)
        withdraw = registry.register("other", two)
        withdraw()
        assert not registry["other"]
    assert not registry["key"]


async def test_the_registry_knows_of_a_child_whose_parent_begins_anew(autojump_clock: MockClock) -> None:
    registry = Registry[str, Message]()

    def child() -> Probe:
        async def at_start(me: Me[Any]) -> None:
            registry.register("key", me.ref)

        return Probe(at_start=at_start)

    def parent() -> Probe:
        async def at_start(me: Me[Any]) -> None:
            registry.expect("parent", ["key"])
            me.spawn("child", child)

        return Probe(at_start=at_start)

    async with tree() as running:
        assert not registry.lacks("key")
        ref = running.spawn("parent", parent)
        await wait_all_tasks_blocked()
        assert not registry.lacks("key")
        await ref.tell(Crash())
        await wait_all_tasks_blocked()
        assert not registry["key"]
        assert registry.lacks("key")
        await trio.sleep(1)
        assert registry["key"]
        assert not registry.lacks("key")
        registry.dismiss("parent")
    assert not registry.lacks("key")
    registry.expect("one", ["key", "other"])
    registry.expect("two", ["key"])
    registry.expect("one", ["other"])
    assert registry.lacks("key")
    registry.dismiss("two")
    assert (registry.lacks("key"), registry.lacks("other")) == (False, True)
    registry.excuse("one", "other")
    registry.excuse("one", "other")
    assert not registry.lacks("other")
    assert registry.parents() == ["one"]
