"""The actor's side of its mailbox."""

from collections.abc import Sequence
from typing import Any, TypeVar

import attrs
import trio

from fuota.actor.errors import ActorError, Stopped
from fuota.actor.ref import Question, Ref

M = TypeVar("M")


IN_A_ROW = 16
"""Messages that an actor takes before others get a turn, if more than that wait: where many tasks are at work
a turn is long. Otherwise they get one after each message."""


@attrs.define(eq=False, repr=False)
class Mailbox(Ref[M]):
    """First in, first out, also for the senders that wait; the iteration ends when the actor stops."""

    _in_a_row: int = attrs.field(default=0, init=False)

    def __aiter__(self) -> "Mailbox[M]":
        return self

    async def __anext__(self) -> M:
        self._in_a_row = (self._in_a_row + 1) % IN_A_ROW
        if self._in_a_row and self.used > IN_A_ROW:
            await trio.lowlevel.checkpoint_if_cancelled()
        elif self._queue or self.stopped:
            await trio.lowlevel.checkpoint()  # to wait is one, too
        while not self._queue and not self.stopped:
            self._receiver = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._cancelled)
        if not self._queue:
            raise StopAsyncIteration
        message = self._queue.popleft()
        if self._senders:
            task = next(iter(self._senders))
            self._queue.append(self._senders.pop(task))
            trio.lowlevel.reschedule(task)
        elif not self._queue:
            self._queue = ()  # an empty deque takes 0.7 kB
        if isinstance(message, Question):
            if not message.reply.settled:
                self._owed[message.reply] = None
            return message.message
        return message

    def close(self) -> Sequence[M]:
        """Refuse what is queued and what comes. Gives what was queued, but for the questions."""
        if self.stopped:
            return ()
        queued, self._queue, self.stopped = self._queue, (), True
        for message in queued:
            if isinstance(message, Question):
                message.reply.fail(Stopped(self.path))
        for sender in self._senders:
            trio.lowlevel.reschedule(sender)
        self._wake()
        farewells, self._farewells = self._farewells, ()
        for farewell in farewells:
            farewell()
        return [message for message in queued if not isinstance(message, Question)]

    def reopen(self) -> None:
        """Take messages again."""
        self.stopped = False

    def abandon(self, gone: type[ActorError], cause: Exception | None) -> None:
        """Fail the replies that are owed: who took the questions will not answer."""
        for reply in self._owed:
            error = gone(self.path)
            error.__cause__ = cause
            reply.fail(error)
        self._owed.clear()

    def _cancelled(self, _: Any) -> trio.lowlevel.Abort:
        self._receiver = None
        return trio.lowlevel.Abort.SUCCEEDED
