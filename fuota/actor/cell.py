"""The place of an actor in the tree, which outlasts every object that plays the actor."""

import math
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

import attrs
import structlog
import trio

from fuota.actor.behaviour import Actor, Me
from fuota.actor.errors import Crashed, Stopped, Superseded
from fuota.actor.mailbox import Mailbox
from fuota.actor.snapshot import take
from fuota.actor.supervision import Child, Family, Policy

M = TypeVar("M")
C = TypeVar("C")

log = structlog.get_logger(__name__)

Status = Literal["starting", "idle", "busy", "stopping", "backing-off", "stopped", "failed"]

GRACE = 4.0
"""Seconds that an actor which is told to stop has for the message in hand, its children and its tasks."""
CLEANUP = 5.0
"""Seconds that `stopped` has."""


@attrs.define(eq=False, repr=False)
class Cell(Generic[M]):
    """An actor, whichever object plays it."""

    spec: Child[M]
    mailbox: Mailbox[M]
    parent: "Cell[Any] | None" = None
    status: Status = "starting"
    actor: Actor[M] | None = None
    nursery: trio.Nursery | None = None
    family: Family | None = None
    message: M | None = None
    """In hand since `since`."""
    since: float = 0.0
    handled: int = 0
    incarnations: int = 0
    last_error: str | None = None
    born: float = attrs.field(factory=trio.current_time)
    _ending: bool = False
    _halted: bool = False
    _stop_by: float = math.inf
    _left_over: Callable[[Any], object] | None = None
    _turn: trio.Event | None = None

    @property
    def path(self) -> str:
        return self.mailbox.path

    @property
    def handling(self) -> str | None:
        """The type of the message in hand."""
        return None if self.message is None else type(self.message).__name__

    @property
    def over(self) -> bool:
        return self.status in ("stopped", "failed")

    @property
    def stop_by(self) -> float:
        """When all of this has to have ended."""
        return self._stop_by if self.parent is None else min(self._stop_by, self.parent.stop_by)

    def child(self, name: str) -> "Cell[Any] | None":
        """The living child of this name."""
        return None if self.family is None else self.family.children.get(name)

    def spawn(self, spec: Child[C]) -> "Cell[C]":
        """Let another child live. Raises `ValueError` for a name that is no name, or taken."""
        if not spec.name or "/" in spec.name or self.child(spec.name) is not None:
            raise ValueError(f"{self.path}: another child can not have the name {spec.name!r}")
        if self.actor is None or self.nursery is None:
            raise RuntimeError(f"{self.path} does not run, and can have no children")
        if self.family is None:
            self.family = Family(self.actor, self.nursery)
        mailbox = Mailbox[C](f"{self.path.rstrip('/')}/{spec.name}", spec.room)
        child = self.family.children[spec.name] = Cell(spec, mailbox, self)
        child.begin(self.nursery)
        return child

    async def end_children(self) -> None:
        """Have every child stop, and wait until all have."""
        if self.family is not None:
            await self.family.stop(self._left_over)

    def begin(self, nursery: trio.Nursery) -> None:
        """Let an incarnation live in `nursery`."""
        self.mailbox.reopen()
        self._halted = False
        self.incarnations += 1
        self._enter("starting")
        nursery.start_soon(self._live, name=self.path)

    async def _live(self) -> None:
        crash: ExceptionGroup | None = None
        try:
            await self._incarnation()
        except* trio.Cancelled:
            pass  # the task ends: a supervisor of a hundred thousand need not gather this from each of them
        except* Superseded:
            self._ending = True
            if self.actor is not None:
                self.actor.superseded()
        except* Exception as group:
            crash = group
            log.error("crashed", actor=self.path, message=self.handling, exc_info=group)
        finally:
            self._leave(crash)
        if crash is not None and self.parent is None:
            raise crash

    async def _incarnation(self) -> None:
        if self._ending or self._halted:
            return
        begun = False
        try:
            async with trio.open_nursery() as self.nursery:
                self.actor = actor = self.spec.factory()
                await actor.started(Me(self, self.nursery))
                begun = True
                self._enter("idle")
                async for message in self.mailbox:
                    self.status, self.message, self.since = "busy", message, trio.current_time()
                    await actor.receive(message)
                    self.status, self.message = "idle", None
                    self.handled += 1
                    del message  # the next may be long in coming
                self._enter("stopping")
                await self.end_children()
                self.nursery.cancel_scope.cancel()
        finally:
            if begun:
                with trio.CancelScope(shield=True, deadline=min(trio.current_time() + CLEANUP, self.stop_by)):
                    await actor.stopped()

    def _leave(self, crash: ExceptionGroup | None) -> None:
        """The incarnation is over: settle what it owes, and see what comes next."""
        error = None if crash is None else _innermost(crash)
        if error is not None:
            self.last_error = f"{type(error).__name__}: {error}"
        self.mailbox.abandon(Crashed if error is not None or self._halted else Stopped, error)
        for child in tuple(self.family.children.values()) if self.family is not None else ():
            child.bury()
        again = self._halted or self.spec.policy.begins_anew(crashed=error is not None)
        family = None if self.parent is None else self.parent.family
        # cancelled from above, as with the whole tree: no family is left in which it could begin anew
        cut_off = trio.current_effective_deadline() == -math.inf
        if family is None or self._ending or cut_off or not again:
            self.bury(failed=error is not None)
        else:
            self._enter("backing-off")
            if not self._halted:
                family.nursery.start_soon(family.mend, self, self.incarnations, trio.current_time(), error)
        self.actor = self.nursery = self.family = self.message = None

    def finish(self, left_over: Callable[[Any], object] | None) -> None:
        """End after the message in hand."""
        self._ending = self.spec.policy is not Policy.PERMANENT
        self._left_over = left_over
        self.mailbox.close()

    def stop(self, left_over: Callable[[Any], object] | None = None) -> None:
        """Stop for good: gracefully, then bounded, then cancelled. All bounds of a stop are here.

        `left_over` is called with each message that is queued.
        GRACE seconds from now, what the actor still does is cancelled, with its tasks and children; `stopped`
        and those of the children have CLEANUP seconds then, and no time beyond GRACE + CLEANUP from now.
        """
        self._ending = True
        for message in self.mailbox.close():
            if left_over is not None:
                left_over(message)
        now = trio.current_time()
        self._stop_by = min(self._stop_by, now + GRACE + CLEANUP)
        if self.nursery is not None:
            scope = self.nursery.cancel_scope
            scope.deadline = min(scope.deadline, now + GRACE)
        elif self.status == "backing-off":
            self.bury()

    async def halt(self) -> None:
        """Cancel the incarnation, so that another can begin."""
        self._halted = True
        if self.nursery is not None:
            self.nursery.cancel_scope.cancel()
        await self.gone()

    def bury(self, *, failed: bool = False) -> None:
        """Nothing comes after this."""
        self.mailbox.close()
        self._enter("failed" if failed else "stopped")
        if self.parent is not None and self.parent.family is not None:
            self.parent.family.bury(self, take(self, depth=0, limit=0))

    async def up(self) -> None:
        """Wait until `started` is over, one way or the other."""
        while self.status == "starting":
            await self._change()

    async def gone(self) -> None:
        """Wait until no incarnation lives."""
        while not self.over and self.status != "backing-off":
            await self._change()

    async def _change(self) -> None:
        if self._turn is None:
            self._turn = trio.Event()
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
