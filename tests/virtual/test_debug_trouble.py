"""An actor that is stuck or has crashed is seen by its operators, and no key is."""

import pytest
import trio

from fuota.actor import Policy
from tests.virtual.debugged import ONE, Device, opened


async def test_a_stuck_actor_is_seen(autojump_clock: object) -> None:
    async with opened(2) as debug:
        assert [debug.offer(f"{ONE}/device-1", "stick")]
        await trio.sleep(20)
        assert [debug.offer(f"{ONE}/device-1", "more") for _ in range(3)] == [True, True, False]
        device = await debug.json(f"/debug/actors?path={ONE}/device-1")
        assert (device["status"], device["handling"], device["dropped"]) == ("busy", "str", 1)
        assert device["handling_for"] == pytest.approx(20)
        page = await debug.page(f"/?open=/&open=/deployments&open={ONE}")
        stuck = page.rows[f"{ONE}/device-1"]
        assert "busy waiting for group (attempt 2, deadline 01 Mar 12:30:00) str 20 s 2/2" in stuck
        assert "peak 2 1 dropped" in stuck
        assert "warn" in page.classes[f"{ONE}/device-1"]
        assert list(page.rows)[3] == f"{ONE}/device-1"  # before device-0, which is well


async def test_a_crash_is_seen_and_what_it_says_is_only_text(autojump_clock: object) -> None:
    async with opened(1) as debug:
        debug.offer(f"{ONE}/device-0", "crash")
        await trio.sleep(1)
        device = await debug.json(f"/debug/actors?path={ONE}/device-0")
        assert device["last_error"] == "ArithmeticError: <b>7 is no & number</b>"
        html = await debug.get(f"/?open=/&open=/deployments&open={ONE}")
        assert "&lt;b&gt;7 is no &amp; number" in html
        assert "<b>" not in html
        assert "1/5" in (await debug.page()).rows[ONE]


async def test_trouble_shows_through_what_is_closed(autojump_clock: object) -> None:
    async with opened(3) as debug:
        for n in range(2):
            debug.offer(f"{ONE}/device-{n}", "stick")
        await trio.sleep(10)
        assert "2 in trouble" in (await debug.page()).rows[ONE]


async def test_keys_are_not_shown(autojump_clock: object) -> None:
    async with opened(1) as debug:
        everything = await debug.get(f"/?open=/&open=/deployments&open={ONE}&open={ONE}/device-0")
        everything += await debug.get("/debug/actors")
        assert "WaitingForGroup" in everything
        assert "secret" not in everything
        assert b"a very secret key".hex() not in everything


async def test_ended_actors_beside_a_living_one_of_their_name(autojump_clock: object) -> None:
    async with opened() as debug:
        for _ in range(2):
            debug.tree.spawn("late", Device, policy=Policy.TEMPORARY).offer("crash")
            await trio.sleep(1)
        debug.tree.spawn("late", Device)
        await trio.sleep(1)
        page = await debug.page()
        assert "idle" in page.rows["/late"]
        ended = [row for key, row in page.rows.items() if key.startswith("/ ")]
        assert len(ended) == 2
        assert all("late Device failed" in row and "ArithmeticError" in row for row in ended)
