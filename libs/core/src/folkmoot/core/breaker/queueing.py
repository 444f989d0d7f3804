"""Who waits for a target: in their turn (`folkmoot.core.turns`), and who leaves a full queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from folkmoot.core.breaker.state import Target
from folkmoot.core.messages import Call
from folkmoot.core.shares import DEFAULT_SHARE


def join(target: Target, call: Call) -> None:
    """Let a call wait."""
    target.queue[call.call_id] = call
    target.turns.join(call.call_id, call.share)


def leave(target: Target, call_id: str, *, served: bool) -> Call | None:
    """Let a call wait no more, because it is `served` or not; return it if it waited."""
    call = target.queue.pop(call_id, None)
    if call is not None:
        target.turns.leave(call_id, served=served)
    return call


def in_turn(target: Target) -> Iterator[Call]:
    """Yield who waits, whose turn is next first."""
    for call_id in target.turns:
        yield target.queue[call_id]


def who_yields(waiting: Sequence[Call], call: Call) -> Call | None:
    """Return who leaves a full queue for `call`: the last of the tenant with most, if that is fair.

    It is not if the call's own tenant would then have as many. Looks at all who wait.
    """
    counts = Counter(_tenant(each) for each in waiting)
    tenant, most = max(counts.items(), key=lambda each: (each[1], each[0]), default=("", 0))
    if most <= counts[_tenant(call)] + 1:
        return None
    return next(each for each in reversed(waiting) if _tenant(each) == tenant)


def _tenant(call: Call) -> str:
    return (call.share or DEFAULT_SHARE).tenant
