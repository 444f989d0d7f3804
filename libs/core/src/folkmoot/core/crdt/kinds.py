"""What every CRDT offers, and which ones there are.

Another type joins by keeping this contract and standing in `KINDS`: replicas, gossip and the log
need nothing else of it. A type made of dots can build on `Causal`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self, TypeVar

from folkmoot.core.crdt.counters import GCounter, PNCounter
from folkmoot.core.crdt.limits import KindMismatch, MalformedState
from folkmoot.core.crdt.orset import ORSet

C = TypeVar("C", bound="Crdt")


class Crdt(Protocol):
    """A state that joins, and every change of which returns a smaller state, its delta."""

    KIND: ClassVar[str]

    def __init__(self, replica: str = "") -> None: ...

    @property
    def value(self) -> Any:
        """What it means now, as JSON values."""
        ...

    def merge(self, other: Self) -> bool:
        """Join `other` into this; whether that changed anything."""
        ...

    def fingerprint(self) -> str:
        """Return a short text that differs between states that differ. Must be cheap."""
        ...

    def digest(self) -> Any:
        """Return what a peer needs to know to tell what this lacks, as JSON values."""
        ...

    def delta_since(self, digest: Any) -> Self | None:
        """Return what somebody with `digest` lacks, None if nothing; all, if the digest is None."""
        ...

    def parts(self, bytes_max: int) -> list[Self]:
        """Return states that join to this one, each of at most `bytes_max` bytes of JSON."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values, equal ones for equal states."""
        ...

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the state in JSON values."""
        ...


KINDS: Mapping[str, type[Crdt]] = {cls.KIND: cls for cls in (GCounter, PNCounter, ORSet)}


def kind_of(name: Any) -> type[Crdt]:
    """Return the type that is called `name`.

    Raises:
        KindMismatch: there is none; a newer version may know it.
    """
    if not isinstance(name, str) or name not in KINDS:
        raise KindMismatch(f"{name!r} is none of the kinds known here: {', '.join(sorted(KINDS))}")
    return KINDS[name]


def from_json(value: Any) -> Crdt:
    """Return the CRDT in JSON values, of whatever kind it says.

    Raises:
        KindMismatch: its kind is not known here.
        MalformedState: it is no state of that kind.
    """
    if not isinstance(value, dict):
        raise MalformedState("a state is an object")
    return kind_of(value.get("kind")).from_json(value)


def join(mine: Crdt, other: Crdt) -> bool:
    """Join `other` into `mine`; whether that changed anything.

    Raises:
        KindMismatch: they are of different kinds.
        LimitExceeded: `mine` would grow too large.
    """
    if type(mine) is not type(other):
        raise KindMismatch(
            f"a state of kind {other.KIND} cannot be merged into one of kind {mine.KIND}"
        )
    return mine.merge(other)


def gather(into: dict[str, Crdt], document: str, delta: Crdt) -> None:
    """Join `delta` to what is gathered for `document`; the delta itself stays as it is."""
    join(into.setdefault(document, type(delta)()), delta)


def canonical_bytes(crdt: Crdt) -> bytes:
    """Return the same bytes for equal states, to compare replicas by."""
    return json.dumps(crdt.to_json(), sort_keys=True, separators=(",", ":")).encode()
