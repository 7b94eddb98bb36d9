"""The place of an actor in the tree: name, mailbox and counters, which outlast any one incarnation."""

import math
from collections.abc import Callable
from enum import Enum
from typing import Any, Generic, TypeVar

import attrs
import structlog
import trio

from fuota.actor.behaviour import Actor, Me
from fuota.actor.errors import Crashed, Stopped
from fuota.actor.family import Family
from fuota.actor.mailbox import Mailbox
from fuota.actor.ref import Ref
from fuota.actor.strategy import Policy

M = TypeVar("M")
C = TypeVar("C")

log = structlog.get_logger(__name__)

GRACE = 4.0
"""Seconds that a stopping actor has for the message in hand, its children and its tasks."""

CLEANUP = 5.0
"""Seconds that `stopped` has."""


class Status(Enum):
    """Where an actor is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    BACKING_OFF = "backing-off"
    STOPPED = "stopped"
    FAILED = "failed"


@attrs.define(eq=False, repr=False)
class Cell(Generic[M]):
    """An actor, whichever object plays it at present."""

    name: str
    factory: Callable[[], Actor[M]]
    policy: Policy
    mailbox: Mailbox[M]
    parent: "Cell[Any] | None" = None
    ref: Ref[M] = attrs.field(init=False)
    status: Status = attrs.field(default=Status.STARTING, init=False)
    actor: Actor[M] | None = attrs.field(default=None, init=False)
    kind: str = attrs.field(default="", init=False)
    family: Family | None = attrs.field(default=None, init=False)
    message: M | None = attrs.field(default=None, init=False)
    """In hand since `since`."""
    since: float = attrs.field(default=0.0, init=False)
    handled: int = attrs.field(default=0, init=False)
    incarnations: int = attrs.field(default=0, init=False)
    last_error: str | None = attrs.field(default=None, init=False)
    born: float = attrs.field(factory=trio.current_time, init=False)
    _ending: bool = attrs.field(default=False, init=False)
    _halted: bool = attrs.field(default=False, init=False)
    _stop_by: float = attrs.field(default=math.inf, init=False)
    _nursery: trio.Nursery | None = attrs.field(default=None, init=False)
    _turn: trio.Event | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.ref = Ref(self.mailbox)

    @property
    def path(self) -> str:
        return self.mailbox.path

    @property
    def in_hand(self) -> str | None:
        """The type of the message in hand."""
        return None if self.message is None else type(self.message).__name__

    @property
    def over(self) -> bool:
        return self.status is Status.STOPPED or self.status is Status.FAILED

    def spawn(self, name: str, factory: Callable[[], Actor[C]], policy: Policy, room: int) -> "Cell[C]":
        """Let a new child live."""
        if not name or "/" in name:
            raise ValueError(f"an actor's name is not empty and has no '/', unlike {name!r}")
        if self._nursery is None or self.actor is None:
            raise RuntimeError(f"{self.path} is not running, so it has no children")
        if self.family is None:
            self.family = Family(self._nursery, self.actor)
        child = Cell(name, factory, policy, Mailbox[C](f"{self.path.rstrip('/')}/{name}", room), self)
        self.family.adopt(child)
        return child

    def begin(self, nursery: trio.Nursery) -> None:
        """Let an incarnation live in `nursery`."""
        self.mailbox.closed = False
        self._halted = False
        self.incarnations += 1
        self.status = Status.STARTING
        nursery.start_soon(self.live, name=self.path)

    async def live(self) -> None:
        """One incarnation, and its last will. Only the root's crash leaves this."""
        crash: ExceptionGroup | None = None
        try:
            await self._incarnation()
        except* Exception as group:
            crash = group
            log.error("crashed", actor=self.path, message=self.in_hand, exc_info=group)
        finally:
            self._leave(None if crash is None else _innermost(crash))
        if crash is not None and self.parent is None:
            raise crash

    async def _incarnation(self) -> None:
        """From the factory to `stopped`; raises what the actor crashes with."""
        if self._ending or self._halted:
            return
        begun: Actor[M] | None = None
        try:
            async with trio.open_nursery() as self._nursery:
                self.actor = actor = self.factory()
                self.kind = type(actor).__name__
                await actor.started(Me(self, self._nursery))
                begun = actor
                self._enter(Status.RUNNING)
                await self._serve(actor)
                self._enter(Status.STOPPING)
                if self.family is not None:
                    await self.family.stop(actor.stops_in_order)
                self._nursery.cancel_scope.cancel()
        finally:
            if begun is not None:
                with trio.CancelScope(shield=True, deadline=self._cleanup_deadline()):
                    await begun.stopped()

    async def _serve(self, actor: Actor[M]) -> None:
        while True:
            try:
                message = await self.mailbox.get()
            except trio.EndOfChannel:
                return
            self.message, self.since = message, trio.current_time()
            await actor.receive(message)
            self.message = None
            self.handled += 1

    def _leave(self, error: Exception | None) -> None:
        """The incarnation is over: settle what it owes, and see what comes next."""
        gone: Exception = Stopped(self.path)
        if error is not None:
            self.last_error = f"{type(error).__name__}: {error}"
            gone = Crashed(self.path)
            gone.__cause__ = error
        self.mailbox.abandon(gone)
        if self.family is not None:
            self.family.disband()
        again = self.policy is Policy.PERMANENT or (self.policy is Policy.TRANSIENT and error is not None)
        if self.parent is None or self._ending or not (again or self._halted):
            self.bury(failed=error is not None)
        else:
            self._enter(Status.BACKING_OFF)
            if not self._halted and self.parent.family is not None:
                self.parent.family.ended(self, error)
        self.message = self.actor = self.family = self._nursery = None

    def finish(self) -> None:
        """Stop after the message in hand."""
        self._ending = self.policy is not Policy.PERMANENT
        self.mailbox.close()

    def stop(self) -> None:
        """Stop for good: gracefully, then bounded, then cancelled.

        After GRACE whatever the actor is still doing is cancelled, its children and tasks with it. Then
        `stopped` has CLEANUP, less what an actor below has used of it: the whole ends in GRACE + CLEANUP.
        """
        self._ending = True
        self.mailbox.close()
        now = trio.current_time()
        self._stop_by = min(self._stop_by, now + GRACE + CLEANUP)
        if self._nursery is not None:
            scope = self._nursery.cancel_scope
            scope.deadline = min(scope.deadline, now + GRACE)
        elif self.status is Status.BACKING_OFF:
            self.bury()

    def _cleanup_deadline(self) -> float:
        deadline = trio.current_time() + CLEANUP
        cell: Cell[Any] | None = self
        while cell is not None:
            deadline = min(deadline, cell._stop_by)
            cell = cell.parent
        return deadline

    async def halt(self) -> None:
        """Cancel the incarnation, so that the supervisor can begin another."""
        self._halted = True
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()
        await self.gone()

    def bury(self, *, failed: bool = False) -> None:
        """Nothing comes after this."""
        self.mailbox.close()
        self._enter(Status.FAILED if failed else Status.STOPPED)
        if self.parent is not None and self.parent.family is not None:
            self.parent.family.bury(self)

    async def up(self) -> None:
        """Wait until `started` has returned, or has failed."""
        while self.status is Status.STARTING:
            await self._change()

    async def gone(self) -> None:
        """Wait until no incarnation lives."""
        while not self.over and self.status is not Status.BACKING_OFF:
            await self._change()

    async def _change(self) -> None:
        self._turn = self._turn or trio.Event()
        await self._turn.wait()

    def _enter(self, status: Status) -> None:
        self.status = status
        if self._turn is not None:
            self._turn.set()
            self._turn = None


def _innermost(error: Exception) -> Exception:
    """The one error inside groups of one."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
