"""The names that others keep: which actors work on a key."""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

import attrs

from fuota.actor.ref import Ref

K = TypeVar("K", bound=Hashable)
M = TypeVar("M")


@attrs.frozen(eq=False)
class Registry(Generic[K, M]):
    """Any number of actors for each key. An actor stays while it restarts, and leaves when it stops."""

    _refs: dict[K, tuple[Ref[M], ...]] = attrs.field(factory=dict, init=False)

    def __getitem__(self, key: K) -> tuple[Ref[M], ...]:
        """The actors that work on `key`, if any, in the order in which they came."""
        return self._refs.get(key, ())

    def register(self, key: K, ref: Ref[M]) -> Callable[[], None]:
        """Add an actor, once however often it is said. Gives what takes it out before it stops."""
        leave = partial(self._leave, key, ref)
        if ref not in self[key]:
            self._refs[key] = (*self[key], ref)
            ref.at_stop(leave)
        return leave

    def _leave(self, key: K, ref: Ref[M]) -> None:
        rest = tuple(other for other in self[key] if other is not ref)
        if rest:
            self._refs[key] = rest
        else:
            self._refs.pop(key, None)
