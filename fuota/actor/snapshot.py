"""The tree, read from its cells and not asked: an actor that is stuck can still be seen."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import attrs
import trio

from fuota.actor.supervision import BUDGET

if TYPE_CHECKING:
    from fuota.actor.cell import Cell


@attrs.frozen(kw_only=True)
class ActorSnapshot:
    """One actor and those below it. Times are in seconds; the counters never go back."""

    path: str
    actor: str
    """Its class, while an object plays it."""
    status: str
    """starting, idle, busy, stopping, backing-off, stopped or failed."""
    description: object
    """What `describe` gave, or the error it raised."""
    handling: str | None
    """The type of the message in hand, for `handling_for` seconds."""
    handling_for: float | None
    handled: int
    used: int
    """Messages in the mailbox, now; `peak`: at most; `dropped`: refused to those who do not wait."""
    room: int
    peak: int
    dropped: int
    crashes: int
    """Of its children, that count against the `budget` now."""
    budget: int
    last_error: str | None
    age: float
    incarnations: int
    children: tuple[ActorSnapshot, ...]
    """In the order of their start; after them those that have ended."""
    hidden: int
    """Children left out."""


def take(cell: Cell[Any], depth: int, limit: int) -> ActorSnapshot:
    """The actor, `depth` levels of those below it, and of each at most `limit` children."""
    now = trio.current_time()
    living = cell.family.children if cell.family is not None else {}
    buried = cell.family.buried(now) if cell.family is not None else []
    children: list[ActorSnapshot] = []
    if depth > 0:
        children += (take(child, depth - 1, limit) for child in islice(living.values(), limit))
        children += buried[: limit - len(children)]
    return ActorSnapshot(
        path=cell.path,
        actor=type(cell.actor).__name__ if cell.actor is not None else "",
        status=cell.status,
        description=_describe(cell),
        handling=cell.handling,
        handling_for=None if cell.message is None else now - cell.since,
        handled=cell.handled,
        used=cell.mailbox.used,
        room=cell.mailbox.room,
        peak=cell.mailbox.peak,
        dropped=cell.mailbox.dropped,
        crashes=cell.family.crashes(now) if cell.family is not None else 0,
        budget=BUDGET,
        last_error=cell.last_error,
        age=now - cell.born,
        incarnations=cell.incarnations,
        children=tuple(children),
        hidden=len(living) + len(buried) - len(children),
    )


def _describe(cell: Cell[Any]) -> object:
    try:
        return cell.actor and cell.actor.describe()
    except Exception as error:  # the page shows a sick actor, it does not fall ill with it
        return f"{type(error).__name__}: {error}"
