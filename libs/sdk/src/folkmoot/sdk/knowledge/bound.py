"""Shared knowledge as one step sees it: what it adds is tagged with its saga.

Counting is idempotent: a step counts under its own idempotency key, from zero in each run, so that
a step that runs again after a crash counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from folkmoot.core.crdt import Crdt, GCounter, ORSet, Replica
from folkmoot.sdk.steps import to_json

C = TypeVar("C", bound=Crdt)


class Shared(Protocol):
    """What a step's knowledge is a view of."""

    replica: Replica

    def mutate(self, name: str, cls: type[C], change: Callable[[C], C]) -> None:
        """Change a document, tell of it and keep it."""
        ...

    async def catch_up(self) -> None:
        """Return when everything is known here that anybody had flushed before."""
        ...


class BoundSet:
    """A shared set. Its elements are JSON values; models and dataclasses are taken as such."""

    def __init__(self, shared: Shared, name: str, saga: str) -> None:
        self._shared, self._name, self._saga = shared, name, saga
        self._crdt = shared.replica.document(name, ORSet)

    async def add(self, *values: Any) -> None:
        """Add elements on behalf of this saga. Adding again changes nothing.

        Raises:
            LimitExceeded: an element or the set would be too large; nothing was added.
            NotJson: an element is beyond what JSON can hold; nothing was added.
        """
        if values:
            elements = [to_json(value) for value in values]
            self._mutate(lambda crdt: crdt.add(*elements, tag=self._saga))

    async def remove(self, *values: Any) -> None:
        """Remove elements, whoever added them, as far as they are known here."""
        elements = [to_json(value) for value in values]
        self._mutate(lambda crdt: crdt.remove(*elements))

    async def retract(self) -> None:
        """Take back everything that this saga added, all that its finished steps did included.

        Raises:
            BusError: what they added cannot be read from the log now.
        """
        await self._shared.catch_up()
        self._mutate(lambda crdt: crdt.remove_tagged(self._saga))

    def _mutate(self, change: Callable[[ORSet], ORSet]) -> None:
        self._shared.mutate(self._name, ORSet, change)

    def values(self) -> list[Any]:
        """Return all elements known here, each once."""
        return self._crdt.value

    def mine(self) -> list[Any]:
        """Return the elements that this saga added, as far as they are known here."""
        return self._crdt.tagged(self._saga)

    def __contains__(self, value: Any) -> bool:
        return to_json(value) in self._crdt

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())

    def __len__(self) -> int:
        return len(self._crdt)


class BoundCounter:
    """A shared counter that only grows."""

    def __init__(self, shared: Shared, name: str, actor: str) -> None:
        self._shared, self._name, self._actor = shared, name, actor
        self._crdt = shared.replica.document(name, GCounter)
        self._counted = 0

    async def increment(self, amount: int = 1) -> None:
        """Count `amount` on behalf of this step.

        Raises:
            LimitExceeded: the counter would have too many actors, or count too high.
            ValueError: the amount is no whole number, or negative.
        """
        if type(amount) is not int or amount < 0:
            raise ValueError(f"{amount!r} cannot be added: a counter grows by whole numbers from 0")
        counted = self._counted + amount
        if counted > self._crdt.total(self._actor):
            self._shared.mutate(
                self._name, GCounter, lambda crdt: crdt.raise_to(self._actor, counted)
            )
        self._counted = counted

    @property
    def value(self) -> int:
        """The total as far as it is known here."""
        return self._crdt.value


class BoundKnowledge:
    """`ctx.knowledge`."""

    def __init__(self, shared: Shared, saga: str, actor: str) -> None:
        self._shared, self._saga, self._actor = shared, saga, actor
        self._counters: dict[str, BoundCounter] = {}

    def set(self, name: str) -> BoundSet:
        """Return the shared set of that name, made when first used.

        Raises:
            InvalidName: there can be no such document.
            KindMismatch: there is a document of that name that is no set.
        """
        return BoundSet(self._shared, name, self._saga)

    def counter(self, name: str) -> BoundCounter:
        """Return the shared counter of that name, made when first used.

        Raises:
            InvalidName: there can be no such document.
            KindMismatch: there is a document of that name that is no counter.
        """
        if name not in self._counters:
            self._counters[name] = BoundCounter(self._shared, name, self._actor)
        return self._counters[name]

    async def catch_up(self) -> None:
        """Return when everything is known here that the steps before this one did.

        Gossip usually brings it sooner; after this it is certain.

        Raises:
            BusError: the log cannot be read now.
        """
        await self._shared.catch_up()
