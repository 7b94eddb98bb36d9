"""The shell that runs a pure machine: what it decides is committed first and done then."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, TypeVarTuple

import attrs
import trio

from fuota.actor.alarms import Alarms
from fuota.actor.behaviour import Actor, Me
from fuota.actor.errors import Stopped

M = TypeVar("M")
S = TypeVar("S")
F = TypeVar("F")
E = TypeVar("E")
Ts = TypeVarTuple("Ts")


class Clock(Protocol):
    def now(self) -> datetime: ...


SLOW = 2.0
"""Seconds that a commit takes only if something is wrong."""


@attrs.define
class Position(Generic[S]):
    """Where a machine stands and how many states it has been in; it outlives the actor that runs it."""

    state: S
    version: int


class Durable(Actor[M], Generic[M, S, F, E]):
    """An actor whose state is a machine's.

    A subclass binds the machine (`step`, `effects`), writes to the journal (`commit`) and acts (`perform`).
    What is begun by `call` and `wake_at` lives as long as the state that asked for it.
    """

    me: Me[M]

    def __init__(
        self,
        position: Position[S],
        clock: Clock,
        alarms: Alarms,
        held_up: Callable[[], object] = lambda: None,
    ) -> None:
        """`held_up` is called when a commit has taken long."""
        self.position = position
        self.clock = clock
        self.alarms = alarms
        self.held_up = held_up
        self.alarm: M | None = None
        """What comes, or came last, at the instant that this state waits for."""
        self._calls: list[trio.CancelScope] = []

    def step(self, state: S, fact: F, now: datetime) -> S:
        """The state after `fact`; the same object if nothing happened."""
        raise NotImplementedError

    def effects(self, state: S) -> tuple[E, ...]:
        """What `state` asks for."""
        raise NotImplementedError

    async def commit(self, version: int, after: S, fact: F, at: datetime, *extra: Any) -> None:
        """Return when it is written that `after` is the state of this version."""
        raise NotImplementedError

    def perform(self, effect: E, *, resumed: bool) -> None:
        """Begin to do what the state asks for; `resumed`: an earlier incarnation may have done it."""
        raise NotImplementedError

    async def started(self, me: Me[M]) -> None:
        self.me = me
        self.enter(resumed=self.position.version > 1)

    async def stopped(self) -> None:
        self.alarms.cancel(self.me.ref)  # a new incarnation sets its own

    async def take(self, fact: F, *extra: Any) -> bool:
        """Let the machine step, commit, and only then be where it leads; False if it leads nowhere.

        `extra` goes to `commit`.
        """
        if not await self.write(fact, *extra):
            return False
        self.enter(resumed=False)
        return True

    async def write(self, fact: F, *extra: Any) -> bool:
        """The same without entering the state: what the one before has begun goes on.

        For a state that asks for nothing else.
        """
        before, now = self.position.state, self.clock.now()
        after = self.step(before, fact, now)
        if after is before or after == before:
            return False
        began = trio.current_time()
        await self.commit(self.position.version + 1, after, fact, now, *extra)
        if trio.current_time() - began > SLOW:
            self.held_up()
        self.position.state = after
        self.position.version += 1
        return True

    def enter(self, *, resumed: bool) -> None:
        """End what the last state began, and begin what this one asks for."""
        for under_way in self._calls:
            under_way.cancel()
        self._calls = []
        self.alarms.cancel(self.me.ref)
        self.alarm = None
        for effect in self.effects(self.position.state):
            self.perform(effect, resumed=resumed)

    def call(self, function: Callable[[*Ts], Awaitable[M]], *args: *Ts) -> None:
        """Have what `function(*args)` returns come as a message, unless another state is entered before.

        One that returns while another state is being written comes all the same: it has to do no harm then.
        """
        self._calls.append(here := trio.CancelScope())
        self.me.nursery.start_soon(self._call, here, partial(function, *args))

    def wake_at(self, at: datetime, message: M) -> None:
        """`message` comes at that instant if this is still the state then.

        One that rings while another state is being written comes all the same: it is not `alarm` then.
        """
        self.alarm = message
        self.alarms.set(self.me.ref, at, message)

    async def _call(self, here: trio.CancelScope, function: Callable[[], Awaitable[M]]) -> None:
        with here, suppress(Stopped):  # the actor ends: nobody waits for the outcome
            await self.me.ref.tell(await function())
