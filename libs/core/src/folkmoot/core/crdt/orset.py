"""A set in which adding wins over removing at the same time, without tombstones.

Each addition has a dot of its own. The state is the living additions and all dots ever seen; what
was removed is a dot that was seen and does not live. That is all a peer needs to know, so nothing
is kept of what was removed but a place in an interval (Almeida, Shoker and Baquero, "Delta state
replicated data types", 2018; Bieniusa et al., "An optimized conflict-free replicated set", 2012).

An addition may carry a tag, such as the saga that made it, by which it can be retracted later. An
element that was added under two tags survives the retraction of one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, ClassVar, NamedTuple

from folkmoot.core.crdt.counters import LimitExceeded
from folkmoot.core.crdt.dots import Dot, Dots, MalformedState

ELEMENTS_MAX = 1_000_000
"""Additions of one set: some hundred megabytes. Beyond it a set should be several documents."""

ELEMENT_BYTES_MAX = 64 * 1024
"""Of one element's JSON, so that several fit a message."""

Json = Any


class Entry(NamedTuple):
    """A living addition: the element's canonical JSON, and its tag."""

    element: str
    tag: str | None


def canonical(element: Json) -> str:
    """Return the JSON text of an element, the same for equal elements.

    Raises:
        LimitExceeded: it is too long.
        TypeError: it is no JSON value.
    """
    text = json.dumps(element, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if len(text) > ELEMENT_BYTES_MAX:
        raise LimitExceeded(f"an element has at most {ELEMENT_BYTES_MAX:,} characters of JSON")
    return text


class ORSet:
    """An add-wins observed-remove set of JSON values."""

    KIND: ClassVar[str] = "orset"
    __slots__ = ("_dots_of", "_entries", "_seen", "replica")

    def __init__(self, replica: str = "") -> None:
        self.replica = replica
        self._entries: dict[Dot, Entry] = {}
        self._dots_of: dict[str, set[Dot]] = {}
        self._seen = Dots()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ORSet) and (self._entries, self._seen) == (
            other._entries,
            other._seen,
        )

    __hash__ = None  # type: ignore[assignment]

    # -- reading ----------------------------------------------------------------------------

    @property
    def value(self) -> list[Json]:
        """The elements, each once, in an order that depends on them alone."""
        return [json.loads(text) for text in sorted(self._dots_of)]

    def tagged(self, tag: str) -> list[Json]:
        """Return the elements that were added under `tag`, each once, in order."""
        texts = {entry.element for entry in self._entries.values() if entry.tag == tag}
        return [json.loads(text) for text in sorted(texts)]

    def __contains__(self, element: Json) -> bool:
        return canonical(element) in self._dots_of

    def __len__(self) -> int:
        return len(self._dots_of)

    def __iter__(self) -> Iterator[Json]:
        return iter(self.value)

    @property
    def seen(self) -> Dots:
        """All dots ever seen, living or not."""
        return self._seen

    # -- changing ---------------------------------------------------------------------------

    def add(self, *elements: Json, tag: str | None = None) -> ORSet:
        """Add elements; return the delta."""
        texts = [canonical(element) for element in elements]
        if len(self._entries) + len(texts) > ELEMENTS_MAX:
            raise LimitExceeded(f"a set has at most {ELEMENTS_MAX:,} additions")
        delta = ORSet(self.replica)
        n = self._seen.highest(self.replica)
        for number, text in enumerate(texts, n + 1):
            delta._put(Dot(self.replica, number), Entry(text, tag))
        self.merge(delta)
        return delta

    def remove(self, *elements: Json) -> ORSet:
        """Remove elements as far as they are known here; return the delta."""
        texts = [canonical(element) for element in elements]
        return self._drop([dot for text in texts for dot in self._dots_of.get(text, ())])

    def remove_tagged(self, tag: str) -> ORSet:
        """Take back what was added under `tag`; return the delta."""
        return self._drop([dot for dot, entry in self._entries.items() if entry.tag == tag])

    def _drop(self, dots: Iterable[Dot]) -> ORSet:
        delta = ORSet(self.replica)
        delta._seen = Dots(dots)
        self.merge(delta)
        return delta

    def _put(self, dot: Dot, entry: Entry) -> None:
        self._entries[dot] = entry
        self._dots_of.setdefault(entry.element, set()).add(dot)
        self._seen.add(dot)

    def _take(self, dot: Dot) -> None:
        entry = self._entries.pop(dot)
        dots = self._dots_of[entry.element]
        dots.discard(dot)
        if not dots:
            del self._dots_of[entry.element]

    # -- merging ----------------------------------------------------------------------------

    def merge(self, other: ORSet) -> bool:
        """Join `other` into this; whether that changed anything.

        What lives on one side stays unless the other side has seen it and dropped it.
        """
        changed = False
        if other._has_removals():
            for dot in [d for d in self._entries if d in other._seen and d not in other._entries]:
                self._take(dot)
                changed = True
        for dot, entry in other._entries.items():
            if dot not in self._seen:
                self._put(dot, entry)
                changed = True
        return self._seen.join(other._seen) or changed

    def _has_removals(self) -> bool:
        """Whether something was seen that does not live: a delta of additions has none."""
        return len(self._seen) > len(self._entries)

    def digest(self) -> Any:
        """Return what a peer needs to know to tell what this lacks.

        A removal adds no dot, so what was seen does not tell it: a hash of what lives does.
        """
        return {"seen": self._seen.to_json(), "living": self._living()}

    def _living(self) -> str:
        text = json.dumps(sorted(self._entries), separators=(",", ":"))
        return blake2b(text.encode(), digest_size=8).hexdigest()

    def delta_since(self, digest: Any) -> ORSet | None:
        """Return what somebody with `digest` lacks or should drop, None if nothing.

        Removals are sent whole: as intervals they are no more than the living elements.
        """
        if not isinstance(digest, dict):
            raise MalformedState("a set's digest has what was seen, and a hash of what lives")
        known = Dots.from_json(digest.get("seen"))
        if known == self._seen and digest.get("living") == self._living():
            return None
        delta = ORSet(self.replica)
        for dot, entry in self._entries.items():
            if dot not in known:
                delta._put(dot, entry)
        delta._seen.join(self._seen.without(self._entries))
        return delta if delta._seen else None

    def split(self, entries_max: int) -> list[ORSet]:
        """Return parts that join to this, each with at most `entries_max` elements.

        A part has seen only what it carries, and the first what was removed as well: a part that
        claimed to have seen the others' elements would remove them.
        """
        parts = [ORSet(self.replica)]
        parts[0]._seen = self._seen.without(self._entries)
        for dot, entry in sorted(self._entries.items()):
            if len(parts[-1]._entries) >= entries_max:
                parts.append(ORSet(self.replica))
            parts[-1]._put(dot, entry)
        return parts

    # -- the wire ---------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values; equal states give equal values."""
        entries = [[*dot, json.loads(e.element), e.tag] for dot, e in sorted(self._entries.items())]
        return {"kind": self.KIND, "entries": entries, "seen": self._seen.to_json()}

    @classmethod
    def from_json(cls, value: Any) -> ORSet:
        """Return the state in JSON values.

        Raises:
            MalformedState: they are none.
        """
        made = cls()
        if not isinstance(value, dict) or not isinstance(value.get("entries"), list):
            raise MalformedState("a set's state has entries")
        if len(value["entries"]) > ELEMENTS_MAX:
            raise MalformedState(f"a set has at most {ELEMENTS_MAX:,} additions")
        for entry in value["entries"]:
            made._put(*_entry(entry))
        made._seen.join(Dots.from_json(value.get("seen")))
        return made


def _entry(value: Any) -> tuple[Dot, Entry]:
    if not isinstance(value, list) or len(value) != 4:
        raise MalformedState("an entry is [replica, n, element, tag]")
    replica, n, element, tag = value
    if not isinstance(replica, str) or type(n) is not int or not 1 <= n < 1 << 60:
        raise MalformedState(f"[{replica!r}, {n!r}] is no dot")
    if tag is not None and not isinstance(tag, str):
        raise MalformedState(f"{tag!r} is no tag")
    try:
        return Dot(replica, n), Entry(canonical(element), tag)
    except (LimitExceeded, TypeError, ValueError) as error:
        raise MalformedState(str(error)) from error
