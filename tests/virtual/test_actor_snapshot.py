"""What docs/guarantees.md says about seeing the tree."""

import json

import cattrs
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from fuota.actor import Actor, ActorSnapshot, Me, Policy, Tree
from tests.probe import Crash, Do, Message, Note, Probe, busy, status, tree


def look(running: Tree, path: str, depth: int = 10, limit: int = 1000) -> ActorSnapshot:
    snapshot = running.snapshot(path, depth=depth, limit=limit)
    assert snapshot is not None
    return snapshot


async def test_an_actor_that_is_stuck_can_be_seen(autojump_clock: MockClock) -> None:
    async with tree() as running:
        ref = running.spawn("a", Probe, room=4)
        hold = await busy(ref)
        for _ in range(6):
            ref.offer(Note("more"))
        await trio.sleep(42)
        seen = look(running, "/a")
        assert (seen.path, seen.actor, seen.status) == ("/a", "Probe", "busy")
        assert (seen.handling, seen.handling_for) == ("Hold", 42)
        assert (seen.used, seen.room, seen.peak, seen.dropped) == (4, 4, 4, 2)
        assert (seen.handled, seen.incarnations, seen.age) == (0, 1, 42)
        assert seen.description == {"lines": 1}
        hold.release.set()
        await wait_all_tasks_blocked()
        seen = look(running, "/a")
        assert (seen.status, seen.handling, seen.handling_for) == ("idle", None, None)
        assert (seen.used, seen.peak, seen.handled) == (0, 4, 5)


async def test_every_status_can_be_seen(autojump_clock: MockClock) -> None:
    async def two_seconds(*_: object) -> None:
        await trio.sleep(2)

    seen: list[str] = []
    async with tree() as running:
        ref = running.spawn("a", lambda: Probe(at_start=two_seconds))

        async def see(message: Message | None = None, wait: float = 0) -> None:
            if message is not None:
                await ref.tell(message)
            await trio.sleep(wait)
            await wait_all_tasks_blocked()
            seen.append(status(running, "/a"))

        await see()
        await see(wait=3)
        await see(Crash())
        await see(wait=1)
        await see(wait=3)
        hold = await busy(ref)
        await see(Do(lambda me: me.spawn("b", lambda: Probe(at_stop=two_seconds))))
        hold.release.set()
        await see(Do(lambda me: me.stop()))
        await see(wait=3)
    assert seen == ["starting", "idle", "backing-off", "starting", "idle", "busy", "stopping", "stopped"]


async def test_the_last_error_and_the_budget_can_be_seen(autojump_clock: MockClock) -> None:
    async with tree() as running:
        ref = running.spawn("a", Probe)
        await ref.tell(Crash())
        await trio.sleep(1)
        assert look(running, "/a").last_error == "Boom: "
        assert (look(running, "/").crashes, look(running, "/").budget) == (1, 5)
        await trio.sleep(60)
        assert look(running, "/").crashes == 0


async def test_an_actor_that_has_ended_can_be_seen_for_a_minute(autojump_clock: MockClock) -> None:
    async with tree() as running:
        for name, message in (("a", Do(lambda me: me.stop())), ("b", Crash())):
            await running.spawn(name, Probe, policy=Policy.TEMPORARY).tell(message)
        await trio.sleep(59)
        assert (status(running, "/a"), status(running, "/b")) == ("stopped", "failed")
        assert look(running, "/").children[0].description == {"lines": 2}
        await trio.sleep(2)
        assert look(running, "/").children == ()


async def test_those_that_have_ended_are_bounded_in_number(autojump_clock: MockClock) -> None:
    async with tree() as running:
        for number in range(1000):
            await running.spawn(str(number), Probe).tell(Do(lambda me: me.stop()))
        await wait_all_tasks_blocked()
        assert len(look(running, "/").children) == 64


async def test_depth_and_number_of_children_are_limited(autojump_clock: MockClock) -> None:
    async def many(me: Me[Message]) -> None:
        for number in range(100):
            me.spawn(f"{number:02}", Probe)

    async with tree() as running:
        running.spawn("a", lambda: Probe(at_start=many))
        await wait_all_tasks_blocked()
        seen = look(running, "/a", limit=3)
        assert [child.path for child in seen.children] == ["/a/00", "/a/01", "/a/02"]
        assert seen.hidden == 97
        assert look(running, "/", depth=1).children[0].children == ()
        assert look(running, "/", depth=1).children[0].hidden == 100
        assert running.snapshot("/a/100") is None


async def test_a_description_that_raises_spoils_nothing(autojump_clock: MockClock) -> None:
    class Shy(Actor[None]):
        def describe(self) -> object:
            raise LookupError("not now")

    async with tree() as running:
        running.spawn("shy", Shy)
        await wait_all_tasks_blocked()
        assert look(running, "/shy").description == "LookupError: not now"
        assert look(running, "/shy").status == "idle"


async def test_a_snapshot_can_be_written_as_json(autojump_clock: MockClock) -> None:
    async with tree() as running:
        running.spawn("a", Probe)
        await wait_all_tasks_blocked()
        written = json.loads(json.dumps(cattrs.unstructure(look(running, "/"))))
        assert written["children"][0]["description"] == {"lines": 1}
