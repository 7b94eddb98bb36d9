"""The name of an actor, and the ways to send to it."""

from collections.abc import Callable
from typing import Generic, TypeVar

import attrs
import structlog
import trio

from fuota.actor.errors import TooLate
from fuota.actor.mailbox import Mailbox
from fuota.actor.reply import Question, Reply

M = TypeVar("M")
R = TypeVar("R")

log = structlog.get_logger(__name__)


@attrs.frozen(eq=False, repr=False)
class Ref(Generic[M]):
    """A name for an actor; it stays valid across restarts."""

    _mailbox: Mailbox[M]

    @property
    def path(self) -> str:
        return self._mailbox.path

    @property
    def stopped(self) -> bool:
        """Whether the actor takes no messages any more."""
        return self._mailbox.closed

    @property
    def full(self) -> bool:
        """Whether there is no room for a message at present."""
        return self._mailbox.full

    async def tell(self, message: M) -> None:
        """Send towards the root, waiting for room; never to oneself. Raises `Stopped`."""
        await self._mailbox.put(message)

    def offer(self, message: M) -> bool:
        """Send away from the root, without waiting. False: the actor is full or has stopped."""
        mailbox = self._mailbox
        if not mailbox.closed and not mailbox.full:
            mailbox.push(message)
            return True
        mailbox.dropped += 1
        if mailbox.dropped & (mailbox.dropped - 1) == 0:  # the 1st, 2nd, 4th, 8th…: one flood, few lines
            log.warning("message dropped", actor=self.path, message=type(message).__name__, n=mailbox.dropped)
        return False

    async def ask(self, question: Callable[[Reply[R]], M], *, within: float) -> R:
        """Send what `question` makes of a reply, and wait for that reply at most `within` seconds.

        Raises `TooLate`, `Crashed`, `Stopped`, or what the reply was failed with.
        """
        reply = Reply[R]()
        try:
            with trio.move_on_after(within):
                await self._mailbox.put(Question(question(reply), reply))
                return await reply.wait()
        finally:
            if self._mailbox.owed:
                self._mailbox.owed.discard(reply)
        raise TooLate(self.path, within)

    def until_stopped(self, forget: Callable[[], None]) -> None:
        """Call `forget` when the actor stops; at once if it has."""
        if self._mailbox.closed:
            forget()
        else:
            self._mailbox.at_close += (forget,)

    def __repr__(self) -> str:
        return f"<Ref {self.path}>"
