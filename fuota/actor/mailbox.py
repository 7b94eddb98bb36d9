"""The bounded queue in front of an actor, and the replies the actor owes."""

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs
import trio

from fuota.actor.errors import Stopped
from fuota.actor.reply import Question, Reply

M = TypeVar("M")


@attrs.define(eq=False)
class Mailbox(Generic[M]):
    """Holds at most `room` messages, in the order in which they were sent; read by one task."""

    path: str
    room: int
    peak: int = 0
    dropped: int = 0
    """Messages that were offered and had to be refused."""
    closed: bool = False
    at_close: tuple[Callable[[], None], ...] = ()
    owed: set[Reply[Any]] | None = None
    """To the questions that were taken out and whose askers still wait."""
    _queue: deque[M | Question[M]] = attrs.field(factory=deque)
    _senders: dict[trio.lowlevel.Task, M | Question[M]] = attrs.field(factory=dict)
    _receiver: trio.lowlevel.Task | None = None

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def full(self) -> bool:
        return len(self._queue) >= self.room

    async def put(self, message: M | Question[M]) -> None:
        """Wait for room. Raises `Stopped`; cancelled means not sent."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.closed:
            raise Stopped(self.path)
        if not self.full:
            self.push(message)
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        task = trio.lowlevel.current_task()
        self._senders[task] = message

        def abort(_: Any) -> trio.lowlevel.Abort:
            del self._senders[task]
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        if self._senders.pop(task, None) is not None:
            raise Stopped(self.path)

    def push(self, message: M | Question[M]) -> None:
        """Add a message there is room for."""
        self._queue.append(message)
        self.peak = max(self.peak, len(self._queue))
        self._wake()

    async def get(self) -> M:
        """Wait for the next message. Raises `trio.EndOfChannel` once the mailbox is closed."""
        await trio.lowlevel.checkpoint()
        while not self._queue and not self.closed:
            self._receiver = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._leave)
        if self.closed:
            raise trio.EndOfChannel
        message = self._queue.popleft()
        if self._senders:
            task = next(iter(self._senders))
            self._queue.append(self._senders.pop(task))
            trio.lowlevel.reschedule(task)
        if isinstance(message, Question):
            self.owed = self.owed or set()
            self.owed.add(message.reply)
            return message.message
        return message

    def close(self) -> None:
        """Refuse whatever comes, and whatever is still queued."""
        self.closed = True
        for entry in self._queue:
            if isinstance(entry, Question):
                entry.reply.fail(Stopped(self.path))
        self._queue.clear()
        for task in self._senders:
            trio.lowlevel.reschedule(task)
        self._wake()
        at_close, self.at_close = self.at_close, ()
        for forget in at_close:
            forget()

    def abandon(self, error: BaseException) -> None:
        """Fail every reply that is owed: who took the questions is gone."""
        for reply in self.owed or ():
            reply.fail(error)
        self.owed = None

    def _wake(self) -> None:
        if self._receiver is not None:
            trio.lowlevel.reschedule(self._receiver)
            self._receiver = None

    def _leave(self, _: Any) -> trio.lowlevel.Abort:
        self._receiver = None
        return trio.lowlevel.Abort.SUCCEEDED
