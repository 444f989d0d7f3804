"""A set in which adding wins over removing at the same time.

Each addition has a dot of its own, which carries the element. Removing drops the dots that are
known here, so an addition made elsewhere at the same time stays (Bieniusa et al., "An optimized
conflict-free replicated set", 2012).

An addition may have a tag, such as the saga that made it, by which it can be taken back later. An
element that was added under two tags survives the loss of one. Adding again under the same tag
replaces the earlier addition: a step that runs again does not make the set larger.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from folkmoot.core.crdt.causal import Causal, Payload
from folkmoot.core.crdt.dots import Dot
from folkmoot.core.crdt.elements import Json, NotJson, canonical
from folkmoot.core.crdt.limits import LimitExceeded, MalformedState, check_id

UNTAGGED = ""


class ORSet(Causal):
    """An add-wins observed-remove set of JSON values. Its dots carry an element and a tag."""

    KIND: ClassVar[str] = "orset"
    __slots__ = ("_dots_by_tag", "_dots_of")

    def __init__(self, replica: str = "") -> None:
        super().__init__(replica)
        self._dots_of: dict[str, set[Dot]] = {}
        self._dots_by_tag: dict[str, set[Dot]] = {}

    # -- reading ----------------------------------------------------------------------------

    @property
    def value(self) -> list[Json]:
        """The elements, each once, in an order that depends on them alone."""
        return [json.loads(text) for text in sorted(self._dots_of)]

    def tagged(self, tag: str) -> list[Json]:
        """Return the elements that were added under `tag`, each once, in order."""
        texts = {self._living[dot][0] for dot in self._dots_by_tag.get(tag, ())}
        return [json.loads(text) for text in sorted(texts)]

    def __contains__(self, element: Json) -> bool:
        return canonical(element) in self._dots_of

    def __len__(self) -> int:
        return len(self._dots_of)

    def __iter__(self) -> Iterator[Json]:
        return iter(self.value)

    # -- changing ---------------------------------------------------------------------------

    def add(self, *elements: Json, tag: str | None = None) -> ORSet:
        """Add elements; return the delta.

        Raises:
            LimitExceeded: an element or the set would be too large; nothing was added.
            NotJson: an element is no JSON value; nothing was added.
        """
        mark = UNTAGGED if tag is None else check_id(tag, "tag")
        texts = dict.fromkeys(canonical(element) for element in elements)
        renewed = [
            dot
            for text in texts
            for dot in self._dots_of.get(text, ())
            if self._living[dot][1] == mark
        ]
        return self._change([(text, mark) for text in texts], renewed)

    def remove(self, *elements: Json) -> ORSet:
        """Remove elements as far as they are known here; return the delta."""
        texts = {canonical(element) for element in elements}
        return self._change(dropped=_all(self._dots_of.get(text, ()) for text in texts))

    def remove_tagged(self, tag: str) -> ORSet:
        """Take back what was added under `tag`, as far as it is known here; return the delta."""
        return self._change(dropped=list(self._dots_by_tag.get(tag, ())))

    # -- the store --------------------------------------------------------------------------

    def _indexed(self, dot: Dot, payload: Payload) -> None:
        text, tag = payload
        self._dots_of.setdefault(text, set()).add(dot)
        if tag:
            self._dots_by_tag.setdefault(tag, set()).add(dot)

    def _unindexed(self, dot: Dot, payload: Payload) -> None:
        text, tag = payload
        _discard(self._dots_of, text, dot)
        if tag:
            _discard(self._dots_by_tag, tag, dot)

    def _payload_to_json(self, payload: Payload) -> list[Any]:
        text, tag = payload
        return [json.loads(text), tag or None]

    def _payload_from_json(self, fields: list[Any]) -> Payload:
        if len(fields) != 2:
            raise MalformedState("an addition is [replica, n, element, tag]")
        element, tag = fields
        try:
            return canonical(element), UNTAGGED if tag is None else check_id(tag, "tag")
        except (LimitExceeded, NotJson) as error:
            raise MalformedState(str(error)) from error


def _all(groups: Iterable[Iterable[Dot]]) -> list[Dot]:
    return [dot for group in groups for dot in group]


def _discard(index: dict[str, set[Dot]], key: str, dot: Dot) -> None:
    dots = index[key]
    dots.discard(dot)
    if not dots:
        del index[key]
