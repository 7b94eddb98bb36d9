"""The tree as a page: which rows there are, and where their links lead. What is open is in the address."""

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from typing import Any
from urllib.parse import urlencode

import attrs
from werkzeug.datastructures import MultiDict

from fuota.actor import ActorSnapshot
from fuota.debug.plain import plain
from fuota.debug.survey import OVER, Node, Snapshot, census, survey
from fuota.health import Health

SHOWN, MORE = 50, 500
"""Children shown of each actor: at first, and when more are asked for."""

READ = 1000
"""Children read of each actor, so that those in trouble can be shown first."""

STUCK = 5.0
"""Seconds with one message in hand after which an actor is worth a look."""


@attrs.frozen
class Row:
    """An actor; or, when `rest` is set, those of its children that are not shown."""

    key: str
    level: int
    actor: ActorSnapshot
    name: str
    ranking: str
    """bad, warn, well or over: how much it deserves to be seen."""
    open: bool
    """Its children are shown, or what it says of itself in full."""
    link: str
    troubled: int
    """Actors below that deserve to be seen, when they are not shown."""
    rest: Mapping[str, int] = attrs.field(factory=dict)

    @property
    def details(self) -> Any:
        """What the actor says of itself, for a row without children."""
        return plain(self.actor.description) if self.open and not self.actor.hidden else None


@attrs.define
class View:
    """What the address asks for."""

    shown: int
    opened: frozenset[str] | None
    """Paths; None: the first two levels."""

    @classmethod
    def of(cls, arguments: MultiDict[str, str]) -> "View":
        shown = max(1, min(arguments.get("show", SHOWN, int), MORE))
        return cls(shown, frozenset(arguments.getlist("open")) if "open" in arguments else None)

    def is_open(self, node: Node) -> bool:
        if self.opened is None:
            return node.level < 2 and node.actor.hidden > 0
        return node.actor.path in self.opened

    def link(self, opened: Set[str], *, shown: int | None = None) -> str:
        """The address of the page with these paths open."""
        arguments = [("open", path) for path in sorted(opened)] or [("open", "")]
        more = shown or self.shown
        return "/" + query([*arguments, *([("show", str(more))] if more != SHOWN else [])])


def query(arguments: Any) -> str:
    """`?…`, or nothing when there are none."""
    pairs = list(arguments.items(multi=True)) if isinstance(arguments, MultiDict) else list(arguments)
    return "?" + urlencode(pairs, safe="/:") if pairs else ""


def context(snapshot: Snapshot, health: Health, arguments: MultiDict[str, str]) -> dict[str, Any]:
    """What the template needs."""
    view = View.of(arguments)
    root = survey(snapshot, "/", limit=READ, descend=view.is_open)
    everything = survey(snapshot, "/", limit=READ, descend=lambda node: True)
    assert root is not None
    assert everything is not None
    opened = view.opened or {node.actor.path for node in root.walk() if view.is_open(node)}
    troubles: dict[str, int] = {}
    _count(everything, troubles)
    return {
        "rows": list(_rows(root, view, opened, troubles)),
        "counts": dict(sorted(census(everything).items())),
        "ailments": health.ailments(),
        "age": root.actor.age,
    }


def _rows(node: Node, view: View, opened: Set[str], troubles: Mapping[str, int]) -> Iterator[Row]:
    actor, path = node.actor, node.actor.path
    is_open = path in opened
    troubled = 0 if is_open else troubles.get(path, 0)
    yield Row(
        path, node.level, actor, node.name, ranking(actor), is_open, view.link(opened ^ {path}), troubled
    )
    if not is_open:
        return
    ranked = sorted(node.children, key=lambda child: RANKINGS.index(ranking(child.actor)))
    for place, child in enumerate(ranked[: view.shown]):
        if child.actor.status in OVER:  # a living one may have its name, and others that have ended
            yield Row(
                f"{path} {place}", child.level, child.actor, child.name, ranking(child.actor), False, "", 0
            )
        else:
            yield from _rows(child, view, opened, troubles)
    rest = Counter(child.actor.status for child in ranked[view.shown :])
    rest["not read"] += node.hidden
    if rest.total():
        more = view.link(opened, shown=MORE) if view.shown < MORE else ""
        yield Row(f"{path} …", node.level + 1, actor, "", "well", False, more, 0, +rest)


RANKINGS = ("bad", "warn", "well", "over")


def ranking(actor: ActorSnapshot) -> str:
    """How much an actor deserves to be seen, best first in `RANKINGS`."""
    if actor.status in ("failed", "backing-off"):
        return "bad"
    if actor.status in OVER:
        return "over"
    stuck = (actor.handling_for or 0) >= STUCK
    return "warn" if stuck or actor.used >= actor.room > 1 or actor.dropped or actor.crashes else "well"


def _count(node: Node, troubles: dict[str, int]) -> int:
    """The troubled from this node down; how many there are below it goes into `troubles`, by path."""
    below = sum(_count(child, troubles) for child in node.children)
    if node.actor.status not in OVER:
        troubles[node.actor.path] = below
    return below + (ranking(node.actor) in ("bad", "warn"))


def span(seconds: float) -> str:
    """A length of time in one or two units: `3.2 s`, `4 min`, `5 h 10 min`, `2 d 3 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
