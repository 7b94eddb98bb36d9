"""When a call about one device is given up that the network never answers, though it works otherwise."""

from collections.abc import Awaitable, Callable

import attrs
import trio

EVERY = 90.0
"""Seconds between two looks at whether the network works."""

LOOKS = 960
"""So many in a row say that it does, each after a call that has failed: that is a day at least. A part of the
network that was away has been mended by then, and where any call may fail no device is that unlucky."""


@attrs.define
class Reach:
    """Whether the network works for one deployment, all of whose devices have one Network Server."""

    _about_group: Callable[[], Awaitable[bool]] = attrs.field(repr=False)
    """Whether it answers about their group."""
    _looked: float = -EVERY
    _answers: bool = False
    _turn: trio.Lock = attrs.field(factory=trio.Lock, repr=False)

    async def answers(self) -> bool:
        """Whether it answered at the last look; one looks for all."""
        async with self._turn:
            if trio.current_time() >= self._looked + EVERY:
                self._answers = await self._about_group()
                self._looked = trio.current_time()
            return self._answers


@attrs.define
class Stuck:
    """How long the network has not answered one caller, from one call to the next until it does."""

    _reach: Reach
    _looked: float = attrs.field(factory=trio.current_time)
    _answered: int = 0

    async def hopeless(self) -> bool:
        """Whether to give up, after another call that was not answered."""
        if trio.current_time() >= self._looked + EVERY:
            self._answered = self._answered + 1 if await self._reach.answers() else 0
            self._looked = trio.current_time()
        return self._answered >= LOOKS
