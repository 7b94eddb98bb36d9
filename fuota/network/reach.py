"""When a call about one device is given up that the network never answers, though it works otherwise."""

import math
from collections.abc import Awaitable, Callable

import attrs
import trio

EVERY = 90.0
"""Seconds between two looks at whether the network works."""

PROVEN = 10
"""Looks in a row by which it does for other devices what it does not for this one: a quarter of an hour."""

PRESUMED = 960
"""Looks in a row by which it answers at all: a day, in which somebody would have mended what was away."""


@attrs.define
class Reach:
    """What shows that the network works for the devices of one deployment.

    They are of one application, and so of one Network Server. That one has two stores: groups and their
    members are in one of them, and a request to a device needs both.
    """

    _about_group: Callable[[], Awaitable[bool]] = attrs.field(repr=False)
    """Whether it answers about their group."""
    taken: float = -math.inf
    """When it last took a request to one of them, by Trio's clock."""
    _looked: float = -math.inf
    _answers: bool = False
    _turn: trio.Lock = attrs.field(factory=trio.Lock, repr=False)

    async def answers(self) -> bool:
        """Whether it answered about the group at the last look; one looks for all."""
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
    _proven: int = 0
    _presumed: int = 0

    async def hopeless(self, *, of_group: bool = False) -> bool:
        """Whether to give up, after another call that was not answered.

        `of_group`: it needs of the network no more than a question about the group does.
        """
        if trio.current_time() >= self._looked + EVERY:
            taken = self._reach.taken > self._looked
            works = taken or await self._reach.answers()
            self._presumed = self._presumed + 1 if works else 0
            self._proven = self._proven + (taken or of_group) if works else 0
            self._looked = trio.current_time()
        return self._proven >= PROVEN or self._presumed >= PRESUMED
