"""What all types share that are made of dots: living dots with what they carry, and dropped ones.

A change never edits; it adds a living dot, or drops dots, or both. So a state is two sets, and
joining is their union, where dropping a dot is final:

- A dot that was dropped on either side is dropped; any other that lives on either side lives.
- What a state has *seen* is exactly what it carries, living or dropped. A part of a state
  therefore never claims to know of a dot that it does not carry (a part that did would delete, at
  its receiver, what the other parts bring).
- Dropped dots carry nothing and are intervals: no tombstones of what was removed, but at most one
  interval for each living dot and each replica.

This is the causal store of Almeida, Shoker and Baquero, "Delta state replicated data types"
(2018), with the context kept as living and dropped dots. A dot that carries different things in two
states (somebody used it twice) resolves to the larger, so that joining remains a join.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self

from folkmoot.core.crdt.dots import Dot, Dots
from folkmoot.core.crdt.fingerprint import hash_of, text_of
from folkmoot.core.crdt.limits import (
    ELEMENTS_MAX,
    MERGE_SLACK,
    NUMBER_MAX,
    LimitExceeded,
    MalformedState,
    check_id,
)
from folkmoot.core.crdt.parts import json_bytes, runs

Payload = tuple[str, ...]
"""What a living dot carries, as texts: they are hashed and, if need be, compared."""


class Causal:
    """A state made of dots. A subclass says what its dots carry, and may keep an index."""

    KIND: ClassVar[str]
    __slots__ = ("_dropped", "_fingerprint", "_hashes", "_live", "_living", "replica")

    def __init__(self, replica: str = "") -> None:
        self.replica = check_id(replica, "replica") if replica else ""
        self._living: dict[Dot, Payload] = {}
        self._live = Dots()
        self._dropped = Dots()
        self._hashes: int | None = None  # summed up when first asked for, then kept up
        self._fingerprint: str | None = None

    # -- for subclasses ---------------------------------------------------------------------

    def _payload_to_json(self, payload: Payload) -> list[Any]:
        raise NotImplementedError

    def _payload_from_json(self, fields: list[Any]) -> Payload:
        raise NotImplementedError

    def _indexed(self, dot: Dot, payload: Payload) -> None:
        """Take notice that `dot` lives now."""

    def _unindexed(self, dot: Dot, payload: Payload) -> None:
        """Take notice that `dot` lives no more."""

    def _change(self, payloads: Iterable[Payload] = (), dropped: Iterable[Dot] = ()) -> Self:
        """Add a dot for each payload and drop `dropped`, in one step; return the delta."""
        delta = type(self)(self.replica)
        delta._dropped = Dots(dropped)
        last = max(self._live.highest(self.replica), self._dropped.highest(self.replica))
        for n, payload in enumerate(payloads, last + 1):
            if not self.replica:
                raise ValueError("a state that adds needs the id of its replica: name it when made")
            delta._put(Dot(self.replica, n), payload)
        grown = len(self._living) + len(delta._living) - delta._dropped.dot_count()
        if delta._living and grown > ELEMENTS_MAX:
            raise LimitExceeded(
                f"{self.KIND} holds at most {ELEMENTS_MAX:,} additions: spread them over several "
                "documents, or remove what is no longer needed"
            )
        self.merge(delta)
        return delta

    # -- reading ----------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Causal)
            and self.KIND == other.KIND
            and self._living == other._living
            and self._dropped == other._dropped
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._living!r}, dropped={self._dropped!r})"

    @property
    def living(self) -> Mapping[Dot, Payload]:
        """The living dots and what they carry."""
        return self._living

    @property
    def dropped(self) -> Dots:
        """The dots that were dropped."""
        return self._dropped

    @property
    def seen(self) -> Dots:
        """All dots that this state knows of."""
        seen = Dots()
        seen.join(self._live)
        seen.join(self._dropped)
        return seen

    def fingerprint(self) -> str:
        """Return a short text that differs between states that differ."""
        if self._fingerprint is None:
            self._fingerprint = text_of(self._hash_of_living() + self._hash_of_dropped())
        return self._fingerprint

    def _hash_of_living(self) -> int:
        if self._hashes is None:
            self._hashes = sum(_hash_of(dot, payload) for dot, payload in self._living.items())
        return self._hashes

    def _hash_of_dropped(self) -> int:
        intervals = self._dropped.intervals()
        return sum(hash_of("dropped", r, str(low), str(high)) for r, (low, high) in intervals)

    # -- joining ----------------------------------------------------------------------------

    def merge(self, other: Self) -> bool:
        """Join `other` into this; whether that changed anything.

        Raises:
            LimitExceeded: this would grow too large; nothing was changed.
        """
        news = [
            (dot, payload) for dot, payload in other._living.items() if self._wins(dot, payload)
        ]
        if len(self._living) + len(news) > MERGE_SLACK * ELEMENTS_MAX:
            raise LimitExceeded(
                f"{self.KIND} would exceed {MERGE_SLACK * ELEMENTS_MAX:,} additions"
            )
        changed = bool(other._dropped) and self._dropped.join(other._dropped)
        if changed:
            for dot in self._live.common(other._dropped):
                self._take(dot)
        for dot, payload in news:
            if dot not in self._dropped:
                self._put(dot, payload)
                changed = True
        if changed:
            self._fingerprint = None
        return changed

    def _wins(self, dot: Dot, payload: Payload) -> bool:
        mine = self._living.get(dot)
        return dot not in self._dropped if mine is None else payload > mine

    def _put(self, dot: Dot, payload: Payload) -> None:
        if dot in self._living:
            self._take(dot)
        self._living[dot] = payload
        self._live.add(dot)
        if self._hashes is not None:
            self._hashes += _hash_of(dot, payload)
        self._indexed(dot, payload)

    def _take(self, dot: Dot) -> None:
        payload = self._living.pop(dot)
        self._live.discard(dot)
        if self._hashes is not None:
            self._hashes -= _hash_of(dot, payload)
        self._unindexed(dot, payload)

    # -- what a peer lacks ------------------------------------------------------------------

    def digest(self) -> Any:
        """Return what a peer needs to know to tell what this lacks: all dots ever seen."""
        return {"live": self._live.to_json(), "dropped": self._dropped.to_json()}

    def delta_since(self, digest: Any) -> Self | None:
        """Return what somebody with `digest` lacks, None if nothing; all, if the digest is None.

        Raises:
            MalformedState: that is no digest of this kind.
        """
        live, dropped = Dots(), Dots()
        if digest is not None:
            fields = fields_of(digest, {"live", "dropped"})
            live, dropped = Dots.from_json(fields["live"]), Dots.from_json(fields["dropped"])
        delta = type(self)(self.replica)
        for dot in self._live.minus(live).minus(dropped):
            delta._put(dot, self._living[dot])
        delta._dropped = self._dropped.minus(dropped)
        return delta if delta._living or delta._dropped else None

    def parts(self, bytes_max: int) -> list[Self]:
        """Return states that join to this one, each of at most `bytes_max` bytes of JSON."""
        made = []
        for run in runs(self._units(), json_bytes, bytes_max):
            part = type(self)(self.replica)
            for replica, numbers, payload in run:
                if payload is None:
                    part._dropped.add_interval(replica, (numbers[0], numbers[1]))
                else:
                    part._put(Dot(replica, numbers[0]), payload)
            made.append(part)
        return made

    def _units(self) -> Iterator[tuple[str, tuple[int, ...], Payload | None]]:
        for dot in sorted(self._living):
            yield dot.replica, (dot.n,), self._living[dot]
        for replica, interval in self._dropped.intervals():
            yield replica, interval, None

    # -- the wire ---------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values, equal ones for equal states."""
        living = [[*dot, *self._payload_to_json(self._living[dot])] for dot in sorted(self._living)]
        return {"kind": self.KIND, "living": living, "dropped": self._dropped.to_json()}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the state in JSON values.

        Raises:
            MalformedState: they are none of this kind.
        """
        made = cls()
        fields = fields_of(value, {"kind", "living", "dropped"})
        made._dropped = Dots.from_json(fields["dropped"])
        if fields["kind"] != cls.KIND or not isinstance(fields["living"], list):
            raise MalformedState(f"that is no state of kind {cls.KIND}")
        if len(fields["living"]) > MERGE_SLACK * ELEMENTS_MAX:
            raise MalformedState("there are more living dots than any state may have")
        for each in fields["living"]:
            dot, rest = _dot(each)
            if dot in made._living or dot in made._dropped:
                raise MalformedState(f"{dot} stands there twice")
            made._put(dot, made._payload_from_json(rest))
        return made


def fields_of(value: Any, names: set[str]) -> dict[str, Any]:
    """Return an object that has exactly the fields `names`.

    Raises:
        MalformedState: it has not.
    """
    if not isinstance(value, dict) or set(value) != names:
        raise MalformedState(f"there should be an object with the fields {sorted(names)}")
    return value


def _hash_of(dot: Dot, payload: Payload) -> int:
    return hash_of("living", dot.replica, str(dot.n), *payload)


def _dot(value: Any) -> tuple[Dot, list[Any]]:
    if not isinstance(value, list) or len(value) < 2:
        raise MalformedState(f"{value!r} begins with no dot")
    replica, n, *rest = value
    if type(n) is not int or not 1 <= n <= NUMBER_MAX:
        raise MalformedState(f"{n!r} is no number of a dot")
    return Dot(check_id(replica, "replica"), n), rest
