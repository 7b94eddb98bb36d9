"""Every actor is in the tree as JSON, in an answer whose size is bounded."""

import json

import pytest

from fuota.debug.page import SHOWN
from fuota.debug.survey import MOST
from tests.virtual.debugged import ONE, opened


async def test_the_tree_as_json(autojump_clock: object) -> None:
    async with opened(2) as debug:
        root = await debug.json("/debug/actors")
        assert (root["path"], root["status"], root["hidden"]) == ("/", "idle", 0)
        (deployment,) = root["children"][0]["children"]
        assert [child["path"] for child in deployment["children"]] == [f"{ONE}/device-0", f"{ONE}/device-1"]
        device = deployment["children"][0]
        assert (device["actor"], device["room"], device["used"]) == ("Device", 2, 0)
        assert device["description"] == {
            "state": {"is": "WaitingForGroup", "attempt": 2, "deadline": "2026-03-01T12:30:00+00:00"},
            "trouble": "",
        }


async def test_a_part_of_the_tree(autojump_clock: object) -> None:
    async with opened(3, 3) as debug:
        part = await debug.json(f"/debug/actors?path={ONE}&depth=1&limit=2")
        assert part["path"] == ONE
        assert [child["path"] for child in part["children"]] == [f"{ONE}/device-0", f"{ONE}/device-1"]
        assert part["hidden"] == 1
        alone = await debug.json("/debug/actors?path=/deployments&depth=0")
        assert (alone["children"], alone["hidden"]) == ([], 2)


async def test_no_such_actor(autojump_clock: object) -> None:
    async with opened() as debug:
        assert await debug.json("/debug/actors?path=/nobody", 404) == {"error": "no living actor at /nobody"}


@pytest.mark.parametrize("query", ["depth=x&limit=y", "depth=-1", "limit=-5", "depth=99&limit=999999999"])
async def test_odd_wishes(autojump_clock: object, query: str) -> None:
    async with opened(2) as debug:
        assert (await debug.json(f"/debug/actors?{query}"))["path"] == "/"


async def test_a_large_fleet_is_cut_off_and_what_is_left_out_is_counted(autojump_clock: object) -> None:
    async with opened(3 * MOST) as debug:
        answer = await debug.get("/debug/actors?depth=8&limit=1000")
        assert len(answer) < 1_000_000
        (deployment,) = json.loads(answer)["children"][0]["children"]
        assert len(deployment["children"]) == 1000
        assert deployment["hidden"] == 3 * MOST - 1000
        page = await debug.page(f"/?open=/&open=/deployments&open={ONE}")
        assert len(page.rows) == 3 + SHOWN + 1
        assert page.rows[f"{ONE} …"] == "and 5950 more: 950 idle, 5000 not read"


async def test_many_deployments_are_cut_off_at_the_deepest_level(autojump_clock: object) -> None:
    async with opened(*[100] * 100) as debug:
        deployments = (await debug.json("/debug/actors?limit=1000"))["children"][0]
        assert len(deployments["children"]) == 100
        shown = sum(len(each["children"]) for each in deployments["children"])
        hidden = sum(each["hidden"] for each in deployments["children"])
        assert shown + hidden == 100 * 100
        assert shown < MOST
