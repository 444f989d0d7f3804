"""Holds back calls that would exceed a limit: so many at a time, so many begun in a period.

An agent says which limits its steps have. A *gate* is a limit in use: its key is the limit's name,
with the tenant's if each tenant has one of its own. What undoes a step calls what the step calls,
and counts like it.

Invariants:

- With workers are never more calls of a key than its limit allows at a time, and of those that
  were sent within any period of its length never more than it allows to begin.
- Who is held back by a limit holds back nobody whose limit is another, or who has none.
- A gate of which nothing is under way, waits, or began lately is forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from folkmoot.core.breaker.state import BreakerState, Gate, Target
from folkmoot.core.messages import Call
from folkmoot.core.shares import DEFAULT_SHARE, Limit

_GATES_SLACK = 64
"""Idle gates that are kept, for what began of them lately, beyond two for each open call."""


def limit_of(limits: Iterable[Limit], call: Call) -> Limit | None:
    """Return the limit that a call counts for, None if its step has none."""
    return next((limit for limit in limits if call.name in limit.steps), None)


def key_of(limits: Sequence[Limit], call: Call) -> str:
    """Return the key of the gate that a call passes, empty if its step has no limit."""
    limit = limit_of(limits, call) if limits else None
    if limit is None:
        return ""
    return f"{limit.name}/{(call.share or DEFAULT_SHARE).tenant}" if limit.by_tenant else limit.name


def named(limits: Iterable[Limit], key: str) -> Limit | None:
    """Return the limit of a gate, None if the agent has none of that name any more."""
    name = key.partition("/")[0]
    return next((limit for limit in limits if limit.name == name), None)


def opens_at(gate: Gate, limit: Limit, sent: int = 0) -> int:
    """Return from when on a call may begin for all that began before it, 0 if it always may.

    `sent` are the calls that begin now and are not noted yet: fewer than may in a period.
    """
    place = len(gate.starts) + sent - limit.starts
    return gate.starts[place] + limit.period_ms if limit.starts and place >= 0 else 0


class Openings:
    """What limits still allow, which a decision uses up in thought before in fact."""

    def __init__(
        self, target: Target, now: int, limits: Sequence[Limit], ended: Iterable[str] = ()
    ) -> None:
        """Begin with the calls under way, less one for each key in `ended`."""
        self._gates, self._limits, self._now = target.gates, limits, now
        self._sent: Counter[str] = Counter()
        self._ended = Counter(ended)

    def key_of(self, call: Call) -> str:
        """Return the key of the gate that a call passes."""
        return key_of(self._limits, call)

    def admits(self, key: str) -> bool:
        """Whether one more call may pass the gate now."""
        limit = named(self._limits, key) if key else None
        if limit is None:
            return True
        gate, sent = self._gates.get(key) or Gate(), self._sent[key]
        if limit.in_flight and gate.in_flight + sent - self._ended[key] >= limit.in_flight:
            return False
        if limit.starts and sent >= limit.starts:
            return False
        return opens_at(gate, limit, sent) <= self._now

    def take(self, key: str) -> None:
        """Let a call pass."""
        if key:
            self._sent[key] += 1


# -- folding ------------------------------------------------------------------------------------


def wait(state: BreakerState, target: Target, call_id: str, key: str, at: int) -> None:
    """Note that a call waits that has to pass a gate."""
    if key:
        target.held[call_id] = key
        target.gates.setdefault(key, Gate()).waiting += 1
        _time(state, target, key, at)


def unwait(state: BreakerState, target: Target, call_id: str, at: int) -> None:
    """Note that it waits no more."""
    if (key := target.held.pop(call_id, "")) and (gate := target.gates.get(key)) is not None:
        gate.waiting -= 1
        _time(state, target, key, at)
        _forget(target, key, at)


def begin(state: BreakerState, target: Target, call: Call, at: int) -> str:
    """Note that a call passes its gate, and return its key."""
    key = key_of(target.limits, call) if target.limits else ""
    if key and (limit := named(target.limits, key)) is not None:
        gate = target.gates.setdefault(key, Gate())
        gate.in_flight += 1
        if limit.starts:
            gate.starts.append(at)
            del gate.starts[: -limit.starts]
        _time(state, target, key, at)
        if len(target.gates) > 2 * (len(target.flights) + len(target.queue)) + _GATES_SLACK:
            for each in [*target.gates]:
                _forget(target, each, at)
    return key


def end(target: Target, key: str, at: int) -> None:
    """Note that a call that passed a gate has ended."""
    if key and (gate := target.gates.get(key)) is not None:
        gate.in_flight -= 1
        _forget(target, key, at)


def reopen(state: BreakerState, target: str, key: str) -> None:
    """Note that those who wait at a gate were looked at when it let calls begin again."""
    state.openings.drop(f"{target}/{key}")


def shape(state: BreakerState, target: Target, limits: Sequence[Limit], at: int) -> None:
    """Let a target have other limits."""
    target.limits = tuple(limits)
    for key in [*target.gates]:
        _time(state, target, key, at)
        _forget(target, key, at)


def _time(state: BreakerState, target: Target, key: str, at: int) -> None:
    """Have somebody look when the gate lets calls begin again, if any wait for that.

    If that is over, whoever was to look still is, or has looked.
    """
    gate, limit = target.gates[key], named(target.limits, key)
    opens = opens_at(gate, limit) if limit is not None and gate.waiting else 0
    if opens > at:
        state.openings.set(f"{target.name}/{key}", opens)
    elif not opens:
        state.openings.drop(f"{target.name}/{key}")


def _forget(target: Target, key: str, at: int) -> None:
    gate, limit = target.gates[key], named(target.limits, key)
    if gate.in_flight or gate.waiting:
        return
    if limit is None or not gate.starts or gate.starts[-1] + limit.period_ms <= at:
        del target.gates[key]
