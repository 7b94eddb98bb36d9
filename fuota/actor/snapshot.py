"""The tree as it is, read from the cells: an actor that is stuck can still be seen."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import attrs
import trio

if TYPE_CHECKING:
    from fuota.actor.cell import Cell


@attrs.frozen(kw_only=True)
class ActorSnapshot:
    """One actor and those below it; counters only grow, times are in seconds."""

    path: str
    actor: str
    """The class; empty before the first object has been made."""
    status: str
    """starting, idle, busy, backing-off, stopping, stopped or failed."""
    description: object
    """What `describe` gave, or the error it raised."""
    handling: str | None
    """The type of the message in hand."""
    handling_for: float | None
    handled: int
    mailbox_used: int
    mailbox_room: int
    mailbox_peak: int
    mailbox_dropped: int
    crashes: int
    """Of the children, that count against the budget now."""
    budget: int
    """The crashes of children that are mended before this actor fails itself."""
    last_error: str | None
    age: float
    started: int
    """Incarnations so far."""
    children: tuple[ActorSnapshot, ...] = ()
    """Living ones in the order of their start, then those that ended in the last minute."""
    hidden: int = 0
    """Children left out."""


def take(cell: Cell[Any], depth: int, limit: int) -> ActorSnapshot:
    """The actor in `cell`, `depth` levels of those below it and at most `limit` children of each."""
    now = trio.current_time()
    family = cell.family
    children: tuple[ActorSnapshot, ...] = ()
    total = 0
    if family is not None:
        buried = family.recent(now)
        total = len(family.children) + len(buried)
        if depth > 0:
            living = (take(child, depth - 1, limit) for child in islice(family.children.values(), limit))
            children = tuple(islice((*living, *buried), limit))
    handling = cell.in_hand
    return ActorSnapshot(
        path=cell.path,
        actor=cell.kind,
        status=_status(cell.status.value, handling),
        description=_describe(cell),
        handling=handling,
        handling_for=None if handling is None else now - cell.since,
        handled=cell.handled,
        mailbox_used=len(cell.mailbox),
        mailbox_room=cell.mailbox.room,
        mailbox_peak=cell.mailbox.peak,
        mailbox_dropped=cell.mailbox.dropped,
        crashes=family.budget.used(now) if family is not None else 0,
        budget=family.budget.crashes if family is not None else 0,
        last_error=cell.last_error,
        age=now - cell.born,
        started=cell.incarnations,
        children=children,
        hidden=total - len(children),
    )


def _status(status: str, handling: str | None) -> str:
    if status == "running":
        return "idle" if handling is None else "busy"
    return status


def _describe(cell: Cell[Any]) -> object:
    try:
        return cell.actor.describe() if cell.actor is not None else None
    except Exception as error:
        return f"describe raised {type(error).__name__}: {error}"
