"""The name of an actor, the ways to send to it, and its reply."""

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs
import structlog
import trio

from fuota.actor.errors import Stopped, TooLate

M = TypeVar("M")
R = TypeVar("R")

log = structlog.get_logger(__name__)


@attrs.define(eq=False, repr=False)
class Reply(Generic[R]):
    """The answer to one question, which it travels in. It is settled once; what comes later is ignored."""

    _settled: trio.Event = attrs.field(factory=trio.Event, init=False)
    _result: Callable[[], R] = attrs.field(init=False)

    @property
    def settled(self) -> bool:
        return self._settled.is_set()

    def give(self, value: R) -> None:
        """The asker gets `value`."""
        self._settle(lambda: value)

    def fail(self, error: BaseException) -> None:
        """`error` is raised where the question was asked."""

        def result() -> R:
            raise error

        self._settle(result)

    async def wait(self) -> R:
        """What was given, once it is."""
        await self._settled.wait()
        return self._result()

    def _settle(self, result: Callable[[], R]) -> None:
        if not self.settled:
            self._result = result
            self._settled.set()

    def __repr__(self) -> str:
        return f"<Reply {'settled' if self.settled else 'owed'}>"


@attrs.frozen(eq=False)
class Question(Generic[M]):
    """A message whose sender waits for the reply."""

    message: M
    reply: Reply[Any]


@attrs.define(eq=False, repr=False)
class Ref(Generic[M]):
    """A name for an actor; it stays valid across restarts. (It is the senders' side of the mailbox.)"""

    path: str
    room: int
    """The messages that the mailbox holds."""
    peak: int = attrs.field(default=0, init=False)
    dropped: int = attrs.field(default=0, init=False)
    stopped: bool = attrs.field(default=False, init=False)
    """Whether no message is taken any more."""
    _queue: deque[M | Question[M]] | tuple[()] = attrs.field(default=(), init=False)
    _senders: dict[trio.lowlevel.Task, M | Question[M]] = attrs.field(factory=dict, init=False)
    _receiver: trio.lowlevel.Task | None = attrs.field(default=None, init=False)
    _owed: dict[Reply[Any], None] = attrs.field(factory=dict, init=False)
    _farewells: tuple[Callable[[], None], ...] = attrs.field(default=(), init=False)

    @property
    def used(self) -> int:
        """The messages in the mailbox."""
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether there is no room at present."""
        return self.used >= self.room

    async def tell(self, message: M) -> None:
        """Send towards the root, waiting for room; never to oneself. Raises `Stopped`."""
        if not await self._put(message):
            await trio.lowlevel.cancel_shielded_checkpoint()

    def offer(self, message: M) -> bool:
        """Send away from the root, without waiting. False: the mailbox is full, or the actor has stopped."""
        if not self.full and not self.stopped:
            self._push(message)
            return True
        self.dropped += 1
        if self.dropped & (self.dropped - 1) == 0:  # the 1st, 2nd, 4th, 8th…: a flood is a few lines
            log.warning("dropped", actor=self.path, message=type(message).__name__, so_far=self.dropped)
        return False

    async def ask(self, question: Callable[[Reply[R]], M], *, within: float) -> R:
        """Send what `question` makes of a reply, and wait for it, in all no longer than `within` seconds.

        Raises `TooLate`, `Crashed`, `Stopped`, or what the reply was failed with.
        """
        reply = Reply[R]()
        try:
            with trio.move_on_after(within):
                await self._put(Question(question(reply), reply))
                return await reply.wait()
            raise TooLate(self.path)
        finally:
            reply.fail(Stopped(self.path))  # nobody waits any more: it need not be owed
            self._owed.pop(reply, None)

    def at_stop(self, farewell: Callable[[], None]) -> None:
        """Have `farewell` called when the actor stops; at once if it has."""
        if self.stopped:
            farewell()
        else:
            self._farewells += (farewell,)

    async def _put(self, message: M | Question[M]) -> bool:
        """Whether others had a turn meanwhile, because there was no room. Raises `Stopped`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.stopped:
            raise Stopped(self.path)
        if not self.full:
            self._push(message)
            return False
        task = trio.lowlevel.current_task()
        self._senders[task] = message

        def cancelled(_: Any) -> trio.lowlevel.Abort:
            del self._senders[task]
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(cancelled)
        if self._senders.pop(task, None) is not None:
            raise Stopped(self.path)
        return True

    def _push(self, message: M | Question[M]) -> None:
        if self._queue:
            self._queue.append(message)
        else:
            self._queue = deque((message,))
        self.peak = max(self.peak, self.used)
        self._wake()

    def _wake(self) -> None:
        if self._receiver is not None:
            trio.lowlevel.reschedule(self._receiver)
            self._receiver = None

    def __repr__(self) -> str:
        return f"<Ref {self.path}>"
