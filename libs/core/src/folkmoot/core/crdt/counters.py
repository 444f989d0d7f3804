"""Counters that any number of actors raise at once, and that merge by themselves.

Each actor has its own total, which only it raises; joining takes the larger total of each actor. An
actor may be a replica, or the idempotency key of a step: a step that runs again counts from zero
under the same actor, and so counts once.

The digest of a counter with many actors is the hash of each of 256 groups of them, so that what is
exchanged follows what differs and not how many have ever counted.
"""

from __future__ import annotations

from typing import Any, ClassVar

from folkmoot.core.crdt.causal import fields_of
from folkmoot.core.crdt.fingerprint import hash_of, text_of
from folkmoot.core.crdt.limits import (
    ACTORS_MAX,
    MERGE_SLACK,
    NUMBER_MAX,
    LimitExceeded,
    MalformedState,
    check_id,
)
from folkmoot.core.crdt.parts import json_bytes, runs

LISTED_ACTORS_MAX = 256
"""Actors whose totals a digest lists; with more of them, groups are as exact and smaller."""

GROUPS = 256


class GCounter:
    """A counter that only grows."""

    KIND: ClassVar[str] = "gcounter"
    __slots__ = ("_groups", "_totals", "replica")

    def __init__(self, replica: str = "") -> None:
        self.replica = check_id(replica, "replica") if replica else ""
        self._totals: dict[str, int] = {}
        self._groups: dict[int, int] | None = None  # summed up when first asked for, then kept up

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GCounter) and self._totals == other._totals

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"GCounter({self._totals!r})"

    # -- counting ---------------------------------------------------------------------------

    @property
    def value(self) -> int:
        """The sum of all actors' totals."""
        return sum(self._totals.values())

    def total(self, actor: str) -> int:
        """Return what `actor` has counted."""
        return self._totals.get(actor, 0)

    def increment(self, amount: int = 1, actor: str | None = None) -> GCounter:
        """Add `amount` for `actor`, this replica if not given; return the delta.

        Raises:
            LimitExceeded: there are too many actors, or the total is too high.
            ValueError: the amount is negative, or nobody is named who counts.
        """
        by = self.replica if actor is None else actor
        if type(amount) is not int or amount < 0:
            raise ValueError(f"{amount!r} cannot be added: a counter grows by whole numbers from 0")
        if not by:
            raise ValueError(
                "nobody counts: name the replica when the counter is made, or an actor"
            )
        return self.raise_to(by, self.total(by) + amount)

    def raise_to(self, actor: str, total: int) -> GCounter:
        """Let `actor`'s total be at least `total`; return the delta. Repeating it is harmless.

        Raises:
            LimitExceeded: there are too many actors, or the total is too high.
        """
        if type(total) is not int or not 0 <= total <= NUMBER_MAX:
            raise LimitExceeded(f"a total is a whole number from 0 to {NUMBER_MAX}")
        if check_id(actor, "actor") not in self._totals and len(self._totals) >= ACTORS_MAX:
            raise LimitExceeded(f"a counter has at most {ACTORS_MAX:,} actors: begin another one")
        if total > self.total(actor):
            self._set(actor, total)
        return self._of([actor] if self.total(actor) else [])

    def _set(self, actor: str, total: int) -> None:
        if self._groups is not None:
            change = _hash_of(actor, total) - _hash_of(actor, self.total(actor))
            group = _group_of(actor)
            self._groups[group] = self._groups.get(group, 0) + change
        self._totals[actor] = total

    def _hashes(self) -> dict[int, int]:
        if self._groups is None:
            self._groups = {}
            for actor, total in self._totals.items():
                group = _group_of(actor)
                self._groups[group] = self._groups.get(group, 0) + _hash_of(actor, total)
        return self._groups

    def _of(self, actors: list[str]) -> GCounter:
        part = GCounter(self.replica)
        for actor in actors:
            part._set(actor, self._totals[actor])
        return part

    # -- joining ----------------------------------------------------------------------------

    def merge(self, other: GCounter) -> bool:
        """Join `other` into this; whether that changed anything.

        Raises:
            LimitExceeded: there would be too many actors; nothing was changed.
        """
        news = {a: t for a, t in other._totals.items() if t > self._totals.get(a, 0)}
        newcomers = sum(actor not in self._totals for actor in news)
        if len(self._totals) + newcomers > MERGE_SLACK * ACTORS_MAX:
            raise LimitExceeded(f"a counter would exceed {MERGE_SLACK * ACTORS_MAX:,} actors")
        for actor, total in news.items():
            self._set(actor, total)
        return bool(news)

    def fingerprint(self) -> str:
        """Return a short text that differs between states that differ."""
        return text_of(sum(self._hashes().values()))

    def digest(self) -> Any:
        """Return what a peer needs to know to tell what this lacks."""
        if len(self._totals) <= LISTED_ACTORS_MAX:
            return {"totals": dict(sorted(self._totals.items()))}
        return {"groups": {str(g): text_of(h) for g, h in sorted(self._hashes().items())}}

    def delta_since(self, digest: Any) -> GCounter | None:
        """Return what somebody with `digest` lacks, None if nothing; all, if the digest is None.

        A digest of groups is answered with all of the groups that differ.

        Raises:
            MalformedState: that is no digest of a counter.
        """
        if isinstance(digest, dict) and "groups" in digest:
            groups = fields_of(digest, {"groups"})["groups"]
            if not isinstance(groups, dict):
                raise MalformedState("a counter's groups are an object of hashes by number")
            differing = {g for g, h in self._hashes().items() if groups.get(str(g)) != text_of(h)}
            lacking = [a for a in self._totals if _group_of(a) in differing]
        else:
            known = {} if digest is None else _totals(fields_of(digest, {"totals"})["totals"])
            lacking = [a for a, t in self._totals.items() if t > known.get(a, 0)]
        return self._of(lacking) if lacking else None

    def parts(self, bytes_max: int) -> list[GCounter]:
        """Return states that join to this one, each of at most `bytes_max` bytes of JSON."""

        def bytes_of(actor: str) -> int:
            return json_bytes(actor) + json_bytes(self._totals[actor])

        return [self._of(run) for run in runs(sorted(self._totals), bytes_of, bytes_max)]

    # -- the wire ---------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values, equal ones for equal states."""
        return {"kind": self.KIND, "totals": dict(sorted(self._totals.items()))}

    @classmethod
    def from_json(cls, value: Any) -> GCounter:
        """Return the state in JSON values.

        Raises:
            MalformedState: they are none of this kind.
        """
        fields = fields_of(value, {"kind", "totals"})
        if fields["kind"] != cls.KIND:
            raise MalformedState(f"that is no state of kind {cls.KIND}")
        made = cls()
        for actor, total in _totals(fields["totals"]).items():
            made._set(actor, total)
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

    def __repr__(self) -> str:
        return f"PNCounter(up={self._up!r}, down={self._down!r})"

    @classmethod
    def _made(cls, up: GCounter | None = None, down: GCounter | None = None) -> PNCounter:
        made = cls()
        made._up, made._down = up or GCounter(), down or GCounter()
        return made

    @property
    def value(self) -> int:
        """What was added less what was taken away."""
        return self._up.value - self._down.value

    def increment(self, amount: int = 1, actor: str | None = None) -> PNCounter:
        """Add `amount` for `actor`, this replica if not given; return the delta. See `GCounter`."""
        return self._made(up=self._up.increment(amount, actor))

    def decrement(self, amount: int = 1, actor: str | None = None) -> PNCounter:
        """Take `amount` away for `actor`, this replica if not given; return the delta."""
        return self._made(down=self._down.increment(amount, actor))

    def merge(self, other: PNCounter) -> bool:
        """Join `other` into this; whether that changed anything. See `GCounter`."""
        up, down = self._up.merge(other._up), self._down.merge(other._down)
        return up or down

    def fingerprint(self) -> str:
        """Return a short text that differs between states that differ."""
        return text_of(hash_of(self._up.fingerprint(), self._down.fingerprint()))

    def digest(self) -> Any:
        """Return what a peer needs to know to tell what this lacks."""
        return {"up": self._up.digest(), "down": self._down.digest()}

    def delta_since(self, digest: Any) -> PNCounter | None:
        """Return what somebody with `digest` lacks, None if nothing. See `GCounter`."""
        fields = {"up": None, "down": None}
        if digest is not None:
            fields = fields_of(digest, {"up", "down"})
        up, down = self._up.delta_since(fields["up"]), self._down.delta_since(fields["down"])
        return None if up is None and down is None else self._made(up, down)

    def parts(self, bytes_max: int) -> list[PNCounter]:
        """Return states that join to this one, each of at most `bytes_max` bytes of JSON."""
        ups = [self._made(up=part) for part in self._up.parts(bytes_max)]
        return ups + [self._made(down=part) for part in self._down.parts(bytes_max)]

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values, equal ones for equal states."""
        up, down = self._up.to_json()["totals"], self._down.to_json()["totals"]
        return {"kind": self.KIND, "up": up, "down": down}

    @classmethod
    def from_json(cls, value: Any) -> PNCounter:
        """Return the state in JSON values.

        Raises:
            MalformedState: they are none of this kind.
        """
        fields = fields_of(value, {"kind", "up", "down"})
        if fields["kind"] != cls.KIND:
            raise MalformedState(f"that is no state of kind {cls.KIND}")
        up, down = (
            GCounter.from_json({"kind": GCounter.KIND, "totals": fields[half]})
            for half in ("up", "down")
        )
        return cls._made(up, down)


def _hash_of(actor: str, total: int) -> int:
    return hash_of(actor, str(total)) if total else 0


def _group_of(actor: str) -> int:
    return hash_of(actor) % GROUPS


def _totals(value: Any) -> dict[str, int]:
    if not isinstance(value, dict) or len(value) > MERGE_SLACK * ACTORS_MAX:
        raise MalformedState("a counter's totals are an object of numbers by actor")
    for actor, total in value.items():
        check_id(actor, "actor")
        if type(total) is not int or not 1 <= total <= NUMBER_MAX:
            raise MalformedState(f"{total!r} is no total of {actor!r}")
    return value
