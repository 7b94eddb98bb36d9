"""The names that others keep: which actors work on a key."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import Generic, TypeVar

import attrs

from fuota.actor.ref import Ref

K = TypeVar("K", bound=Hashable)
M = TypeVar("M")


@attrs.frozen(eq=False)
class Registry(Generic[K, M]):
    """Any number of actors for each key. An actor stays while it restarts, and leaves when it stops. It stops
    when its parent begins anew, which may say for which keys it has children (`expect`)."""

    _refs: dict[K, tuple[Ref[M], ...]] = attrs.field(factory=dict, init=False)
    _expected: dict[Hashable, set[K]] = attrs.field(factory=dict, init=False)
    _number: Counter[K] = attrs.field(factory=Counter, init=False)
    """How many actors each key is to have."""

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

    def expect(self, parent: Hashable, keys: Iterable[K]) -> None:
        """Each of these keys is to have an actor of `parent`, whatever was said of it before."""
        self.dismiss(parent)
        self._expected[parent] = expected = set(keys)
        self._number.update(expected)

    def dismiss(self, parent: Hashable) -> None:
        """`parent` has no children any more, nor will have."""
        for key in tuple(self._expected.get(parent, ())):
            self.excuse(parent, key)
        self._expected.pop(parent, None)

    def excuse(self, parent: Hashable, key: K) -> None:
        """The child of `parent` that worked on `key` has ended for good."""
        expected = self._expected.get(parent, set())
        if key in expected:
            expected.remove(key)
            self._number[key] -= 1
            if not self._number[key]:
                del self._number[key]

    def parents(self) -> list[Hashable]:
        """Those that have said for which keys they have children."""
        return list(self._expected)

    def lacks(self, key: K) -> bool:
        """Whether an actor that is expected is not there, and will be: its parent begins, or begins anew."""
        return len(self[key]) < self._number[key]

    def _leave(self, key: K, ref: Ref[M]) -> None:
        rest = tuple(other for other in self[key] if other is not ref)
        if rest:
            self._refs[key] = rest
        else:
            self._refs.pop(key, None)
