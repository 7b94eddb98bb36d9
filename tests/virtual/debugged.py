"""A tree of actors that get stuck or crash when they are told to, and what the debug endpoint says of it."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from html.parser import HTMLParser
from typing import Any

import attrs
import trio
from quart.typing import TestClientProtocol as Client

from fuota.actor import Actor, Child, Me, Supervisor, Tree, open_tree
from fuota.debug.app import debug_app
from fuota.health import Health

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@attrs.frozen
class WaitingForGroup:
    """What an actor of this test says of itself."""

    attempt: int
    deadline: datetime
    key: bytes = attrs.field(repr=False)


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
