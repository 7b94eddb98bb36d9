"""The shell that runs a pure machine: first the journal, then the state, then its effects."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from fuota.actor.behaviour import Actor, Me

S = TypeVar("S")
M = TypeVar("M")
E = TypeVar("E")


class Journal(Protocol):
    """Where transitions are kept."""

    async def commit(self, entry: Any, /) -> None:
        """Return when `entry` can not be lost any more."""


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime: ...


class Durable(Actor[M], Generic[S, M, E]):
    """An actor whose state is that of a machine.

    `step` gives the state after a message, equal to the one before it if nothing happened; `effects` gives
    what a state asks of the world, however it was reached. Nothing is let out before its state is committed.
    `state` and `version` are the last that were committed: `factory` gets them where they are kept.
    """

    me: Me[M]

    def __init__(
        self,
        *,
        step: Callable[[S, M, datetime], S],
        effects: Callable[[S], Sequence[E]],
        journal: Journal,
        clock: Clock,
        state: S,
        version: int,
    ) -> None:
        self._step = step
        self._effects = effects
        self._journal = journal
        self._clock = clock
        self.state = state
        self.version = version

    async def started(self, me: Me[M]) -> None:
        self.me = me
        for effect in self._effects(self.state):
            await self.resume(effect)

    async def receive(self, message: M) -> None:
        at = self._clock.now()
        after = self._step(self.state, message, at)
        if after == self.state:
            return
        await self._journal.commit(self.entry(self.version + 1, after, message, at))
        self.state = after
        self.version += 1
        for effect in self._effects(after):
            await self.perform(effect)

    @abstractmethod
    def entry(self, version: int, after: S, message: M, at: datetime) -> Any:
        """What the journal keeps of the step from `self.state` to `after`."""

    @abstractmethod
    async def perform(self, effect: E) -> None:
        """Let out an effect of the state just entered. What takes time is a task of `me.nursery`."""

    async def resume(self, effect: E) -> None:
        """Let out an effect of the state in which this incarnation begins: it may have been out before."""
        await self.perform(effect)
