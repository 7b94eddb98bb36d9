"""The answer to one question."""

from typing import Any, Generic, TypeVar

import attrs
import trio

M = TypeVar("M")
R = TypeVar("R")


@attrs.define(eq=False, repr=False)
class Reply(Generic[R]):
    """Travels inside a question; whoever holds it answers, once: later answers are ignored."""

    _settled: trio.Event = attrs.field(factory=trio.Event, init=False)
    _value: R = attrs.field(init=False)
    _error: BaseException | None = attrs.field(default=None, init=False)

    def give(self, value: R) -> None:
        """The asker gets `value`."""
        if not self._settled.is_set():
            self._value = value
            self._settled.set()

    def fail(self, error: BaseException) -> None:
        """`error` is raised where the question was asked."""
        if not self._settled.is_set():
            self._error = error
            self._settled.set()

    async def wait(self) -> R:
        """The value given."""
        await self._settled.wait()
        if self._error is not None:
            raise self._error
        return self._value

    def __repr__(self) -> str:
        return f"<Reply {'settled' if self._settled.is_set() else 'owed'}>"


@attrs.frozen(eq=False)
class Question(Generic[M]):
    """A message in a mailbox whose sender waits for the reply."""

    message: M
    reply: Reply[Any]
