"""Who waits for a target, and who is next: each tenant gets its share, and nobody starves.

Start-time fair queueing (Goyal, Vin and Cheng, 1996) over flows, a flow being a tenant's calls of
one priority. A call is given a turn when it comes: one stride after the last of its flow, but not
before the turn that is being served. The lowest turn is next. A flow that sends more only makes
itself wait; strides of a high priority are short, so that it has more turns in the same time.

Invariants:

- Calls of one flow are served in the order in which they came.
- Flows that wait all the time are served in proportion to the weights of their priorities.
- A call costs the logarithm of the queue; nothing is kept for a flow once the queue is empty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from folkmoot.core.breaker.state import Target
from folkmoot.core.messages import Call
from folkmoot.core.shares import DEFAULT_SHARE, Priority

STRIDES: Mapping[Priority, int] = {"high": 1, "normal": 4, "low": 16}
"""A turn of a low priority is worth four of a normal one, and that four of a high one."""

_FLOWS_SLACK = 64
"""Flows without a call that are kept beyond one for each call that waits."""


def join(target: Target, call: Call) -> None:
    """Let a call wait."""
    flow, stride = _flow(call)
    turn = max(target.served, target.flows.get(flow, 0)) + stride
    target.queue[call.call_id] = call
    target.turns.set(call.call_id, turn)
    target.flows[flow] = turn
    if len(target.flows) > 2 * len(target.queue) + _FLOWS_SLACK:
        target.flows = {name: at for name, at in target.flows.items() if at > target.served}


def leave(target: Target, call_id: str, *, served: bool) -> Call | None:
    """Let a call wait no more, because it is `served` or not; return it if it waited."""
    call = target.queue.pop(call_id, None)
    if call is None:
        return None
    if served:
        target.served = max(target.served, target.turns.get(call_id) or 0)
    target.turns.drop(call_id)
    if not target.queue:
        target.served = 0
        target.flows.clear()
    return call


def in_turn(target: Target) -> Iterator[Call]:
    """Yield who waits, whose turn is next first."""
    for call_id in target.turns.in_order():
        yield target.queue[call_id]


def who_yields(target: Target, call: Call) -> Call | None:
    """Return who leaves a full queue for `call`: the last of the tenant with most, if that is fair.

    It is not if the call's own tenant would then have as many. Looks at all who wait.
    """
    waiting = Counter(_tenant(each) for each in target.queue.values())
    tenant, most = max(waiting.items(), key=lambda each: (each[1], each[0]), default=("", 0))
    if most <= waiting[_tenant(call)] + 1:
        return None
    return next(each for each in reversed(target.queue.values()) if _tenant(each) == tenant)


def _tenant(call: Call) -> str:
    return (call.share or DEFAULT_SHARE).tenant


def _flow(call: Call) -> tuple[str, int]:
    share = call.share or DEFAULT_SHARE
    return f"{share.priority}/{share.tenant}", STRIDES[share.priority]
