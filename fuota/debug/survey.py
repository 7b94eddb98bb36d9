"""Reads as much of the tree of actors as is asked for, and never so much that it could be felt."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Protocol

import attrs

from fuota.actor import ActorSnapshot

MOST = 2000
"""Actors read in one survey: some 20 ms in which nothing else runs."""

OVER = frozenset({"stopped", "failed"})


class Snapshot(Protocol):
    """`Tree.snapshot`."""

    def __call__(self, path: str, /, *, depth: int, limit: int) -> ActorSnapshot | None: ...


@attrs.define(eq=False)
class Node:
    """An actor, and those of its children that were read."""

    actor: ActorSnapshot
    """Without its children."""
    level: int = 0
    children: "list[Node]" = attrs.field(factory=list)
    hidden: int = 0
    """Children that were not read."""

    @property
    def name(self) -> str:
        return self.actor.path.rpartition("/")[2] or "/"

    def walk(self) -> "Iterator[Node]":
        """This one and all below it that were read."""
        yield self
        for child in self.children:
            yield from child.walk()


def survey(
    snapshot: Snapshot, path: str, *, limit: int, descend: Callable[[Node], bool], most: int = MOST
) -> Node | None:
    """The actor at `path`, and at most `limit` children of each node that is to be descended into.

    Level by level, so that what is left out when there are more than `most` is what lies deepest. None if
    there is no such actor.
    """
    top = snapshot(path, depth=0, limit=0)
    if top is None:
        return None
    root = Node(top, hidden=top.hidden)
    waiting, left = deque([root]), most
    while waiting:
        node = waiting.popleft()
        if node.actor.status in OVER or not node.hidden or not descend(node):
            continue
        here = snapshot(node.actor.path, depth=1, limit=min(limit, left))
        if here is None:
            continue
        node.children = [Node(child, node.level + 1, hidden=child.hidden) for child in here.children]
        node.hidden = here.hidden
        left -= len(node.children)
        waiting.extend(node.children)
    return root


def census(root: Node) -> Counter[str]:
    """How many actors are in which status, as far as they were read; the others are `not read`."""
    counts = Counter(node.actor.status for node in root.walk())
    counts["not read"] = sum(node.hidden for node in root.walk())
    return +counts
