"""Operators see every actor, stuck or crashed, in an answer whose size is bounded."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from html.parser import HTMLParser
from typing import Any

import attrs
import pytest
import trio
from quart.typing import TestClientProtocol as Client

from fuota.actor import Actor, Child, Me, Policy, Registry, Supervisor, Tree, open_tree
from fuota.debug.app import debug_app
from fuota.debug.page import SHOWN, span
from fuota.debug.plain import plain, words
from fuota.debug.survey import MOST
from fuota.deployment.states import Session
from fuota.device.messages import Message as DeviceMessage
from fuota.dispatcher import Dispatcher, Outcome, Route
from fuota.health import Health
from fuota.lorawan.eui import EUI64
from fuota.network.port import Network
from fuota.ownership import Ownership
from fuota.uplink import Uplink

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@attrs.frozen
class WaitingForGroup:
    """What an actor of this test says of itself."""

    attempt: int
    deadline: datetime
    key: bytes = attrs.field(repr=False)


@attrs.frozen
class Window:
    """Part of a state."""

    number: int
    start: datetime


@attrs.frozen
class AwaitingStart:
    """A state with a part of its own."""

    group_id: str
    window: Window


class Device(Actor[str]):
    """Gets stuck, or crashes, when it is told to."""

    async def receive(self, message: str) -> None:
        if message == "crash":
            raise ArithmeticError("<b>7 is no & number</b>")
        if message == "stick":
            await trio.sleep_forever()

    def describe(self) -> object:
        return {"state": WaitingForGroup(2, AT, b"a very secret key"), "trouble": ""}


class Deployment(Actor[str]):
    def __init__(self, size: int) -> None:
        self._size = size

    async def started(self, me: Me[str]) -> None:
        for n in range(self._size):
            me.spawn(f"device-{n}", Device, room=2)


@attrs.define
class Debug:
    """The endpoint, and what it shows."""

    client: Client
    tree: Tree
    health: Health
    ready: bool = True

    async def get(self, path: str, status: int = 200, **headers: str) -> str:
        response = await self.client.get(path, headers=headers)
        assert response.status_code == status
        text: str = await response.get_data(as_text=True)
        return text

    async def json(self, path: str, status: int = 200) -> Any:
        return json.loads(await self.get(path, status))

    async def page(self, path: str = "/") -> "Page":
        page = Page()
        page.feed(await self.get(path))
        return page

    def offer(self, path: str, message: str) -> bool:
        ref = self.tree.find(path)
        assert ref is not None
        return ref.offer(message)


@asynccontextmanager
async def opened(*sizes: int, token: str = "", more: Sequence[Child[Any]] = ()) -> AsyncIterator[Debug]:
    deployments = [Child(f"deployment-{n}", partial(Deployment, size)) for n, size in enumerate(sizes)]
    health = Health()
    with trio.fail_after(300):
        async with open_tree([Child("deployments", lambda: Supervisor(deployments)), *more]) as tree:
            await trio.testing.wait_all_tasks_blocked()
            app = debug_app(tree.snapshot, health, lambda: debug.ready, token=token)
            debug = Debug(app.test_client(), tree, health)
            yield debug


class Page(HTMLParser):
    """The rows of the page: the text of each, its classes and its links."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, str] = {}
        self.classes: dict[str, set[str]] = {}
        self.links: dict[str, str] = {}
        self._row = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "tr" and "id" in given:
            self._row = given["id"]
            assert self._row not in self.rows
            self.rows[self._row] = ""
            self.classes[self._row] = set(given["class"].split())
        if tag == "a" and self._row:
            self.links[self._row] = given["href"]

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr":
            self._row = ""

    def handle_data(self, data: str) -> None:
        if self._row:
            self.rows[self._row] = " ".join(f"{self.rows[self._row]} {data}".split())


ONE = "/deployments/deployment-0"


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


async def test_what_is_open_is_in_the_address(autojump_clock: object) -> None:
    async with opened(2, 1) as debug:
        page = await debug.page()
        assert list(page.rows) == ["/", "/deployments", ONE, "/deployments/deployment-1"]
        page = await debug.page(page.links[ONE])
        assert f"{ONE}/device-1" in page.rows
        page = await debug.page(page.links[f"{ONE}/device-1"])
        assert '"attempt": 2' in page.rows[f"{ONE}/device-1"]
        closed = await debug.page(page.links["/"])
        assert list(closed.rows) == ["/"]
        assert (await debug.page(closed.links["/"])).rows.keys() == page.rows.keys()


async def test_all_closed_stays_closed(autojump_clock: object) -> None:
    async with opened(1) as debug:
        assert list((await debug.page("/?open=")).rows) == ["/"]


async def test_more_can_be_shown(autojump_clock: object) -> None:
    async with opened(SHOWN + 10) as debug:
        page = await debug.page(f"/?open=/&open=/deployments&open={ONE}")
        assert page.rows[f"{ONE} …"] == "and 10 more: 10 idle"
        page = await debug.page(page.links[f"{ONE} …"])
        assert f"{ONE} …" not in page.rows
        assert len(page.rows) == 3 + SHOWN + 10


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


async def test_health(autojump_clock: object) -> None:
    async with opened() as debug:
        assert await debug.json("/healthz") == {"ailments": {}}
        assert await debug.json("/readyz") == {"started": True, "ailments": {}}
        debug.health.ill("postgresql", "out of reach")
        assert await debug.json("/healthz", 503) == {"ailments": {"postgresql": "out of reach"}}
        assert await debug.json("/readyz", 503) == {
            "started": True,
            "ailments": {"postgresql": "out of reach"},
        }
        assert "<strong>postgresql</strong>: out of reach" in await debug.get("/")
        debug.health.well("postgresql")
        debug.ready = False
        assert await debug.json("/healthz") == {"ailments": {}}
        assert await debug.json("/readyz", 503) == {"started": False, "ailments": {}}


class Nowhere:
    """A network that is not asked."""


async def test_metrics(autojump_clock: object) -> None:
    registry = Registry[EUI64, DeviceMessage]()
    network: Network = Nowhere()  # type: ignore[assignment]
    async with opened(
        3, more=[Child("dispatcher", lambda: Dispatcher(registry, network, Ownership.sole()))]
    ) as debug:
        dispatcher = debug.tree.find("/dispatcher")
        assert dispatcher is not None
        uplink = Uplink(dev_eui=EUI64(bytes(8)), f_port=200, f_cnt=1, data=b"\x00", received_at=AT)
        outcome: Outcome = await dispatcher.ask(lambda reply: Route(uplink, reply), within=1)
        assert outcome is Outcome.TAKEN
        debug.offer(f"{ONE}/device-0", "stick")
        await trio.testing.wait_all_tasks_blocked()
        lines = (await debug.get("/metrics")).splitlines()
        assert 'fuota_actors{status="busy"} 1.0' in lines
        assert 'fuota_actors{status="idle"} 6.0' in lines
        assert 'fuota_uplinks_total{outcome="unconcerned"} 1.0' in lines
        assert 'fuota_uplinks_total{outcome="elsewhere"} 0.0' in lines
        assert 'fuota_clock_answers_total{outcome="sent"} 0.0' in lines
        assert "fuota_mailbox_dropped 0.0" in lines
        assert "fuota_ailments 0.0" in lines


PROTECTED = ["/", "/debug/actors", "/metrics", "/nothing"]


@pytest.mark.parametrize("path", PROTECTED)
async def test_without_the_token_nothing_is_shown(autojump_clock: object, path: str) -> None:
    async with opened(token="secret") as debug:
        await debug.get(path, 401)
        await debug.get(f"{path}?token=other", 401)
        await debug.get(path, 401, Authorization="Bearer other")
        await debug.get(path, 401, Cookie="fuota-debug=secret")
        await debug.get(path, 404 if path == "/nothing" else 200, Authorization="Bearer secret")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_whoever_watches_over_the_process_needs_no_token(autojump_clock: object, path: str) -> None:
    async with opened(token="secret") as debug:
        await debug.get(path)


async def test_the_token_in_the_address_is_needed_once(autojump_clock: object) -> None:
    async with opened(token="secret") as debug:
        response = await debug.client.get("/?open=/&token=secret&show=9")
        assert (response.status_code, response.headers["Location"]) == (302, "/?open=/&show=9")
        cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "secret" not in cookie
        assert "deployments" in await debug.get("/")  # the client keeps cookies


async def test_the_page_loads_nothing_from_elsewhere(autojump_clock: object) -> None:
    async with opened() as debug:
        response = await debug.client.get("/")
        assert response.headers["Content-Security-Policy"].startswith(
            "default-src 'none'; connect-src 'self';"
        )
        assert "http" not in await response.get_data(as_text=True)


def test_words_for_people() -> None:
    assert words(None) == ""
    assert words("at work") == "at work"
    assert words(WaitingForGroup(2, AT, b"")) == "waiting for group · attempt 2 · deadline 01 Mar 12:30:00"
    assert words({"state": None, "open": True, "dev_eui": EUI64(bytes(8))}) == (
        "open yes · dev eui 0000000000000000"
    )
    assert words({"few": [1, 2], "many": [1] * 50, "none": []}) == "few 1, 2 · many 50"
    assert words({"devices": {"prepared": 2, "ready": 48}}) == "devices prepared 2, ready 48"
    assert words({"state": AwaitingStart("a1", Window(1, AT))}) == (
        "awaiting start (group id a1, window (number 1, start 01 Mar 12:30:00))"
    )


def test_plain_data_is_bounded() -> None:
    assert plain(list(range(100)))[-2:] == [19, "and 80 more"]
    assert len(plain({n: n for n in range(100)})) == 21
    assert plain([[[[[["deep"]]]]]]) == [[[[["…"]]]]]
    assert len(plain("x" * 10_000)) == 201
    assert plain(Session) == str(Session)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"),
        (3.21, "3.2 s"),
        (59.9, "59 s"),
        (300, "5 min"),
        (18_600, "5 h 10 min"),
        (183_600, "2 d 3 h"),
    ],
)
def test_spans_of_time(seconds: float, said: str) -> None:
    assert span(seconds) == said
