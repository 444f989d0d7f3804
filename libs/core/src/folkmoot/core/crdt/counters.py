"""Counters that any number of actors raise at once, and that merge by themselves.

Each actor has its own total and only it raises it; joining takes the larger total of each actor.
An actor may be a replica, or the idempotency key of a step: a step that runs again counts from zero
under the same actor, and so counts once.
"""

from __future__ import annotations

from typing import Any, ClassVar

from folkmoot.core.crdt.dots import MalformedState

ACTORS_MAX = 100_000
"""Actors of one counter: some megabytes. Beyond it, name actors more coarsely."""

TOTAL_MAX = 1 << 53
"""What JSON readers in any language can still count exactly."""


class LimitExceeded(ValueError):
    """A change would exceed a limit. Nothing was changed."""


class GCounter:
    """A counter that only grows."""

    KIND: ClassVar[str] = "gcounter"
    __slots__ = ("_totals", "replica")

    def __init__(self, replica: str = "") -> None:
        self.replica = replica
        self._totals: dict[str, int] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GCounter) and self._totals == other._totals

    __hash__ = None  # type: ignore[assignment]

    @property
    def value(self) -> int:
        """The sum of all actors' totals."""
        return sum(self._totals.values())

    def total(self, actor: str) -> int:
        """Return what `actor` has counted."""
        return self._totals.get(actor, 0)

    def increment(self, amount: int = 1, actor: str | None = None) -> GCounter:
        """Add `amount` for `actor`, this replica if not given; return the delta."""
        by = self.replica if actor is None else actor
        if amount < 0:
            raise ValueError("a counter that only grows takes no negative amount")
        return self.raise_to(by, self.total(by) + amount)

    def raise_to(self, actor: str, total: int) -> GCounter:
        """Let `actor`'s total be at least `total`; return the delta. Repeating it is harmless."""
        if not 0 <= total <= TOTAL_MAX:
            raise LimitExceeded(f"a total must be from 0 to {TOTAL_MAX}")
        if actor not in self._totals and len(self._totals) >= ACTORS_MAX:
            raise LimitExceeded(f"a counter has at most {ACTORS_MAX:,} actors")
        delta = GCounter(self.replica)
        delta._totals[actor] = max(total, self.total(actor))
        self._totals[actor] = delta._totals[actor]
        return delta

    def merge(self, other: GCounter) -> bool:
        """Join `other` into this; whether that changed anything."""
        news = {a: t for a, t in other._totals.items() if t > self._totals.get(a, -1)}
        self._totals.update(news)
        return bool(news)

    def digest(self) -> Any:
        """Return what a peer needs to know to tell what this lacks."""
        return self.to_json()["totals"]

    def delta_since(self, digest: Any) -> GCounter | None:
        """Return what somebody with `digest` lacks, None if nothing."""
        known = _totals(digest)
        delta = GCounter(self.replica)
        delta._totals = {a: t for a, t in self._totals.items() if t > known.get(a, -1)}
        return delta if delta._totals else None

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values; equal states give equal values."""
        return {"kind": self.KIND, "totals": dict(sorted(self._totals.items()))}

    @classmethod
    def from_json(cls, value: Any) -> GCounter:
        """Return the state in JSON values.

        Raises:
            MalformedState: they are none.
        """
        made = cls()
        made._totals = _totals(_field(value, "totals"))
        return made


class PNCounter:
    """A counter that grows and shrinks: what was added, and what was taken away."""

    KIND: ClassVar[str] = "pncounter"
    __slots__ = ("_down", "_up", "replica")

    def __init__(self, replica: str = "") -> None:
        self.replica = replica
        self._up, self._down = GCounter(replica), GCounter(replica)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PNCounter) and (self._up, self._down) == (other._up, other._down)

    __hash__ = None  # type: ignore[assignment]

    @property
    def value(self) -> int:
        """What was added less what was taken away."""
        return self._up.value - self._down.value

    def increment(self, amount: int = 1, actor: str | None = None) -> PNCounter:
        """Add `amount`, which may be negative; return the delta."""
        delta = PNCounter(self.replica)
        if amount >= 0:
            delta._up = self._up.increment(amount, actor)
        else:
            delta._down = self._down.increment(-amount, actor)
        return delta

    def decrement(self, amount: int = 1, actor: str | None = None) -> PNCounter:
        """Take `amount` away; return the delta."""
        return self.increment(-amount, actor)

    def merge(self, other: PNCounter) -> bool:
        """Join `other` into this; whether that changed anything."""
        up, down = self._up.merge(other._up), self._down.merge(other._down)
        return up or down

    def digest(self) -> Any:
        """Return what a peer needs to know to tell what this lacks."""
        return {"up": self._up.digest(), "down": self._down.digest()}

    def delta_since(self, digest: Any) -> PNCounter | None:
        """Return what somebody with `digest` lacks, None if nothing."""
        up = self._up.delta_since(_field(digest, "up"))
        down = self._down.delta_since(_field(digest, "down"))
        if up is None and down is None:
            return None
        delta = PNCounter(self.replica)
        delta._up, delta._down = up or GCounter(), down or GCounter()
        return delta

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values; equal states give equal values."""
        return {"kind": self.KIND, "up": self._up.digest(), "down": self._down.digest()}

    @classmethod
    def from_json(cls, value: Any) -> PNCounter:
        """Return the state in JSON values.

        Raises:
            MalformedState: they are none.
        """
        made = cls()
        made._up._totals = _totals(_field(value, "up"))
        made._down._totals = _totals(_field(value, "down"))
        return made


def _field(value: Any, name: str) -> Any:
    if not isinstance(value, dict) or name not in value:
        raise MalformedState(f"a counter's state has {name!r}")
    return value[name]


def _totals(value: Any) -> dict[str, int]:
    if not isinstance(value, dict) or len(value) > ACTORS_MAX:
        raise MalformedState("a counter's totals are an object of numbers by actor")
    for actor, total in value.items():
        if type(total) is not int or not 0 <= total <= TOTAL_MAX:
            raise MalformedState(f"{total!r} is no total of {actor!r}")
    return dict(value)
