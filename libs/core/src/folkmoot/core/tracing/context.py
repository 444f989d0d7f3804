"""Which trace a saga belongs to, and what its spans are called: hashes of what is in the log.

Every process computes the same ids, so that a parent need not be told to its children, a span that
is written again is the same span, and nobody else's spans get ids from here.

The trace is that of whoever published the task, if the task came with a W3C `traceparent`, else one
of its own. https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b

from folkmoot.core.messages import Call

NO_SPAN = 0
"""The id of no span: what a saga that begins its own trace has for a parent."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01
_RATIO_BITS = 64
_RATIO_MASK = (1 << _RATIO_BITS) - 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A saga's trace: `root` is its root span, `parent` what that is a child of, if anything.

    `decided` is whether the publisher's trace is sampled, None if the saga begins its own.
    """

    trace_id: int
    root: int
    parent: int = NO_SPAN
    decided: bool | None = None


@lru_cache(maxsize=4096)  # of one saga come many events
def saga_context(saga_id: str, published_in: str | None) -> TraceContext:
    """Return the trace of a saga whose task came with the traceparent `published_in`.

    What is no valid traceparent counts as none.
    """
    found = _TRACEPARENT.fullmatch(published_in or "")
    root = span_id(saga_id)
    if found is None or (published_in or "").startswith("ff"):
        return TraceContext(_trace_id(saga_id), root)
    trace, parent, flags = (int(part, 16) for part in found.group(1, 2, 3))
    if not trace or not parent:
        return TraceContext(_trace_id(saga_id), root)
    return TraceContext(trace, root, parent, bool(flags & _SAMPLED))


def call_context(call: Call) -> TraceContext:
    """Return the trace of the saga that a call is part of."""
    return saga_context(call.saga_id, call.traceparent)


def span_id(name: str) -> int:
    """Return the id of a span: of a saga by its id, of an attempt by that of its call."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") or 1


def run_span_id(call_id: str, run: int) -> int:
    """Return the id of the span of a call's `run`-th run."""
    return span_id(f"{call_id}/run/{run}")


def journal_span_id(call_id: str, run: int, key: str) -> int:
    """Return the id of the span of a journaled call that this run made."""
    return span_id(f"{call_id}/run/{run}/{key}")


def _trace_id(saga_id: str) -> int:
    return int.from_bytes(blake2b(saga_id.encode(), digest_size=16).digest(), "big") or 1


@dataclass(frozen=True, slots=True)
class Sampler:
    """Decides by its id alone whether a trace is exported: `ratio` of them are, from 0 to 1.

    It is OpenTelemetry's TraceIdRatioBased below its ParentBased, so that whoever has the same
    ratio decides the same. The saga's spans are exported all the same if it fails. With
    `everything` so is every trace, whatever its publisher's was.
    """

    ratio: float = 1.0
    everything: bool = False
    _bound: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_bound", round(self.ratio * (1 << _RATIO_BITS)))

    def sampled(self, context: TraceContext) -> bool:
        """Return whether the whole trace is exported, however the saga ends."""
        if self.everything:
            return True
        if context.decided is not None:
            return context.decided
        return (context.trace_id & _RATIO_MASK) < self._bound
