"""Names that others keep: which actors are at work on a key."""

from collections.abc import Hashable
from typing import Generic, TypeVar

import attrs

from fuota.actor.ref import Ref

K = TypeVar("K", bound=Hashable)
M = TypeVar("M")


@attrs.frozen(eq=False)
class Registry(Generic[K, M]):
    """Any number of actors for each key; an actor leaves when it stops, and stays while it restarts."""

    _refs: dict[K, tuple[Ref[M], ...]] = attrs.field(factory=dict, init=False)

    def __getitem__(self, key: K) -> tuple[Ref[M], ...]:
        """Those registered, oldest first; none for an unknown key."""
        return self._refs.get(key, ())

    def __len__(self) -> int:
        """The number of keys."""
        return len(self._refs)

    def register(self, key: K, ref: Ref[M]) -> "Registration[K, M]":
        """Add an actor; once is as good as twice."""
        registration = Registration(self, key, ref)
        if ref not in self[key]:
            self._refs[key] = (*self[key], ref)
            ref.until_stopped(registration.withdraw)
        return registration


@attrs.frozen(eq=False)
class Registration(Generic[K, M]):
    """That an actor is at work on a key."""

    _registry: Registry[K, M]
    key: K
    ref: Ref[M]

    def withdraw(self) -> None:
        """Take it back before the actor stops."""
        refs = self._registry._refs
        rest = tuple(ref for ref in refs.get(self.key, ()) if ref is not self.ref)
        if rest:
            refs[self.key] = rest
        else:
            refs.pop(self.key, None)
