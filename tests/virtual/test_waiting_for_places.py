"""Many who come at once are let in one after the other, and none of them goes for the next."""

from functools import partial

import pytest
import trio

from fuota.places import CONNECTIONS, PROMPT, YOUTH, Places, Standing

ROOM = 2
YOUNG = YOUTH * 0.1
"""Seconds."""


class Door:
    """Lets in who comes, in that order, and sees who was hung up on."""

    def __init__(self, room: int) -> None:
        self.crowded: list[float] = []
        self.places = Places("test", room, lambda: self.crowded.append(trio.current_time()))
        self.gone: list[str] = []

    async def come(self, name: str, host: str = "10.0.0.1", standing: Standing = Standing.STRANGER) -> None:
        self.place = await self.places.wait_and_take(host, lambda: self.gone.append(name))
        self.places.move(self.place, standing)


async def test_a_stranger_is_given_time_to_ask(autojump_clock: object) -> None:
    door, began = Door(ROOM), trio.current_time()
    for name in ("a", "b", "c", "d", "e"):
        await door.come(name)
    assert door.gone == ["a", "b", "c"]
    assert trio.current_time() - began == pytest.approx(2 * YOUNG)


async def test_an_old_stranger_goes_at_once(autojump_clock: object) -> None:
    door = Door(ROOM)
    await door.come("a")
    await trio.sleep(YOUNG)
    await door.come("b")
    began = trio.current_time()
    await door.come("c")
    assert (door.gone, trio.current_time()) == (["a"], began)


async def test_one_that_is_known_does_not_wait_for_a_stranger_there_is_not(autojump_clock: object) -> None:
    door, began = Door(ROOM), trio.current_time()
    await door.come("served", standing=Standing.SERVED)
    await door.come("known", standing=Standing.KNOWN)
    await door.come("stranger")
    assert (door.gone, trio.current_time()) == (["known"], began)


async def test_strangers_of_a_crowd_do_not_keep_others_waiting(autojump_clock: object) -> None:
    door, began = Door(ROOM), trio.current_time()
    for name in ("a", "b"):
        await door.come(name)
    await door.come("other", "10.0.0.2")
    assert (door.gone, trio.current_time()) == (["a"], began)


@pytest.mark.parametrize("freed", [lambda door: door.places.leave(door.place), lambda door: known(door)])
async def test_who_finds_everybody_served_waits_for_the_first_who_is_not(
    autojump_clock: object, nursery: trio.Nursery, freed: object
) -> None:
    assert callable(freed)
    door = Door(ROOM)
    await door.come("a", standing=Standing.SERVED)
    await door.come("b", standing=Standing.SERVED)
    nursery.start_soon(door.come, "c")
    await trio.sleep(10 * YOUNG)
    assert len(door.places._taken) == ROOM
    freed(door)
    await trio.testing.wait_all_tasks_blocked()
    assert len(door.places._taken) == ROOM
    assert door.place.standing is Standing.STRANGER


def known(door: Door) -> None:
    door.places.move(door.place, Standing.KNOWN)


async def test_a_crowd_is_through_as_soon_with_fewer_places(autojump_clock: object) -> None:
    for places in (50, 200, CONNECTIONS):
        door, began = Door(places), trio.current_time()
        for name in range(3 * CONNECTIONS):
            await door.come(str(name))
        assert len(door.gone) == 3 * CONNECTIONS - places
        assert trio.current_time() - began <= 3 * YOUTH


async def test_it_is_said_that_those_who_wait_have_waited_for_long(
    autojump_clock: object, nursery: trio.Nursery
) -> None:
    """None of them at the door, where each is soon let in, but in the kernel's queue behind."""
    door = Door(ROOM)
    await door.come("a", standing=Standing.SERVED)
    await door.come("b", standing=Standing.SERVED)
    began = trio.current_time()
    for _ in range(9):
        nursery.start_soon(partial(door.come, "next", standing=Standing.SERVED))
        await trio.sleep(PROMPT / 4)
        door.places.leave(door.place)
        await trio.testing.wait_all_tasks_blocked()
    assert [when - began for when in door.crowded] == pytest.approx(
        [PROMPT * 5 / 4, *(PROMPT * n / 4 for n in (6, 7, 8, 9))]
    )
    door.places.leave(door.place)
    door.crowded.clear()
    await trio.sleep(2 * PROMPT)
    await door.come("who finds a place")
    assert door.crowded == []
