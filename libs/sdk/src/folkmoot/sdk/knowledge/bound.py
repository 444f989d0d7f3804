"""Shared knowledge as one step sees it: what it adds is tagged with its saga.

Counting is idempotent: a step counts under its own idempotency key, from zero in each run, so that
a step that runs again after a crash counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from folkmoot.core.crdt import Crdt, GCounter, ORSet, Replica

Changed = Callable[[str, Crdt], None]
"""Told of each local change: the document and the delta."""


class BoundSet:
    """A shared set. Elements are JSON values."""

    def __init__(self, name: str, crdt: ORSet, saga: str, changed: Changed) -> None:
        self._name, self._crdt, self._saga, self._changed = name, crdt, saga, changed

    async def add(self, *values: Any) -> None:
        """Add elements on behalf of this saga."""
        if values:
            self._changed(self._name, self._crdt.add(*values, tag=self._saga))

    async def remove(self, *values: Any) -> None:
        """Remove elements, whoever added them, as far as they are known here."""
        self._changed(self._name, self._crdt.remove(*values))

    async def retract(self) -> None:
        """Take back everything that this saga added."""
        self._changed(self._name, self._crdt.remove_tagged(self._saga))

    def values(self) -> list[Any]:
        """Return all elements known here, each once."""
        return self._crdt.value

    def mine(self) -> list[Any]:
        """Return the elements that this saga added, as far as they are known here."""
        return self._crdt.tagged(self._saga)

    def __contains__(self, value: Any) -> bool:
        return value in self._crdt

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())

    def __len__(self) -> int:
        return len(self._crdt)


class BoundCounter:
    """A shared counter that only grows."""

    def __init__(self, name: str, crdt: GCounter, actor: str, changed: Changed) -> None:
        self._name, self._crdt, self._actor, self._changed = name, crdt, actor, changed
        self._counted = 0

    async def increment(self, amount: int = 1) -> None:
        """Count `amount` on behalf of this step."""
        self._counted += amount
        if self._counted > self._crdt.total(self._actor):
            self._changed(self._name, self._crdt.raise_to(self._actor, self._counted))

    @property
    def value(self) -> int:
        """The total as far as it is known here."""
        return self._crdt.value


class BoundKnowledge:
    """`ctx.knowledge`."""

    def __init__(self, replica: Replica, saga: str, actor: str, changed: Changed) -> None:
        self._replica, self._saga, self._actor = replica, saga, actor
        self._changed = changed
        self._counters: dict[str, BoundCounter] = {}

    def set(self, name: str) -> BoundSet:
        """Return the shared set of that name, made when first used.

        Raises:
            MalformedState: there is a document of that name that is no set.
        """
        crdt = self._replica.document(name, ORSet)
        assert isinstance(crdt, ORSet)
        return BoundSet(name, crdt, self._saga, self._changed)

    def counter(self, name: str) -> BoundCounter:
        """Return the shared counter of that name, made when first used.

        Raises:
            MalformedState: there is a document of that name that is no counter.
        """
        if name not in self._counters:
            crdt = self._replica.document(name, GCounter)
            assert isinstance(crdt, GCounter)
            self._counters[name] = BoundCounter(name, crdt, self._actor, self._changed)
        return self._counters[name]
