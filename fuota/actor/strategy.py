"""Which crashes are mended, and how."""

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum

import attrs


class Policy(Enum):
    """Whether an actor that ended is started again."""

    PERMANENT = "permanent"
    """However it ended."""
    TRANSIENT = "transient"
    """If it crashed."""
    TEMPORARY = "temporary"
    """Never."""


Strategy = Callable[[Sequence[str], str], Sequence[str]]
"""From the children in the order of their start and the one that failed: those restarted, in order."""


def one_for_one(children: Sequence[str], failed: str) -> Sequence[str]:
    """Children that do not depend on each other."""
    return (failed,)


def one_for_all(children: Sequence[str], failed: str) -> Sequence[str]:
    """Children that make no sense apart."""
    return tuple(children)


def rest_for_one(children: Sequence[str], failed: str) -> Sequence[str]:
    """Children that depend on those before them."""
    return tuple(children[children.index(failed) :])


@attrs.define
class Budget:
    """The crashes that a supervisor mends: `crashes` in any `seconds`, with a pause that doubles."""

    crashes: int = 5
    seconds: float = 60.0
    _at: deque[float] = attrs.field(factory=deque, init=False, repr=False)

    def used(self, now: float) -> int:
        """The crashes that still count at `now`."""
        while self._at and self._at[0] <= now - self.seconds:
            self._at.popleft()
        return len(self._at)

    def spend(self, now: float) -> float | None:
        """The pause in seconds before the restart, or None: the budget was used up before this crash."""
        used = self.used(now)
        self._at.append(now)
        return 0.1 * 2**used if used < self.crashes else None
