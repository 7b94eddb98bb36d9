"""Group commit: whatever waits while one transaction is under way goes into the next one together."""

from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from typing import Generic, TypeVar

import attrs
import trio

from fuota.journal.port import JournalError, Unavailable

E = TypeVar("E")

WOKEN_AT_ONCE = 30
"""Of those who wait for what one transaction has written: the loop has a turn for others in between."""


@attrs.define(eq=False)
class Pending(Generic[E]):
    """An entry on its way into the database.

        waiting ──▶ in an attempt ──▶ settled ──▶ done
           ▲              │
           ╰─ Unavailable ╯

    One that is withdrawn, since nobody waits for it any more, is dropped when it would come into an attempt.
    """

    entry: E
    error: JournalError | None = attrs.field(default=None, init=False)
    settled: bool = attrs.field(default=False, init=False)
    done: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Comes a little after it is settled."""
    attempt_over: trio.Event | None = attrs.field(default=None, init=False)
    """Of the attempt that this is part of; None while it waits for one."""
    withdrawn: bool = attrs.field(default=False, init=False)

    def settle(self, error: JournalError | None = None) -> None:
        """It is written; or with `error` never will be."""
        self.error = error
        self.settled = True


@attrs.define
class GroupCommit(Generic[E]):
    """One writer for all. Entries are written in the order of their coming."""

    write: Callable[[Sequence[Pending[E]]], Awaitable[None]]
    """Settles every one of them, or raises `Unavailable` and is called again with those left."""
    weigh: Callable[[E], int]
    room: int
    """The most that is written together, by weight; more only if one entry alone weighs more."""
    key: Callable[[E], Hashable]
    """Two entries with the same key are never written together, unless it is None."""
    pauses: Callable[[], Iterator[float]]
    """Seconds between attempts."""
    _waiting: deque[Pending[E]] = attrs.field(factory=deque, init=False)
    _arrived: trio.Event = attrs.field(factory=trio.Event, init=False)
    _settled: deque[Pending[E]] = attrs.field(factory=deque, init=False)
    _written: trio.Event = attrs.field(factory=trio.Event, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    def add(self, entry: E) -> Pending[E]:
        """For those who do not wait."""
        if self._closed:
            raise Unavailable("the journal is closed")
        pending = Pending(entry)
        self._waiting.append(pending)
        self._arrived.set()
        return pending

    async def submit(self, entry: E) -> None:
        """Returns when it is written. Raises what it was settled with.

        Cancelled, it is not written, as far as is known: an attempt under way is waited for, and if that has
        written it this returns all the same. If the answer to its COMMIT was lost, nobody looks for it.
        """
        # What is inside trio_asyncio is cancelled a turn or two later than the journal around it.
        await trio.lowlevel.checkpoint_if_cancelled()
        pending = self.add(entry)
        try:
            await pending.done.wait()
        except trio.Cancelled:
            pending.withdrawn = True
            if pending.attempt_over is not None:
                with trio.CancelScope(shield=True):
                    await pending.attempt_over.wait()
            if not pending.settled or pending.error is not None:
                raise
        if pending.error is not None:
            raise pending.error

    async def run(self) -> None:
        """Writes what is submitted, until it is cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._wake)
                await self._write()
        finally:
            self._closed = True
            for pending in self._waiting:
                pending.settle(Unavailable("the journal is closed"))
            for pending in (*self._settled, *self._waiting):
                pending.done.set()

    async def _write(self) -> None:
        pauses = self.pauses()
        while True:
            if not (batch := self._take()):
                self._arrived = trio.Event()
                await self._arrived.wait()
                continue
            try:
                await self._attempt(batch)
                await trio.lowlevel.checkpoint_if_cancelled()
            except Unavailable:
                await trio.sleep(next(pauses))
            else:
                pauses = self.pauses()

    async def _wake(self) -> None:
        while True:
            if not self._settled:
                self._written = trio.Event()
                await self._written.wait()
            for _ in range(min(len(self._settled), WOKEN_AT_ONCE)):
                self._settled.popleft().done.set()
            await trio.lowlevel.checkpoint()

    def _take(self) -> list[Pending[E]]:
        batch: list[Pending[E]] = []
        keys: set[Hashable] = set()
        weight = 0
        while self._waiting:
            pending = self._waiting[0]
            if not pending.withdrawn:
                key = self.key(pending.entry)
                weight += self.weigh(pending.entry)
                if batch and (weight > self.room or key in keys):
                    break
                if key is not None:
                    keys.add(key)
                batch.append(pending)
            self._waiting.popleft()
        return batch

    async def _attempt(self, batch: list[Pending[E]]) -> None:
        over = trio.Event()
        for pending in batch:
            pending.attempt_over = over
        try:
            await self.write(batch)
        finally:
            for pending in batch:
                pending.attempt_over = None
            self._settled.extend(pending for pending in batch if pending.settled)
            self._written.set()
            self._waiting.extendleft(pending for pending in reversed(batch) if not pending.settled)
            over.set()
