"""What a span is before anybody exports it, and how a machine comes to tell its spans.

A projection looks at an event together with the state that it is about to change, and returns the
spans that end with it. It keeps nothing itself: what it needs to know of the past (since when a
call is out, which attempts failed before) the machine's state has, and so has every replica, after
a fail-over and after a restore as well.

Spans are local requests (`SpansEnded`): they cause no message, are performed once their entry is
committed, and change nothing if they are lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal

from folkmoot.core.kernel import Effect, Local, Machine, Position
from folkmoot.core.kernel.machine import S

Kind = Literal["internal", "producer", "consumer"]
Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened within a span."""

    name: str
    at: int
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """Another span that this one has to do with; of another trace, perhaps."""

    trace_id: int
    span_id: int
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Span:
    """A span that has ended. Times are log time, milliseconds since the epoch.

    `error` is a stable word, never what somebody's exception said.
    """

    name: str
    trace_id: int
    span_id: int
    parent: int
    began_at: int
    ended_at: int
    kind: Kind = "internal"
    error: str | None = None
    attributes: Mapping[str, Value] = field(default_factory=dict)
    moments: Sequence[Moment] = ()
    links: Sequence[Link] = ()


@dataclass(frozen=True, slots=True)
class SpansEnded:
    """Request: export what ended with an event of the entry at `offset`."""

    offset: int
    spans: Sequence[Span]


Projection = Callable[[S, object, Position], Sequence[Span]]
"""Returns the spans that end with an event, given the state that it has not changed yet."""


class Traced(Generic[S]):
    """A machine that tells its spans as well. It decides, and folds, what the other does."""

    def __init__(self, machine: Machine[S], projection: Projection[S]) -> None:
        self.name = machine.name
        self.inputs, self.events, self.outputs = machine.inputs, machine.events, machine.outputs
        self.initial, self.decide, self.due = machine.initial, machine.decide, machine.due
        self._apply, self._projection = machine.apply, projection

    def apply(self, state: S, event: object, position: Position) -> Sequence[Effect]:
        """Fold `event` into `state`; see `folkmoot.core.kernel.Machine`."""
        ended = self._projection(state, event, position)
        effects = self._apply(state, event, position)
        return [*effects, Local(SpansEnded(position.offset, ended))] if ended else effects
